"""Rows of different lengths in two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays.integers import IntArray, distinct
from kg.arrays.pairs import PairIndex


@dataclass(frozen=True, slots=True)
class RaggedArray:
    """A list of integers for each of n rows; row r is `values[offsets[r]:offsets[r + 1]]`.

    Rows made by `from_pairs`, `union` and `empty` are sorted and without repeats; those of `from_grouped` and
    `from_lists` keep the order and the repeats of what they are made from.

    Attributes:
        offsets: where each row starts, and the end of the last, int64 (n + 1,).
        values: the rows one after the other, int64 (total,).
    """

    offsets: IntArray
    values: IntArray

    @classmethod
    def empty(cls, num_rows: int) -> RaggedArray:
        """Rows without values."""
        return cls(np.zeros(num_rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))

    @classmethod
    def from_pairs(
        cls, rows: npt.NDArray[np.integer[Any]], values: npt.NDArray[np.integer[Any]], *, num_rows: int
    ) -> RaggedArray:
        """Sorted rows without repeats from pairs in any order; neither rows nor values are negative, each (total,)."""
        if not len(rows):
            return cls.empty(num_rows)
        width = np.int64(values.max()) + 1
        pairs = distinct(rows.astype(np.int64) * width + values)
        counts = np.bincount(pairs // width, minlength=num_rows)
        return cls(offsets_of(counts), pairs % width)

    @classmethod
    def from_grouped(cls, rows: IntArray, values: IntArray, *, num_rows: int) -> RaggedArray:
        """Rows that keep the order and the repeats of the pairs; the pairs of a row need not stand together."""
        rows, values = np.asarray(rows, dtype=np.int64), np.asarray(values, dtype=np.int64)
        if (rows[1:] < rows[:-1]).any():
            values = values[np.argsort(rows, kind="stable")]
        return cls(offsets_of(np.bincount(rows, minlength=num_rows)), values)

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int] | IntArray]) -> RaggedArray:
        """One row a list, as it stands."""
        arrays = [np.asarray(row, dtype=np.int64) for row in lists]
        counts = np.array([len(row) for row in arrays], dtype=np.int64)
        return cls(offsets_of(counts), np.concatenate([np.zeros(0, dtype=np.int64), *arrays]))

    @property
    def counts(self) -> IntArray:
        """Length of each row, int64 (n,)."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def positions(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Where the values of some rows stand, for arrays aligned with `values`.

        Args:
            rows: row numbers in any order, also repeated; -1 for an empty row, (m,).

        Returns:
            The offsets of the chosen rows (m + 1,), and the positions of their values in `values`, (chosen,).
        """
        rows = np.asarray(rows, dtype=np.int64)
        absent = rows < 0
        starts = self.offsets[np.where(absent, 0, rows)]
        counts = np.where(absent, 0, self.offsets[np.where(absent, 0, rows + 1)] - starts)
        return offsets_of(counts), ranges(starts, counts)

    def take(self, rows: IntArray) -> RaggedArray:
        """Some rows, in the order asked for; row -1 gives an empty one."""
        offsets, position = self.positions(rows)
        return RaggedArray(offsets, self.values[position])

    def rows(self) -> IntArray:
        """The row of each value, int64 (total,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def is_sorted(self) -> bool:
        """Whether every row is sorted and without repeats."""
        rising = self.values[1:] > self.values[:-1]
        inner = self.offsets[(self.offsets > 0) & (self.offsets < len(self.values))]
        rising[inner - 1] = True  # from the last of a row to the first of the next
        return bool(rising.all())

    def union(self, other: RaggedArray) -> RaggedArray:
        """The values of both, row by row, sorted and without repeats; both have the same number of rows."""
        for only, empty in ((self, other), (other, self)):
            if not len(empty.values) and only.is_sorted:
                return only
        return RaggedArray.from_pairs(
            np.concatenate([self.rows(), other.rows()]),
            np.concatenate([self.values, other.values]),
            num_rows=len(self),
        )

    def contains(self, values: IntArray) -> npt.NDArray[np.bool_]:
        """Whether the row has the value, for m values a row (n, m); a negative value is in no row.

        Returns:
            bool (n, m).
        """
        return self._pairs().contains(np.arange(len(self))[:, None], values)

    def has(self, rows: IntArray, values: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each row has the value beside it, (m,)."""
        return self._pairs().contains(rows, values)

    def without(self, other: RaggedArray) -> RaggedArray:
        """The values that the same row of the other array does not have; both have the same number of rows."""
        kept = ~other.has(self.rows(), self.values)
        return RaggedArray.from_grouped(self.rows()[kept], self.values[kept], num_rows=len(self))

    def _pairs(self) -> PairIndex:
        return PairIndex.of(self.rows(), self.values, int(self.values.max(initial=-1)) + 1)


def offsets_of(counts: IntArray) -> IntArray:
    """Where rows of these lengths start, and the end of the last, int64 (n + 1,)."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def ranges(starts: IntArray, counts: IntArray) -> IntArray:
    """The integers from each start on, as many as its count says, one range after the other, int64 (sum of counts,)."""
    offsets = offsets_of(counts)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)


def places(rows: npt.NDArray[np.integer[Any]]) -> IntArray:
    """The place of each entry within its row, for row numbers in ascending order, int64 (n,)."""
    starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)])
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
