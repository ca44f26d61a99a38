"""Arrays on their way from the first rank to the others: shapes as plain data, then the bytes, no pickles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnn.distributed import Ranks

Arrays = Mapping[str, Any]
Described = Sequence[Sequence[Any]]


def described(arrays: Arrays) -> list[list[Any]]:
    """Name, type and shape of each, which the ranks that `received` them have to know first."""
    return [[name, value.dtype.str, list(value.shape)] for name, value in arrays.items()]


def send(ranks: Ranks, arrays: Arrays) -> None:
    """Send arrays, in their order; the first rank calls it."""
    for value in arrays.values():
        ranks.broadcast_bytes(np.ascontiguousarray(value).data.cast("B") if value.size else b"")


def received(ranks: Ranks, names: Described) -> dict[str, Any]:
    """The arrays that the first rank sends; all others call it."""
    return {
        name: np.frombuffer(ranks.broadcast_bytes(None), dtype=np.dtype(kind)).reshape(shape)
        for name, kind, shape in names
    }
