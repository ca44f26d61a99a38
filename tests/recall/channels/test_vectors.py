"""Channels of trained vectors: people placed by what they say, and parts that do not belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kg.errors import ArtifactError, ConfigError, GateError
from recall.channels import LightGCNChannel, LightGCNChannelConfig
from recall.contracts import LoadData
from recall.index.build import build_index
from recall.pipeline import Pipeline
from tests.movie_relations import GENRE
from tests.recall.channels.making import TRAINING, alone, ask, asking, made


@pytest.fixture(scope="module")
def fitted(graph):
    return made("lightgcn", graph)


class TestVectorChannels:
    def test_text_and_attributes_place_somebody(self, fitted, graph):
        answers = [
            [row["item_id"] for row in ask(fitted, asking(**given), k=40)]
            for given in (
                {"text": "space"},
                {"attributes": {GENRE: np.array([1])}},
                {"text": "space", "attributes": {GENRE: np.array([1])}, "history": [3]},
            )
        ]
        assert [len(answer) for answer in answers] == [40, 40, 39]
        assert answers[0] != answers[1]

    def test_a_model_that_is_not_linear_takes_histories_only(self, graph):
        pipeline = made("gcn", graph)
        vectors = pipeline.channels["gcn"].embeddings
        expected = vectors.items[[2, 9]].mean(axis=0) @ vectors.scaled_items.T
        for row in ask(pipeline, asking(history=[2, 9]), k=5):
            assert row["score"] == pytest.approx(expected[int(graph.items.index([row["item_id"]])[0])], rel=1e-4)
        with pytest.raises(ConfigError, match="not linear"):
            ask(pipeline, asking(text="space"), k=3)

    def test_a_text_without_text_features_in_the_model(self, graph):
        pipeline = alone(LightGCNChannel(LightGCNChannelConfig(dim=4, training=TRAINING)), graph, features=None)
        with pytest.raises(ConfigError, match="trained without text"):
            ask(pipeline, asking(text="space"), k=3)

    def test_parts_that_do_not_belong_together(self, fitted, graph, movie_graph):
        embeddings, data = fitted.channels["lightgcn"].embeddings, LoadData.of(graph)
        with pytest.raises(ArtifactError, match="other 'movie' nodes"):
            LightGCNChannel.of(embeddings, LoadData.of(movie_graph(movies=41)))
        for index, problem in (
            (build_index(embeddings.index_vectors * 2), "other item vectors"),
            (build_index(embeddings.index_vectors[:39]), "39 vectors"),
        ):
            with pytest.raises(ArtifactError, match=problem):
                LightGCNChannel.of(embeddings, data, index=index)

    def test_made_from_parts_it_answers_as_fitted(self, fitted, graph, everybody):
        channel = fitted.channels["lightgcn"]
        parts = LightGCNChannel.of(channel.embeddings, LoadData.of(graph), index=channel.index)
        again = Pipeline([parts], fitted.history)
        assert ask(again, everybody, k=8).table.equals(ask(fitted, everybody, k=8).table)

    def test_vectors_that_are_no_numbers_are_refused(self, fitted, graph, monkeypatch):
        trained = fitted.channels["lightgcn"].embeddings
        bad = replace(trained, final=np.full_like(trained.final, np.nan))
        monkeypatch.setattr("gnn.graph.fit.fit", lambda *_, **__: bad)
        with pytest.raises(GateError, match=r"lightgcn are no numbers: lower channels\.lightgcn"):
            made("lightgcn", graph)
