from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kg import RaggedArray
from kg.arrays import offsets_of, places, ranges

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30)
LISTS = st.lists(st.lists(st.integers(0, 7), max_size=5), max_size=6)


def columns(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def sets_of(pairs: list[tuple[int, int]], rows: int = 6) -> RaggedArray:
    row, value = columns(pairs)
    return RaggedArray.from_pairs(row, value, num_rows=rows)


def as_lists(ragged: RaggedArray) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


@given(PAIRS)
def test_pairs_become_sorted_sets(pairs: list[tuple[int, int]]) -> None:
    ragged = sets_of(pairs)
    expected = [sorted({value for row, value in pairs if row == number}) for number in range(6)]
    assert as_lists(ragged) == expected
    assert ragged.counts.tolist() == [len(row) for row in expected]
    assert list(zip(ragged.rows().tolist(), ragged.values.tolist(), strict=True)) == sorted(set(pairs))
    assert ragged.offsets.dtype == ragged.values.dtype == np.int64
    assert ragged.is_sorted


@given(PAIRS)
def test_grouping_keeps_order_and_repeats(pairs: list[tuple[int, int]]) -> None:
    ragged = RaggedArray.from_grouped(*columns(pairs), num_rows=6)
    assert as_lists(ragged) == [[value for row, value in pairs if row == number] for number in range(6)]
    assert ragged.offsets.dtype == ragged.values.dtype == np.int64


@given(LISTS)
def test_lists_stay_as_they_are(lists: list[list[int]]) -> None:
    ragged = RaggedArray.from_lists(lists)
    assert as_lists(ragged) == lists
    assert ragged.is_sorted == all(row == sorted(set(row)) for row in lists)
    assert ragged.offsets.dtype == ragged.values.dtype == np.int64


@given(LISTS, st.data())
def test_take_against_a_loop(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(-1, len(lists) - 1), max_size=8))
    ragged = RaggedArray.from_lists(lists)
    expected = [[] if row < 0 else lists[row] for row in rows]
    assert as_lists(ragged.take(np.array(rows, dtype=np.int64))) == expected
    offsets, position = ragged.positions(np.array(rows, dtype=np.int64))
    assert as_lists(RaggedArray(offsets, ragged.values[position])) == expected


@given(LISTS, st.data())
def test_union_and_contains_against_sets(lists: list[list[int]], data: st.DataObject) -> None:
    size = len(lists)
    others = data.draw(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=size, max_size=size))
    wanted = data.draw(st.lists(st.lists(st.integers(-1, 12), min_size=4, max_size=4), min_size=size, max_size=size))
    ragged = RaggedArray.from_lists(lists)
    both = ragged.union(RaggedArray.from_lists(others))
    assert as_lists(both) == [sorted({*left, *right}) for left, right in zip(lists, others, strict=True)]
    rest = ragged.without(RaggedArray.from_lists(others))
    assert as_lists(rest) == [[v for v in left if v not in right] for left, right in zip(lists, others, strict=True)]
    contained = ragged.contains(np.array(wanted, dtype=np.int64).reshape(size, 4))
    assert contained.tolist() == [[value in row for value in few] for row, few in zip(lists, wanted, strict=True)]


def test_taking_no_row_of_none() -> None:
    empty = sets_of([], rows=0)
    assert len(empty) == 0
    assert as_lists(empty.take(np.array([-1, -1]))) == as_lists(RaggedArray.empty(2)) == [[], []]


@given(st.lists(st.integers(0, 4), max_size=12))
def test_places_within_rows(rows: list[int]) -> None:
    rows.sort()
    assert places(np.array(rows, dtype=np.int64)).tolist() == [rows[:at].count(row) for at, row in enumerate(rows)]


@given(st.lists(st.tuples(st.integers(-3, 5), st.integers(0, 4)), max_size=8))
def test_ranges_one_after_the_other(parts: list[tuple[int, int]]) -> None:
    starts, counts = columns(parts)
    assert ranges(starts, counts).tolist() == [start + at for start, count in parts for at in range(count)]
    assert offsets_of(counts).tolist() == [sum(count for _, count in parts[:at]) for at in range(len(parts) + 1)]
