"""What users did to items, as aligned columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray

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
