"""The k largest values of each row of a matrix, in NumPy: what serves needs no torch, and ranks as training does.

Order: value descending, equal values by position ascending; -inf is never chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, places

Values = npt.NDArray[np.floating[Any]]

_GROUP = 64  # columns of a group, at most
_GROUPS = 8  # groups for each place wanted, at least
_SMALL = 32  # columns of a group from which on groups are looked into
_CROWD = 8  # groups for each place wanted from which on a row is compared as a whole


def top_k(scores: Values, k: int) -> tuple[IntArray, Values]:
    """The best k columns of each row.

    Args:
        scores: (rows, columns), no NaN.
        k: at least 1.

    Returns:
        Positions, int64 (rows, k), -1 where a row has fewer than k; and their scores, (rows, k), -inf there.
    """
    rows, columns = scores.shape
    positions = np.full((rows, k), -1, dtype=np.int64)
    best = np.full((rows, k), -np.inf, dtype=scores.dtype)
    if not rows or not columns:
        return positions, best
    row, column = _candidates(scores, min(k, columns))
    value = scores[row, column]
    order = best_first(row, value)
    order = order[first_of_rows(row[order], k)]
    row, column, value = row[order], column[order], value[order]
    rank = places(row)
    positions[row, rank], best[row, rank] = column, value
    return positions, best


def best_first(rows: IntArray, scores: Values) -> IntArray:
    """The stable order of (row, score) entries by row, then score descending.

    Entries that come in the order of their positions keep it where scores are equal. float32 scores are ordered by one
    sort of one integer key, several times faster than `np.lexsort`.
    """
    if scores.dtype != np.float32:
        return np.lexsort((-scores, rows)).astype(np.int64)
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    key = (rows.astype(np.uint64) << np.uint64(32)) | (~ascending).astype(np.uint64)
    order: IntArray = np.argsort(key, kind="stable")
    return order


def first_of_rows(rows: IntArray, k: int) -> npt.NDArray[np.bool_]:
    """Which entries are among the first k of their row; rows ascend."""
    result: npt.NDArray[np.bool_] = places(rows) < k
    return result


def _candidates(scores: Values, k: int) -> tuple[IntArray, IntArray]:
    """Entries above -inf that the best k of each row are among, by row and column.

    The columns are divided into groups. At least k entries reach the k-th largest of the groups' maxima, and only the
    few groups whose maximum reaches it are looked into: sorting or partitioning whole rows costs several times as much.
    """
    rows, columns = scores.shape
    size = max(min(_GROUP, columns // (_GROUPS * k)), 1)
    groups = columns // size
    # Column c is in group c % groups: NumPy reduces over the slow axis several times faster.
    grouped = scores[:, : groups * size].reshape(rows, size, groups)
    maxima = grouped.max(axis=1) if size > 1 else scores
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k]
    bound = np.maximum(bound, np.finfo(scores.dtype).min)
    if size < _SMALL:  # comparing all of a short row costs less than looking into groups
        maxima, size, groups = scores, 1, columns
    reached = maxima >= bound[:, None]
    crowded = np.flatnonzero(np.count_nonzero(reached, axis=1) > _CROWD * k)
    reached[crowded] = False
    row, group = np.divmod(np.flatnonzero(reached), groups)
    places = [row * columns + group]
    if size > 1:
        entry, inside = np.nonzero(grouped[row, :, group] >= bound[row, None])
        places = [places[0][entry] + inside * groups]
        rest = scores[:, groups * size :] >= bound[:, None]  # columns that fill no group
        rest[crowded] = False
        row, inside = np.nonzero(rest)
        places.append(row * columns + groups * size + inside)
    if len(crowded):
        places.append(_plateau(scores, crowded, bound, k))
    place = np.concatenate(places)
    place.sort()
    return np.divmod(place, columns)


def _plateau(scores: Values, rows: IntArray, bound: Values, k: int) -> IntArray:
    """As `_candidates` for rows with many equal scores at the bound: of those only the first k can be chosen."""
    chosen, limit = scores[rows], bound[rows, None]
    above, equal = chosen > limit, chosen == limit
    room = k - np.count_nonzero(above, axis=1)[:, None]
    row, column = np.nonzero(above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room)))
    result: IntArray = rows[row] * scores.shape[1] + column
    return result
