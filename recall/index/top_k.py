"""The best k of a block of scores, with ties in one order: score descending, position ascending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.evaluation.top_k import best_first, first_of_rows
from gnn.evaluation.top_k import top_k as best_columns
from kg import RaggedArray
from kg.arrays import IntArray, PairIndex, distinct, places
from kg.errors import ConfigError, InvalidDataError

__all__ = [
    "BLOCK_SCORES",
    "TopK",
    "best_first",
    "check_k",
    "check_positions",
    "first_of_rows",
    "is_crowded",
    "is_narrow",
    "mask_out",
    "top_k",
    "top_k_sparse",
]

BLOCK_SCORES = 2**24  # scores held at once, 64 MiB: a dense user x item matrix never exists

_NARROW = 0.25  # share of the items above which choosing columns of what a channel learned costs more than it saves
_DENSE = 0.02  # share of stored entries from which on a sparse matrix is ranked as a dense one


@dataclass(frozen=True)
class TopK:
    """Ranked items of a batch, by position.

    Attributes:
        items: positions, best first, -1 where there are fewer than k, int64 (n, k).
        scores: float32 (n, k), -inf where there is no item.
    """

    items: IntArray
    scores: npt.NDArray[np.float32]


def check_k(k: int) -> None:
    """Refuse what is no number of places.

    Raises:
        ConfigError: k is no whole number, or below 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ConfigError(f"k = {k!r} must be a whole number, at least 1")
    if k < 1:
        raise ConfigError(f"k = {k} must be at least 1")


def check_positions(positions: IntArray, count: int, what: str) -> IntArray:
    """Positions sorted and unique, all below `count`.

    Raises:
        InvalidDataError: one lies outside.
    """
    result = np.asarray(positions, dtype=np.int64)
    if result.ndim != 1 or not (result[1:] > result[:-1]).all():
        result = distinct(result)
    if len(result) and (result[0] < 0 or result[-1] >= count):
        raise InvalidDataError(f"{what} name positions {result[0]} to {result[-1]}, but there are {count} items")
    return result


def is_narrow(only: IntArray | None, count: int) -> bool:
    """Whether so few of `count` items are allowed that scores are computed for these alone."""
    return only is not None and len(only) < _NARROW * count


def mask_out(scores: npt.NDArray[np.float32], lists: RaggedArray, columns: IntArray | None = None) -> None:
    """Set the scores of listed items to -inf, in place.

    Args:
        scores: (rows, columns).
        lists: items of each row.
        columns: item position of each column, sorted; None: column c is item c.
    """
    rows, items = lists.rows(), lists.values
    if columns is not None:
        place = np.minimum(np.searchsorted(columns, items), max(len(columns) - 1, 0))
        there = columns[place] == items if len(columns) else np.zeros(len(items), dtype=bool)
        rows, items = rows[there], place[there]
    scores[rows, items] = -np.inf


def is_crowded(scores: Any) -> bool:
    """Whether a sparse matrix stores so much that ranking all its columns takes less than sorting what it stores."""
    return bool(scores.nnz > _DENSE * scores.shape[0] * scores.shape[1])


def top_k_sparse(scores: Any, k: int, *, exclude: RaggedArray | None, columns: IntArray | None = None) -> TopK:
    """The best k stored entries of each row of a sparse matrix; entries of 0 are never chosen.

    Args:
        scores: CSR (rows, columns), float32.
        k: at least 1.
        exclude: items to leave out of each row.
        columns: item position of each column, sorted ascending; None: column c is item c.

    Returns:
        (rows, k), equal scores in the order of their positions.
    """
    if is_crowded(scores):
        dense = scores.toarray()
        dense[dense == 0] = -np.inf
        if exclude is not None:
            mask_out(dense, exclude, columns)
        return top_k(dense, k, columns=columns)
    scores.sort_indices()
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    item = scores.indices.astype(np.int64) if columns is None else columns[scores.indices]
    kept = scores.data != 0
    if exclude is not None and len(exclude.values):
        width = int(exclude.values.max()) + 1
        kept &= ~PairIndex.of(exclude.rows(), exclude.values, width).contains(row, item)
    row, item, value = row[kept], item[kept], scores.data[kept]
    order = best_first(row, value)
    order = order[first_of_rows(row[order], k)]
    row = row[order]
    place = places(row)
    items = np.full((scores.shape[0], k), -1, dtype=np.int64)
    best = np.full((scores.shape[0], k), -np.inf, dtype=np.float32)
    items[row, place], best[row, place] = item[order], value[order]
    return TopK(items, best)


def top_k(scores: npt.NDArray[np.float32], k: int, *, columns: IntArray | None = None) -> TopK:
    """The best k columns of each row; -inf is never chosen.

    Args:
        scores: float32 (rows, columns), no NaN.
        k: at least 1.
        columns: item position of each column, sorted ascending; None: column c is item c.

    Returns:
        (rows, k), equal scores in the order of their positions.
    """
    items, best = best_columns(scores, k)
    if columns is not None and len(columns):
        items = np.where(items < 0, -1, columns[items])
    return TopK(items, best.astype(np.float32, copy=False))
