from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kg.arrays import PairIndex

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30)
ASKED = st.lists(st.tuples(st.integers(-2, 7), st.integers(-2, 10)), max_size=30)


def columns(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


@given(PAIRS, ASKED)
def test_positions_against_a_list(pairs: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    index = PairIndex.of(*columns(pairs), 8)
    expected = [pairs.index(pair) if pair in pairs else -1 for pair in asked]
    position = index.position(*columns(asked))
    assert position.tolist() == expected
    assert position.dtype == np.int64
    assert index.contains(*columns(asked)).tolist() == [pair in pairs for pair in asked]
    assert len(index) == len(pairs)
    assert list(zip(*(column.tolist() for column in index.distinct()), strict=True)) == sorted(set(pairs))


@given(PAIRS)
def test_one_row_against_a_matrix_of_columns(pairs: list[tuple[int, int]]) -> None:
    rows, values = np.arange(6)[:, None], np.arange(8)[None, :]
    contained = PairIndex.of(*columns(pairs), 8).contains(rows, values)
    assert contained.tolist() == [[(row, value) in pairs for value in range(8)] for row in range(6)]
    assert (PairIndex.of(*columns(pairs), 8).position(rows, values) >= 0).tolist() == contained.tolist()
