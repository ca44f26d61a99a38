"""At which place of a list an item stands, for blocks of users."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray

ABSENT = np.iinfo(np.int32).max
_CELLS = 1 << 23  # users times items of the array, 32 MiB


class Places:
    """Looks items up in lists through one array of users times items, which is cleared where it was written.

    For lists of hundreds of items that takes a third of a binary search. One thread at a time may use it.
    """

    def __init__(self, num_items: int) -> None:
        """Make room for some users at a time.

        Args:
            num_items: items there are.
        """
        self._rows = max(1, _CELLS // (num_items + 1))
        # The last column stands for -1, no item: it is never written.
        self._place = np.full((self._rows, num_items + 1), ABSENT, dtype=np.int32)

    def of(self, lists: IntArray, asked: IntArray) -> npt.NDArray[np.int32]:
        """Where asked items stand in lists.

        Args:
            lists: item positions, each once in a row, -1 for no item, int64 (n, k).
            asked: item positions or -1, int64 (n, m).

        Returns:
            Places from 0, `ABSENT` where an item is not in the list, int32 (n, m).
        """
        result = np.empty(asked.shape, dtype=np.int32)
        for part in self._parts(len(lists)):
            row, place = np.nonzero(lists[part] >= 0)
            result[part] = self._look(row, lists[part][row, place], place, asked[part])
        return result

    def inside(self, lists: RaggedArray, asked: IntArray) -> npt.NDArray[np.bool_]:
        """Which asked items, int64 (n, m), -1 for none, are in the lists (n,); bool (n, m)."""
        result = np.empty(asked.shape, dtype=bool)
        for part in self._parts(len(lists)):
            some = lists.take(np.arange(part.start, part.stop))
            result[part] = self._look(some.rows(), some.values, np.zeros(1, dtype=np.int64), asked[part]) < ABSENT
        return result

    def _look(self, row: IntArray, item: IntArray, place: IntArray, asked: IntArray) -> npt.NDArray[np.int32]:
        width = self._place.shape[1]
        flat, written = self._place.reshape(-1), row * width + item
        flat[written] = place
        # -1 is the last column of the row before, which is never written.
        looked_up: npt.NDArray[np.int32] = flat[asked + np.arange(len(asked))[:, None] * width]
        flat[written] = ABSENT
        return looked_up

    def _parts(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self._rows):
            yield slice(start, min(start + self._rows, count))
