from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kg import Interactions, ItemLists
from kg.interactions import NO_TIME

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30)


def lists_of(pairs: list[tuple[int, int]], rows: int = 6) -> ItemLists:
    row, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return ItemLists.from_pairs(row, item, num_rows=rows)


@given(PAIRS)
def test_lists_against_sets(pairs: list[tuple[int, int]]) -> None:
    lists = lists_of(pairs)
    expected = [sorted({item for row, item in pairs if row == number}) for number in range(6)]
    assert [lists[number].tolist() for number in range(len(lists))] == expected
    assert lists.counts.tolist() == [len(items) for items in expected]
    assert list(zip(lists.rows().tolist(), lists.items.tolist(), strict=True)) == sorted(set(pairs))
    assert lists.offsets.dtype == lists.items.dtype == np.int64


@given(PAIRS, st.lists(st.integers(-1, 5), max_size=8))
def test_take_against_a_loop(pairs: list[tuple[int, int]], rows: list[int]) -> None:
    lists = lists_of(pairs)
    taken = lists.take(np.array(rows, dtype=np.int64))
    assert len(taken) == len(rows)
    for place, row in enumerate(rows):
        assert taken[place].tolist() == ([] if row < 0 else lists[row].tolist())


def test_taking_nobody_from_nobody() -> None:
    empty = ItemLists.from_pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), num_rows=0)
    taken = empty.take(np.array([-1, -1]))
    assert len(empty) == 0
    assert [taken[0].tolist(), taken[1].tolist()] == [[], []]


def test_from_edges_fills_missing_times() -> None:
    table = pa.table({"src": [0, 1], "dst": [1, 0], "timestamp": pa.array([5, None], type=pa.int64())})
    interactions = Interactions.from_edges(table, positive=np.array([True, False]))
    assert interactions.timestamp.tolist() == [5, NO_TIME]
    assert not interactions.has_time
    assert interactions.select(np.array([True, False])).has_time
    assert len(interactions.select(np.array([1, 1]))) == 2
    without = Interactions.from_edges(table.drop(["timestamp"]), positive=np.array([True, False]))
    assert without.timestamp.tolist() == [NO_TIME, NO_TIME]
