"""What users did to items, as aligned columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg.arrays import IntArray

NO_TIME = np.iinfo(np.int64).min
NO_ORDER = -1


@dataclass(frozen=True, slots=True)
class Interactions:
    """Aligned columns, one row an interaction, in the order of the edge table they come from.

    Attributes:
        user, item: positions in the user and item tables, int64 (n,).
        timestamp: UTC seconds, int64 (n,); `NO_TIME` where unknown.
        positive: counts as liked, bool (n,).
        weight: what the source says about its strength, float32 (n,); 1 where it says nothing.
        kind: number of the relation it belongs to, int16 (n,).
        order: place among the user's interactions in a source that lists them in order, int64 (n,); `NO_ORDER`
            elsewhere.
    """

    user: IntArray
    item: IntArray
    timestamp: IntArray
    positive: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]
    kind: npt.NDArray[np.int16]
    order: IntArray

    @classmethod
    def from_edges(
        cls, table: Any, *, positive: npt.NDArray[np.bool_], kind: int = 0, user: str = "src", item: str = "dst"
    ) -> Interactions:
        """From an edge table, perhaps with `timestamp`, `weight` and `order`.

        Args:
            table: Arrow table; a null or NaN in one of the other columns counts as unknown.
            positive: which rows count as liked, bool (n,).
            kind: number of the table's relation.
            user: column of the users' positions.
            item: column of the items' positions.
        """
        return cls(
            user=table[user].to_numpy().astype(np.int64, copy=False),
            item=table[item].to_numpy().astype(np.int64, copy=False),
            timestamp=_integers(table, "timestamp", NO_TIME),
            positive=positive,
            weight=_weights(table),
            kind=np.full(table.num_rows, kind, dtype=np.int16),
            order=_integers(table, "order", NO_ORDER),
        )

    @classmethod
    def concatenate(cls, parts: list[Interactions]) -> Interactions:
        """Several ones after another."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.user)

    def select(self, rows: npt.NDArray[Any]) -> Interactions:
        """Some of the rows, by mask or position."""
        return Interactions(*(getattr(self, field.name)[rows] for field in fields(Interactions)))

    @property
    def has_time(self) -> bool:
        """Whether every interaction has a timestamp."""
        return bool(len(self)) and bool((self.timestamp != NO_TIME).all())


def _integers(table: Any, name: str, missing: int) -> IntArray:
    """An optional column of integers, or of floats without fractions."""
    if name not in table.column_names:
        return np.full(table.num_rows, missing, dtype=np.int64)
    column = table[name]
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        return np.where(np.isnan(values), missing, np.nan_to_num(values)).astype(np.int64)
    integers: IntArray = column.fill_null(missing).to_numpy().astype(np.int64, copy=False)
    return integers


def _weights(table: Any) -> npt.NDArray[np.float32]:
    if "weight" not in table.column_names:
        return np.ones(table.num_rows, dtype=np.float32)
    values = table["weight"].cast(pa.float32()).to_numpy()
    return np.where(np.isnan(values), np.float32(1), values)
