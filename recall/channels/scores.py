"""Scores of one block of requests over all items; see `recall.contracts.Scores`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray, PairIndex
from recall.contracts import Scores, TopK
from recall.index.base import VectorIndex
from recall.index.top_k import BLOCK_SCORES, is_crowded, is_narrow, mask_out, top_k, top_k_sparse

FloatArray = npt.NDArray[np.float32]


class DeferredScores:
    """Scores that are computed when they are first needed; a narrow choice of items before that costs only these."""

    def __init__(self, compute: Callable[[IntArray | None], Scores], num_items: int) -> None:
        """Hold the computation: positions of the only items, or None for all `num_items` -> scores of these."""
        self._compute = compute
        self._num_items = num_items

    @cached_property
    def _all(self) -> Scores:
        return self._compute(None)

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        if is_narrow(only, self._num_items) and "_all" not in vars(self):
            return self._compute(only).top(k, exclude=exclude)
        return self._all.top(k, exclude=exclude, only=only)

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        return self._all.at(items)


class DenseScores:
    """An array of scores."""

    def __init__(self, scores: FloatArray, rows: IntArray, count: int, columns: IntArray | None = None) -> None:
        """Hold a block.

        Args:
            scores: of the rows with evidence, float32 (r, items or columns), -inf where there is no evidence.
            rows: which of the requests these are, int64 (r,).
            count: requests.
            columns: positions of the items, sorted; None: all items. With it only `top` can be asked.
        """
        self._scores = scores
        self._rows = rows
        self._count = count
        self._columns = columns

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        columns = self._columns if only is None else only
        scores = self._scores if only is None else self._scores[:, only]
        if exclude is None:
            return _spread_out(top_k(scores, k, columns=columns), self._rows, self._count)
        left_out = exclude.take(self._rows)
        # The block is large: what is left out is put back, which is cheaper than a copy of everything.
        row = left_out.rows()
        kept = None if columns is not None else self._scores[row, left_out.values]
        mask_out(scores, left_out, columns)
        top = top_k(scores, k, columns=columns)
        if kept is not None:
            self._scores[row, left_out.values] = kept
        return _spread_out(top, self._rows, self._count)

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        wanted = items[self._rows]
        values = np.take_along_axis(self._scores, np.maximum(wanted, 0), axis=1)
        values[(wanted < 0) | (values == -np.inf)] = 0
        result = np.zeros(items.shape, dtype=np.float32)
        result[self._rows] = values
        return result


class SparseScores:
    """A sparse matrix of scores; an entry of 0 is no evidence."""

    def __init__(self, scores: Any, columns: IntArray | None = None) -> None:
        """Hold a block.

        Args:
            scores: CSR (n, items or columns), float32.
            columns: see `DenseScores`.
        """
        scores.sort_indices()
        self._scores = scores
        self._columns = columns

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        scores = self._scores if only is None else self._scores[:, only]
        return top_k_sparse(scores, k, exclude=exclude, columns=self._columns if only is None else only)

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        scores = self._scores
        stored = PairIndex.of(np.repeat(np.arange(len(items)), np.diff(scores.indptr)), scores.indices, scores.shape[1])
        place = stored.position(np.arange(len(items))[:, None], items)
        return np.append(scores.data, np.float32(0))[place]  # -1 is the 0 at the end


def hold(scores: Any, columns: IntArray | None = None) -> DenseScores | SparseScores:
    """A block of sparse scores, CSR (n, items or columns), in the form that is faster to ask."""
    if not is_crowded(scores):
        return SparseScores(scores, columns)
    dense = scores.toarray()
    dense[dense == 0] = -np.inf
    return DenseScores(dense, np.arange(len(dense)), len(dense), columns)


class SharedScores:
    """The same scores for every request."""

    def __init__(self, scores: FloatArray, count: int) -> None:
        """Hold one row of scores, float32 (items,), for a number of requests."""
        self._scores = scores
        self._count = count

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        # Nobody needs more than the first k items and as many as are left out.
        need = k + (0 if exclude is None else int(exclude.counts.max(initial=0)))
        scores = self._scores if only is None else self._scores[only]
        columns = np.sort(top_k(scores[None], min(need, len(scores))).items[0])
        if only is not None:
            columns = only[columns]
        items = np.full((self._count, k), -1, dtype=np.int64)
        best = np.full((self._count, k), -np.inf, dtype=np.float32)
        step = max(1, BLOCK_SCORES // max(len(columns), 1))
        for start in range(0, self._count, step):
            rows = np.arange(start, min(start + step, self._count))
            block = np.tile(self._scores[columns], (len(rows), 1))
            if exclude is not None:
                mask_out(block, exclude.take(rows), columns)
            top = top_k(block, k, columns=columns)
            items[rows], best[rows] = top.items, top.scores
        return TopK(items, best)

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        return np.where(items >= 0, self._scores[np.maximum(items, 0)], np.float32(0))


class IndexScores:
    """Inner products, searched through an index.

    Attributes:
        vectors: one for each request, (n, dim), zero where there is no evidence.
    """

    def __init__(self, index: VectorIndex, vectors: FloatArray) -> None:
        """Hold the vectors."""
        self._index = index
        self.vectors = vectors
        self._rows = np.flatnonzero(vectors.any(axis=1))

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        if len(self._rows) == len(self.vectors):
            return self._index.search(self.vectors, k, exclude=exclude, only=only)
        left_out = None if exclude is None else exclude.take(self._rows)
        top = self._index.search(self.vectors[self._rows], k, exclude=left_out, only=only)
        return _spread_out(top, self._rows, len(self.vectors))

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        return self._index.scores(self.vectors, items)


def described_alone(scores: IndexScores, described: npt.NDArray[np.bool_]) -> Scores:
    """The same scores, with nothing but the described items as candidates, bool (items,)."""
    return scores if described.all() else _Described(scores, described)


class _Described:
    """Scores of the items that have a vector; the others are not scored."""

    def __init__(self, scores: IndexScores, described: npt.NDArray[np.bool_]) -> None:
        self._scores, self._items = scores, np.flatnonzero(described)
        self.vectors = scores.vectors

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        only = self._items if only is None else np.intersect1d(only, self._items, assume_unique=True)
        return self._scores.top(k, exclude=exclude, only=only)

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        return self._scores.at(items)


def _spread_out(top: TopK, rows: IntArray, count: int) -> TopK:
    """Lists of some rows among all of them, the others empty."""
    if len(rows) == count:
        return top
    width = top.items.shape[1]
    items = np.full((count, width), -1, dtype=np.int64)
    scores = np.full((count, width), -np.inf, dtype=np.float32)
    items[rows], scores[rows] = top.items, top.scores
    return TopK(items, scores)
