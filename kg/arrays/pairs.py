"""Looking up pairs of integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg.arrays.integers import IntArray


@dataclass(frozen=True, slots=True)
class PairIndex:
    """The pairs (row, column) as sorted integers `row * width + column`, to look pairs up by bisection.

    Attributes:
        width: number of columns.
        codes: sorted, int64 (n,).
        order: the position of each code in the arrays the index is made from, int64 (n,); None where they are sorted.
    """

    width: int
    codes: IntArray
    order: IntArray | None

    @classmethod
    def of(cls, rows: IntArray, columns: IntArray, width: int) -> PairIndex:
        """The index of aligned arrays, each (n,), with rows >= 0 and 0 <= columns < width; pairs may repeat."""
        codes = np.asarray(rows, dtype=np.int64) * np.int64(width) + columns
        if not (codes[1:] < codes[:-1]).any():
            return cls(width, codes, None)
        order = np.argsort(codes, kind="stable")
        return cls(width, codes[order], order)

    def __len__(self) -> int:
        return len(self.codes)

    def distinct(self) -> tuple[IntArray, IntArray]:
        """Rows and columns of the pairs, sorted and without repeats, each (m,)."""
        codes = self.codes
        first = np.ones(len(codes), dtype=bool)
        np.not_equal(codes[1:], codes[:-1], out=first[1:])
        codes = codes[first]
        return codes // max(self.width, 1), codes % max(self.width, 1)

    def position(self, rows: IntArray, columns: IntArray) -> IntArray:
        """Where pairs stand in the arrays the index is made from.

        Args:
            rows: of any shape; a negative one belongs to no pair.
            columns: aligned; a negative one belongs to no pair.

        Returns:
            The first position of each pair, -1 where it is absent, int64 of the same shape.
        """
        place, present = self._search(rows, columns)
        if self.order is not None and len(self.order):
            place = self.order[place]
        return np.where(present, place, -1)

    def contains(self, rows: IntArray, columns: IntArray) -> npt.NDArray[np.bool_]:
        """Whether pairs are there: bool of the shape of `rows` and `columns`."""
        return self._search(rows, columns)[1]

    def _search(self, rows: IntArray, columns: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        if not len(self.codes):
            shape = np.broadcast_shapes(rows.shape, columns.shape)
            return np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        wanted = rows * np.int64(self.width) + columns
        place = np.minimum(np.searchsorted(self.codes, wanted), len(self.codes) - 1)
        return place, (self.codes[place] == wanted) & (rows >= 0) & (columns >= 0) & (columns < self.width)
