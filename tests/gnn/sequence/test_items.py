"""Vectors of items beside a plain sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnn.sequence.item_data import ItemData
from gnn.sequence.items import ItemVectors
from gnn.sequence.settings import ItemPart, SASRecConfig
from kg.errors import ConfigError
from tests.gnn.sequence.making import BRAND, MADE_IN, history_graph, text_features

TOUCHED = np.array([True] * 10 + [False] * 2)


def vectors_of(parts: tuple[ItemPart, ...], **more: object) -> tuple[ItemData, ItemVectors]:
    graph = history_graph([[0, 1, 2]])
    config = SASRecConfig(dim=4, item_parts=parts, **more)  # type: ignore[arg-type]
    data = ItemData.of(graph, config, text_features(graph, without=(2, 11)), TOUCHED)
    return data, ItemVectors(data, config, seed=1, dtype=torch.float64)


@pytest.mark.parametrize(
    "parts",
    [("id",), ("text",), ("knowledge",), ("id", "text"), ("text", "knowledge"), ("id", "text", "knowledge")],
)
def test_a_vector_is_the_sum_of_its_parts(parts: tuple[ItemPart, ...]) -> None:
    graph = history_graph([[0, 1, 2]])
    data, vectors = vectors_of(parts)
    expected = np.zeros((12, 4))
    if vectors.ids is not None:
        expected[:10] += vectors.ids.detach().numpy()[:10]
    if vectors.projection is not None:
        features = text_features(graph, without=(2, 11))
        rows = features.nodes - len(graph.users)
        expected[rows] += features.vectors.astype(float) @ vectors.projection.detach().numpy()
    if vectors.nodes is not None:
        nodes = vectors.nodes.detach().numpy()
        assert len(nodes) == 5  # three brands and two places
        joined: list[list[int]] = [[] for _ in range(12)]
        for key, first in ((BRAND, 0), (MADE_IN, 3)):
            for item, other in zip(*graph.positive_edges(key), strict=True):
                joined[item].append(first + other)
        for item, others in enumerate(joined):
            if others:
                expected[item] += nodes[others].sum(axis=0) / np.sqrt(len(others))
    np.testing.assert_allclose(vectors.all().numpy(), expected, atol=1e-12)
    np.testing.assert_array_equal(data.described, expected.any(axis=1))


def test_places_without_an_item_are_zero() -> None:
    _, vectors = vectors_of(("id", "text", "knowledge"))
    asked = torch.tensor([[3, -1], [-2, 5]])
    found = vectors(asked)
    assert found.shape == (2, 2, 4)
    assert not found[asked < 0].any()
    torch.testing.assert_close(found[asked >= 0], vectors.all()[[3, 5]])


def test_only_the_named_relations_are_read() -> None:
    data, _ = vectors_of(("knowledge",), relations=("of_brand",))
    assert data.joined is not None
    assert data.joined.counts.tolist() == [1] * 11 + [0]


def test_a_relation_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"relations names 'bought'; those of the items are made_in, of_brand"):
        vectors_of(("knowledge",), relations=("bought",))


def test_parts_that_are_not_there_at_all_are_refused() -> None:
    graph = history_graph([[0, 1, 2]])
    with pytest.raises(ConfigError, match="add 'id'"):
        ItemData.of(graph, SASRecConfig(item_parts=("text",)), None, TOUCHED)


def test_a_part_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="item_parts names 'id' twice"):
        SASRecConfig(item_parts=("id", "id"))
