"""Ranking all items in blocks against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn.topk import top_items
from kg import ItemLists


def naive(users: np.ndarray, items: np.ndarray, k: int, seen: list[set[int]]) -> np.ndarray:
    result = np.full((len(users), k), -1)
    for row, user in enumerate(users):
        order = sorted(
            (item for item in range(len(items)) if item not in seen[row]),
            key=lambda item: (-float(user @ items[item]), item),
        )[:k]
        result[row, : len(order)] = order
    return result


@given(st.data())
def test_rankings_are_those_of_a_sort_with_ties_by_position(data: st.DataObject) -> None:
    n, items, k = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 12)), data.draw(st.integers(1, 14))
    values = st.integers(-1, 1)  # few values: many ties
    draw = lambda rows: np.array(  # noqa: E731
        data.draw(st.lists(st.lists(values, min_size=2, max_size=2), min_size=rows, max_size=rows)), dtype=np.float32
    )
    user_vectors, item_vectors = draw(n), draw(items)
    seen = [data.draw(st.sets(st.integers(0, items - 1))) for _ in range(n)]
    pairs = [(row, item) for row, own in enumerate(seen) for item in own]
    lists = ItemLists.from_pairs(
        np.array([p[0] for p in pairs], dtype=np.int64), np.array([p[1] for p in pairs], dtype=np.int64), num_rows=n
    )
    block = data.draw(st.sampled_from([None, 1, 2, 5]))
    found = top_items(user_vectors, item_vectors, k, seen=lists, block=block)
    assert found.dtype == np.int64
    assert found.tolist() == naive(user_vectors, item_vectors, k, seen).tolist()


@pytest.mark.parametrize("k", [1, 7])
def test_nobody_and_nothing(k: int) -> None:
    none, some = np.zeros((0, 3), dtype=np.float32), np.ones((2, 3), dtype=np.float32)
    assert top_items(none, some, k).shape == (0, k)
    assert top_items(some, none, k).tolist() == [[-1] * k] * 2
