"""Inner products of vectors, exact: all allowed items of a query are scored, and given pairs."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray, places
from recall.index.top_k import BLOCK_SCORES, TopK, mask_out

FloatArray = npt.NDArray[np.float32]

_ROUNDING = 1e-6  # of |query| * longest vector: how far float32 sums of different order can lie apart


def exact_top(
    vectors: FloatArray,
    queries: FloatArray,
    k: int,
    *,
    exclude: RaggedArray | None,
    only: IntArray | None,
    longest: float,
    block: int = BLOCK_SCORES,
) -> TopK:
    """Score all allowed items; those that rounding could bring into the top k are scored again in float64.

    Args:
        vectors: float32 (items, dim).
        queries: float32 (n, dim).
        k: items wanted.
        exclude: items to leave out, a list for each query.
        only: sorted positions of the only items allowed; None for all.
        longest: length of the longest vector.
        block: scores that are held at once.
    """
    items = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    barred: npt.NDArray[np.bool_] | None = None
    if only is not None and 2 * len(only) > len(vectors):  # a copy of most vectors costs more than their scores
        barred = np.ones(len(vectors), dtype=bool)
        barred[only] = False
        only = None
    if only is not None:
        vectors = vectors[only]
    if not len(vectors):
        return TopK(items, scores)
    step = max(1, block // len(vectors))
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        rough = some @ vectors.T
        if barred is not None:
            rough[:, barred] = -np.inf
        if exclude is not None:
            mask_out(rough, exclude.take(np.arange(start, start + len(some))), only)
        edge = np.full(len(some), -np.inf)
        if k < len(vectors):
            edge = np.partition(rough, len(vectors) - k, axis=1)[:, len(vectors) - k].astype(np.float64)
        floor = (edge - rounding(some, longest))[:, None]
        row, column = np.nonzero((rough >= floor) & (rough > -np.inf))
        value = inner_products(some, vectors, row, column)
        order = np.lexsort((column, -value, row))
        row, column, value = row[order], column[order], value[order]
        place = places(row)
        best = place < k
        row, column, value, place = row[best], column[best], value[best], place[best]
        items[start + row, place] = column if only is None else only[column]
        scores[start + row, place] = value
    return TopK(items, scores)


def rounding(queries: FloatArray, longest: float) -> npt.NDArray[np.float64]:
    """How far two float32 sums of one inner product can lie apart, for each query, float64 (n,)."""
    result: npt.NDArray[np.float64] = _ROUNDING * longest * np.linalg.norm(queries, axis=1).astype(np.float64)
    return result


def vectors_fingerprint(vectors: FloatArray) -> str:
    """A digest of a float32 matrix and its shape."""
    digest = hashlib.sha256(str(vectors.shape).encode())
    for start in range(0, len(vectors), 65_536):
        digest.update(np.ascontiguousarray(vectors[start : start + 65_536], dtype="<f4").data)
    return digest.hexdigest()[:32]


def longest_row(vectors: FloatArray) -> float:
    """Length of the longest vector."""
    longest = 0.0
    for start in range(0, len(vectors), 65_536):
        block = vectors[start : start + 65_536]
        longest = max(longest, float(np.sqrt(np.einsum("nd,nd->n", block, block).max(initial=0.0))))
    return longest


def inner_products(left: FloatArray, right: FloatArray, row: IntArray, column: IntArray) -> FloatArray:
    """Inner products of the given pairs of rows, summed in float64, float32 (pairs,)."""
    result = np.empty(len(row), dtype=np.float32)
    step = max(1, BLOCK_SCORES // max(left.shape[1], 1) // 4)
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        result[part] = np.einsum("pd,pd->p", left[row[part]], right[column[part]], dtype=np.float64)
    return result
