"""What users did to items, as aligned columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kg.vocabulary import IntArray, distinct

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Interactions:
    """Aligned columns, one row an interaction edge, in the order of the graph's edge table.

    Attributes:
        user, item: positions in the user and item tables, int64 (n,).
        timestamp: UTC seconds, int64 (n,); `NO_TIME` where unknown.
        positive: counts as liked, bool (n,).
    """

    user: IntArray
    item: IntArray
    timestamp: IntArray
    positive: npt.NDArray[np.bool_]

    @classmethod
    def from_edges(cls, table: Any, *, positive: npt.NDArray[np.bool_]) -> Interactions:
        """From an edge table of `src`, `dst` and perhaps `timestamp`."""
        count = table.num_rows
        if "timestamp" in table.column_names:
            timestamp = table["timestamp"].fill_null(NO_TIME).to_numpy().astype(np.int64, copy=False)
        else:
            timestamp = np.full(count, NO_TIME)
        return cls(
            user=table["src"].to_numpy().astype(np.int64, copy=False),
            item=table["dst"].to_numpy().astype(np.int64, copy=False),
            timestamp=timestamp,
            positive=positive,
        )

    def __len__(self) -> int:
        return len(self.user)

    def select(self, rows: npt.NDArray[Any]) -> Interactions:
        """Some of the rows, by mask or position."""
        return Interactions(self.user[rows], self.item[rows], self.timestamp[rows], self.positive[rows])

    @property
    def has_time(self) -> bool:
        """Whether every interaction has a timestamp."""
        return bool(len(self)) and bool((self.timestamp != NO_TIME).all())


@dataclass(frozen=True, slots=True)
class ItemLists:
    """A list of items for each of n rows, packed: the items of row r are `items[offsets[r]:offsets[r + 1]]`.

    Attributes:
        offsets: int64 (n + 1,).
        items: positions, sorted and unique within a row, int64 (total,).
    """

    offsets: IntArray
    items: IntArray

    @classmethod
    def from_pairs(cls, rows: IntArray, items: IntArray, *, num_rows: int) -> ItemLists:
        """Group pairs by row; duplicates count once."""
        if not len(rows):
            return cls(np.zeros(num_rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        width = np.int64(items.max()) + 1
        pairs = distinct(rows.astype(np.int64) * width + items)
        counts = np.bincount(pairs // width, minlength=num_rows)
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), pairs % width)

    @property
    def counts(self) -> IntArray:
        """Items of each row, int64 (n,)."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: IntArray) -> ItemLists:
        """The lists of some rows, in that order; row -1 gives an empty list."""
        rows = np.asarray(rows, dtype=np.int64)
        absent = rows < 0
        starts = self.offsets[np.where(absent, 0, rows)]
        counts = np.where(absent, 0, self.offsets[np.where(absent, 0, rows + 1)] - starts)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts) + np.repeat(starts, counts)
        return ItemLists(offsets, self.items[position])

    def rows(self) -> IntArray:
        """The row of each entry, int64 (total,)."""
        return np.repeat(np.arange(len(self)), self.counts)
