"""Which rows of an index stand for which items, once items were replaced or removed in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray


@dataclass(frozen=True)
class Rows:
    """Rows and items of an index.

    Attributes:
        removed: items that are gone, bool (items,).
        item: of each row that FAISS holds, -1 for a row that nothing stands for any more, int64 (rows,); of inverted
            lists, which keep items by their numbers, it is not used.
    """

    removed: npt.NDArray[np.bool_]
    item: IntArray

    @classmethod
    def of(cls, count: int) -> Self:
        """As many rows as items, none of them removed."""
        return cls(np.zeros(count, dtype=bool), np.arange(count))

    @property
    def is_whole(self) -> bool:
        """Whether every row is an item, in order."""
        return not self.removed.any() and len(self.item) == len(self.removed) and bool((self.item >= 0).all())

    @property
    def left(self) -> IntArray:
        """Items that are there, ascending, int64."""
        return np.flatnonzero(~self.removed)

    def allowed(self, items: IntArray) -> npt.NDArray[np.uint8]:
        """Which rows stand for given items, 0 or 1, uint8 (rows,)."""
        chosen = np.zeros(len(self.removed) + 1, dtype=np.uint8)
        chosen[items] = 1
        result: npt.NDArray[np.uint8] = chosen[self.item]  # -1 is the 0 at the end
        return result

    def items_of(self, rows: IntArray) -> IntArray:
        """Items of rows, -1 where there is none."""
        result: IntArray = np.where(rows >= 0, self.item[np.maximum(rows, 0)], -1)
        return result

    def grown(self, count: int) -> Rows:
        """With new items at the end, each with a row at the end."""
        items = len(self.removed) + np.arange(count)
        return Rows(np.append(self.removed, np.zeros(count, dtype=bool)), np.append(self.item, items))

    def moved(self, items: IntArray) -> Rows:
        """With new rows at the end for items that are there again; their old rows stand for nothing."""
        return Rows(self._marked(items, gone=False), np.append(self._without(items), items))

    def without(self, items: IntArray) -> Rows:
        """With some items removed."""
        return Rows(self._marked(items, gone=True), self._without(items))

    def again(self, items: IntArray) -> Rows:
        """With some items there, in the rows that they had."""
        item = self.item.copy()
        item[items] = items
        return Rows(self._marked(items, gone=False), item)

    def _marked(self, items: IntArray, *, gone: bool) -> npt.NDArray[np.bool_]:
        removed = self.removed.copy()
        removed[items] = gone
        return removed

    def _without(self, items: IntArray) -> IntArray:
        drop = np.zeros(len(self.removed) + 1, dtype=bool)
        drop[items] = True
        result: IntArray = np.where(drop[self.item], -1, self.item)
        return result
