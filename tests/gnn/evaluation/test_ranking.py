"""Ranking all items in blocks against a plain sort."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnn.evaluation import ranking
from gnn.evaluation.ranking import top_items, top_items_under
from kg import RaggedArray


def naive(users: np.ndarray, items: np.ndarray, k: int, seen: list[set[int]]) -> np.ndarray:
    result = np.full((len(users), k), -1)
    for row, user in enumerate(users):
        order = sorted(
            (item for item in range(len(items)) if item not in seen[row]),
            key=lambda item: (-float(user @ items[item]), item),
        )[:k]
        result[row, : len(order)] = order
    return result


@pytest.fixture(autouse=True, params=["groups", "whole rows", "crowded rows", "as on a GPU"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every way to the same ranking, whatever the number of columns."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "as on a GPU":
            patch.setattr("gnn.evaluation.ranking.top_k", on_gpu)
        else:
            patch.setattr("gnn.evaluation.top_k._GROUPS", 1)
            patch.setattr("gnn.evaluation.top_k._SMALL", 64 if request.param == "whole rows" else 2)
            patch.setattr("gnn.evaluation.top_k._CROWD", 0 if request.param == "crowded rows" else 3)
        yield


def on_gpu(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    place = ranking._largest(torch.from_numpy(scores), min(k, scores.shape[1])).numpy()
    place = np.pad(place, ((0, 0), (0, k - place.shape[1])), constant_values=-1)
    values = np.pad(scores, ((0, 0), (0, 1)), constant_values=-np.inf)  # the last column is that of -1
    return place, np.take_along_axis(values, np.where(place < 0, scores.shape[1], place), axis=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rankings_are_those_of_a_sort_with_ties_by_position(data: st.DataObject) -> None:
    n, items, k = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 14))
    values = st.integers(-1, 1)  # few values: many ties
    draw = lambda rows: np.array(  # noqa: E731
        data.draw(st.lists(st.lists(values, min_size=2, max_size=2), min_size=rows, max_size=rows)), dtype=np.float32
    )
    user_vectors, item_vectors = draw(n), draw(items)
    seen = [data.draw(st.sets(st.integers(0, items - 1))) for _ in range(n)]
    pairs = [(row, item) for row, own in enumerate(seen) for item in own]
    lists = RaggedArray.from_pairs(
        np.array([p[0] for p in pairs], dtype=np.int64), np.array([p[1] for p in pairs], dtype=np.int64), num_rows=n
    )
    block = data.draw(st.sampled_from([None, 1, 2, 5]))
    ranked = top_items(user_vectors, item_vectors, k, seen=lists, block=block)
    assert ranked.dtype == np.int64
    assert ranked.tolist() == naive(user_vectors, item_vectors, k, seen).tolist()


@pytest.mark.parametrize("k", [1, 7])
def test_nobody_and_nothing(k: int) -> None:
    none, some = np.zeros((0, 3), dtype=np.float32), np.ones((2, 3), dtype=np.float32)
    assert top_items(none, some, k).shape == (0, k)
    assert top_items(some, none, k).tolist() == [[-1] * k] * 2


def test_many_columns_are_ranked_as_by_a_sort_also_where_most_are_equal_or_seen() -> None:
    random = np.random.default_rng(0)
    users, items = (
        random.integers(-3, 4, (9, 3)).astype(np.float32),
        random.integers(-2, 3, (700, 3)).astype(np.float32),
    )
    seen = [set(random.integers(0, 700, 30).tolist()) for _ in range(8)] + [set(range(5, 700))]
    pairs = np.array([(row, item) for row, own in enumerate(seen) for item in sorted(own)])
    lists = RaggedArray.from_pairs(pairs[:, 0], pairs[:, 1], num_rows=9)
    for k in (1, 5, 20):
        assert top_items(users, items, k, seen=lists).tolist() == naive(users, items, k, seen).tolist()


@pytest.mark.parametrize(
    ("scores_a_block", "items_a_block"), [(1 << 24, 50), (150, 50), (1, 50), (70, 7), (1 << 24, 49), (1, 1)]
)
def test_several_scales_rank_as_each_alone(
    scores_a_block: int, items_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "CPU_SCORES", scores_a_block)  # all users, some, or one at a time
    monkeypatch.setattr(ranking, "CPU_ITEMS", items_a_block)
    random = np.random.default_rng(1)
    users, items = random.integers(-3, 4, (9, 3)).astype(np.float32), random.integers(-2, 3, (50, 3)).astype(np.float32)
    # A scale of 0 must not make a number of the minus infinity of a seen item.
    scales = [np.ones(50, np.float32), random.integers(0, 3, 50).astype(np.float32)]
    seen = RaggedArray.from_pairs(np.repeat(np.arange(9), 3), random.integers(0, 50, 27), num_rows=9)
    added = [None, random.integers(0, 3, 50).astype(np.float32)]
    ways = [
        (torch.from_numpy(s), None if a is None else torch.from_numpy(a)) for s, a in zip(scales, added, strict=True)
    ]
    together = top_items_under(torch.from_numpy(users), torch.from_numpy(items), ways, 7, seen=seen)
    lengths = np.linalg.norm(users, axis=1, keepdims=True)
    for scale, more, ranked in zip(scales, added, together, strict=True):
        left, right = users, items * scale[:, None]
        if more is not None:
            left, right = np.hstack([left, lengths]), np.hstack([right, more[:, None]])
        assert ranked.tolist() == top_items(left, right, 7, seen=seen).tolist()
