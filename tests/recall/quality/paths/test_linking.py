"""LIR, SEP and ETD: checked against the formulas of hopwise (pandas' exponential mean) and values worked out by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg import KnowledgeGraph
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.quality.paths.linking import popularity, recency, smoothed, type_diversity


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30).map(sorted))
def test_smoothing_is_the_exponential_mean_of_pandas_stretched_to_one(values: list[int]) -> None:
    given_values = list(range(len(values))) if values[0] == values[-1] else values
    means = pd.Series(given_values).ewm(span=len(values)).mean().to_numpy()
    expected = (means - means.min()) / (means.max() - means.min())
    assert smoothed(np.array(values)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100, 200], [0, 1]),
        ([10, 20, 40], [0, 1 / 3, 1]),
        ([7, 7, 7], [0, 7 / 15, 1]),
        ([1, 1, 2, 9], [0, 0, 0.129093497864262, 1]),
        ([5], [1]),
        ([], []),
    ],
)
def test_worked_values(values: list[int], expected: list[float]) -> None:
    assert smoothed(np.array(values, dtype=np.int64)) == pytest.approx(expected)


def test_recency_follows_the_times_of_what_is_liked(toy_graph: KnowledgeGraph) -> None:
    history = InteractionHistory.of(toy_graph)
    for user in (0, 7):
        lir = recency(history, user)
        assert set(lir) == set(history.liked[user].tolist())
        liked = history.in_order(np.array([user]))
        in_order = [lir[item] for item in liked.values.tolist()]
        assert in_order == pytest.approx(smoothed(liked.times))
        assert (min(in_order), in_order[-1]) == (0, 1)


def test_popularity_is_by_type_and_by_all_relations(toy_graph: KnowledgeGraph) -> None:
    adjacency = Adjacency.of(toy_graph)
    sep = popularity(toy_graph, adjacency)
    for name in toy_graph.nodes:
        span = adjacency.numbering.span(name)
        degrees = adjacency.degree[:, span].sum(axis=0)
        # Among nodes with the same degree the places decide, as where hopwise sorts.
        values = sep[span][np.argsort(degrees, kind="stable")]
        assert values == pytest.approx(smoothed(np.sort(degrees)))


def test_type_diversity() -> None:
    assert type_diversity([0, 0, 0, 0, 0], 4) == pytest.approx(1 / 4)
    assert type_diversity([0, 1, 2, 3], 4) == 1
    assert type_diversity([0, 1, 1], 7) == pytest.approx(2 / 3)
    assert type_diversity([], 4) == 0
