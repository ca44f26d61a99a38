"""Lists of neighbours: sparse matrices with the largest values of each row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, vstack

from kg.arrays import IntArray, offsets_of

_WORK = 2**25  # products of two entries held at once, some 400 MB at most


def largest(matrix: Any, n: int) -> Any:
    """The n largest positive entries of each row, equal ones by column.

    Args:
        matrix: CSR (rows, columns).
        n: at least 1.

    Returns:
        CSR of the same shape, columns sorted.
    """
    matrix = matrix.tocsr()
    matrix.sort_indices()
    kept = matrix.data > 0
    offsets = matrix.indptr
    for row in np.flatnonzero(np.diff(offsets) > n):
        span = slice(offsets[row], offsets[row + 1])
        values = matrix.data[span]
        edge = np.partition(values, len(values) - n)[len(values) - n]
        above = values > edge
        equal = np.flatnonzero(values == edge)[: n - int(above.sum())]
        above[equal] = True
        kept[span] &= above
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(offsets))[kept]
    counts = np.bincount(rows, minlength=matrix.shape[0])
    parts = (matrix.data[kept], matrix.indices[kept], offsets_of(counts))
    return csr_matrix(parts, shape=matrix.shape)


def largest_products(left: Any, right: Any, n: int, *, diagonal: bool = False) -> Any:
    """The n largest entries of each row of a product, so few rows at a time that the product never exists whole.

    Args:
        left: CSR (rows, inner).
        right: CSR (inner, columns).
        n: entries a row.
        diagonal: keep entries whose row is their column.

    Returns:
        CSR (rows, columns), float32.
    """
    parts = [largest(_without_diagonal(left[rows] @ right, rows.start, diagonal), n) for rows in _blocks(left, right)]
    if not parts:
        return csr_matrix((left.shape[0], right.shape[1]), dtype=np.float32)
    return vstack(parts, format="csr").astype(np.float32)


def _without_diagonal(matrix: Any, first_row: int, diagonal: bool) -> Any:
    if diagonal:
        return matrix
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    matrix.data[matrix.indices == row + first_row] = 0
    return matrix


def _blocks(left: Any, right: Any) -> Iterator[slice]:
    """Rows of the left factor whose products with the right one take about the same work."""
    work = np.diff(right.indptr).astype(np.int64)[left.indices]
    by_row = np.add.reduceat(np.append(work, 0), left.indptr[:-1]) if left.shape[0] else np.zeros(0, dtype=np.int64)
    by_row[np.diff(left.indptr) == 0] = 0
    cumulated = np.cumsum(by_row)
    start = 0
    while start < len(by_row):
        before = cumulated[start - 1] if start else 0
        stop = max(int(np.searchsorted(cumulated, before + _WORK, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def add_product(scores: npt.NDArray[np.float32], left: Any, right: Any) -> None:
    """Add a product of two sparse matrices to an array, in place.

    A row at a time: scipy's product of two sparse matrices takes several times as long where the result is crowded.

    Args:
        scores: (rows, columns).
        left: CSR (rows, inner), float32.
        right: CSR (inner, columns), float32.
    """
    # Long sums in float64: a score stays within 1e-6 of the sum of its paths.
    values = left.data.astype(np.float64)
    for row, (start, stop) in enumerate(pairwise(left.indptr.tolist())):
        if stop > start:
            scores[row] += right[left.indices[start:stop]].T @ values[start:stop]


class Neighbours:
    """A step along given lists: the weight of each edge is what a path is worth.

    Attributes:
        lists: CSR (items, items), the edges of each item, float32.
    """

    def __init__(self, lists: Any) -> None:
        self.lists = lists

    def add_reached(self, scores: npt.NDArray[np.float32], start: Any) -> None:
        """See `kg.topology.walk.step.Step`."""
        add_product(scores, start, self.lists)

    def values(self, items: IntArray, item: int) -> Any:
        """The values from some items to one, float64 (items,)."""
        return entries(self.lists, items, item)


def entries(matrix: Any, rows: IntArray, column: int) -> Any:
    """The entries of one column of a CSR matrix whose columns are sorted, for some rows, float64 (rows,)."""
    values = np.zeros(len(rows))
    for at, row in enumerate(rows.tolist()):
        start, stop = matrix.indptr[row], matrix.indptr[row + 1]
        place = start + int(np.searchsorted(matrix.indices[start:stop], column))
        if place < stop and matrix.indices[place] == column:
            values[at] = matrix.data[place]
    return values
