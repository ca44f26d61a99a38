"""The best k of a block of scores, with ties in one order: score descending, position ascending."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kg import ItemLists
from kg.errors import ConfigError, InvalidDataError
from kg.ids import IntArray
from recall.contracts import TopK

BLOCK_SCORES = 2**24  # scores held at once, 64 MiB: a dense user x item matrix never exists


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
    result = np.unique(np.asarray(positions, dtype=np.int64))
    if len(result) and (result[0] < 0 or result[-1] >= count):
        raise InvalidDataError(f"{what} name positions {result[0]} to {result[-1]}, but there are {count} items")
    return result


def mask_out(scores: npt.NDArray[np.float32], lists: ItemLists, columns: IntArray | None = None) -> None:
    """Set the scores of listed items to -inf, in place.

    Args:
        scores: (rows, columns).
        lists: items of each row.
        columns: item position of each column, sorted; None: column c is item c.
    """
    rows, items = lists.rows(), lists.items
    if columns is not None:
        place = np.minimum(np.searchsorted(columns, items), max(len(columns) - 1, 0))
        there = columns[place] == items if len(columns) else np.zeros(len(items), dtype=bool)
        rows, items = rows[there], place[there]
    scores[rows, items] = -np.inf


def contains(lists: ItemLists, items: IntArray) -> npt.NDArray[np.bool_]:
    """Whether row r lists the item, for each of (rows, m) positions; -1 counts as not listed."""
    if not len(lists.items):
        return np.zeros(items.shape, dtype=bool)
    width = np.int64(max(lists.items.max(), items.max(initial=0)) + 1)
    listed = lists.rows() * width + lists.items
    wanted = np.arange(len(lists))[:, None] * width + items
    place = np.minimum(np.searchsorted(listed, wanted), len(listed) - 1)
    result: npt.NDArray[np.bool_] = (listed[place] == wanted) & (items >= 0)
    return result


def best_first(rows: IntArray, scores: npt.NDArray[np.float32]) -> IntArray:
    """The stable order of (row, score) entries by row, then score descending.

    One sort of one integer key, several times faster than `np.lexsort`. Entries that come in the order of their
    positions keep it where scores are equal.
    """
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0 makes one zero of two
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    key = (rows.astype(np.uint64) << np.uint64(32)) | (~ascending).astype(np.uint64)
    order: IntArray = np.argsort(key, kind="stable")
    return order


def first_of_rows(rows: IntArray, k: int) -> npt.NDArray[np.bool_]:
    """Which entries are among the first k of their row; rows ascend."""
    result: npt.NDArray[np.bool_] = np.arange(len(rows)) - np.searchsorted(rows, rows) < k
    return result


def top_k_sparse(scores: Any, k: int, *, exclude: ItemLists | None, columns: IntArray | None = None) -> TopK:
    """The best k stored entries of each row of a sparse matrix; entries of 0 are never chosen.

    Args:
        scores: CSR (rows, columns), float32.
        k: at least 1.
        exclude: items to leave out of each row.
        columns: item position of each column, sorted ascending; None: column c is item c.

    Returns:
        (rows, k), equal scores in the order of their positions.
    """
    scores.sort_indices()
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    item = scores.indices.astype(np.int64) if columns is None else columns[scores.indices]
    kept = scores.data != 0
    if exclude is not None and len(exclude.items):
        width = np.int64(max(exclude.items.max(), item.max(initial=0)) + 1)
        kept &= ~np.isin(row * width + item, exclude.rows() * width + exclude.items, kind="sort")
    row, item, value = row[kept], item[kept], scores.data[kept]
    order = best_first(row, value)
    order = order[first_of_rows(row[order], k)]
    row = row[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
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
    count, width = scores.shape
    kept = min(k, width)
    if kept == 0:
        return TopK(np.full((count, k), -1, dtype=np.int64), np.full((count, k), -np.inf, dtype=np.float32))
    if width > kept:
        # One more than wanted: when the last one in equals the first one out, the choice between them is a tie.
        part = np.argpartition(scores, width - kept - 1, axis=1)[:, width - kept - 1 :]
        first_out = np.take_along_axis(scores, part[:, :1], axis=1)[:, 0]
        chosen = part[:, 1:]
        values = np.take_along_axis(scores, chosen, axis=1)
        tied = np.flatnonzero((values.min(axis=1) == first_out) & (first_out > -np.inf))
        if len(tied):
            block, edge = scores[tied], first_out[tied, None]
            above, equal = block > edge, block == edge
            room = kept - above.sum(axis=1, keepdims=True)
            chosen[tied] = np.nonzero(above | (equal & (np.cumsum(equal, axis=1) <= room)))[1].reshape(-1, kept)
            values = np.take_along_axis(scores, chosen, axis=1)
    else:
        chosen = np.broadcast_to(np.arange(width), scores.shape)
        values = scores
    order = np.lexsort((chosen, -values), axis=1)
    chosen, values = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)
    items = np.full((count, k), -1, dtype=np.int64)
    best = np.full((count, k), -np.inf, dtype=np.float32)
    items[:, :kept] = np.where(values > -np.inf, chosen if columns is None else columns[chosen], -1)
    best[:, :kept] = values
    return TopK(items, best)
