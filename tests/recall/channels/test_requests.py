"""What a request may carry: texts, attributes; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from kg.errors import ConfigError, InvalidDataError, UnknownIdError
from recall.channels import (
    AttributeKNN,
    AttributeKNNConfig,
    ChebyCFConfig,
    ContentKNN,
    ContentKNNConfig,
    ItemKNNConfig,
    SpectralConfig,
)
from tests.movie_relations import DIRECTOR, GENRE
from tests.recall.channels.making import alone, ask, asking, histories, made


class TestRequests:
    def test_a_text_without_an_encoder_is_refused(self, graph):
        for name in ("content_knn", "lightgcn"):
            pipeline = made(name, graph, encode=None)
            with pytest.raises(ConfigError, match="no text encoder"):
                ask(pipeline, asking(text="space"), k=3)
            assert len(ask(pipeline, asking(history=[1], text=" "), k=3)) == 3

    def test_attributes_that_do_not_exist(self, graph):
        pipeline = made("attribute_knn", graph)
        with pytest.raises(UnknownIdError, match="4 nodes"):
            ask(pipeline, asking(attributes={GENRE: np.array([4])}), k=3)
        with pytest.raises(InvalidDataError, match="by relation"):
            ask(pipeline, asking(attributes={"genre": np.array([1])}), k=3)

    def test_content_needs_features_to_fit(self, graph):
        with pytest.raises(ConfigError, match="text features"):
            alone(ContentKNN(), graph, features=None)

    def test_attribute_relations_can_be_chosen(self, graph):
        pipeline = alone(AttributeKNN(AttributeKNNConfig(relations=("director",))), graph)
        directors = dict(zip(*graph.positive_edges(DIRECTOR), strict=True))
        for row in ask(pipeline, histories(graph, [4]), k=40):
            assert directors[int(graph.items.index([row["item_id"]])[0])] == directors[4]
        with pytest.raises(ConfigError, match=r"'producer'.*director"):
            alone(AttributeKNN(AttributeKNNConfig(relations=("producer",))), graph)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ItemKNNConfig(neighbours=0),
            lambda: ItemKNNConfig(shrinkage=float("nan")),
            lambda: SpectralConfig(factors=0),
            lambda: SpectralConfig(alpha=-1),
            lambda: ChebyCFConfig(degree=0),
            lambda: ChebyCFConfig(alpha=float("nan")),
            lambda: ContentKNNConfig(neighbours=0),
            lambda: AttributeKNNConfig(neighbours=0),
        ],
    )
    def test_hyper_parameters_out_of_range(self, make):
        with pytest.raises(ConfigError, match=r"must be (at least|a finite number)"):
            make()
