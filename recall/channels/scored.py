"""Scores of one block of requests over all items, held while its callers ask for the best ones and for single items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray, PairIndex
from recall.contracts import TopK
from recall.index.item_index import ItemIndex
from recall.index.top_k import is_crowded, mask_out, top_k, top_k_sparse

Scores = npt.NDArray[np.float32]


class DenseScores:
    """Scores of every item, see `recall.contracts.Scored`."""

    def __init__(self, scores: Scores, rows: IntArray, count: int) -> None:
        """Hold a block.

        Args:
            scores: of the rows with evidence, float32 (r, items), -inf where there is no evidence.
            rows: which of the requests these are, int64 (r,).
            count: requests.
        """
        self._scores = scores
        self._rows = rows
        self._count = count

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scored`."""
        scores = self._scores if only is None else self._scores[:, only]
        if exclude is None:
            return _spread_out(top_k(scores, k, columns=only), self._rows, self._count)
        left_out = exclude.take(self._rows)
        # The block is large: what is left out is put back, which is cheaper than a copy of everything.
        row = left_out.rows()
        kept = None if only is not None else self._scores[row, left_out.values]
        mask_out(scores, left_out, only)
        top = top_k(scores, k, columns=only)
        if kept is not None:
            self._scores[row, left_out.values] = kept
        return _spread_out(top, self._rows, self._count)

    def at(self, items: IntArray) -> Scores:
        """See `recall.contracts.Scored`."""
        wanted = items[self._rows]
        values = np.take_along_axis(self._scores, np.maximum(wanted, 0), axis=1)
        values[(wanted < 0) | (values == -np.inf)] = 0
        result = np.zeros(items.shape, dtype=np.float32)
        result[self._rows] = values
        return result


class SparseScores:
    """Scores of the items that have any, see `recall.contracts.Scored`."""

    def __init__(self, scores: Any) -> None:
        """Hold a block: CSR (n, items), float32."""
        scores.sort_indices()
        self._scores = scores

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scored`."""
        scores = self._scores if only is None else self._scores[:, only]
        return top_k_sparse(scores, k, exclude=exclude, columns=only)

    def at(self, items: IntArray) -> Scores:
        """See `recall.contracts.Scored`."""
        scores = self._scores
        stored = PairIndex.of(np.repeat(np.arange(len(items)), np.diff(scores.indptr)), scores.indices, scores.shape[1])
        place = stored.position(np.arange(len(items))[:, None], items)
        return np.append(scores.data, np.float32(0))[place]  # -1 is the 0 at the end


def hold(scores: Any) -> DenseScores | SparseScores:
    """A block of sparse scores, CSR (n, items), in the form that is faster to ask."""
    if not is_crowded(scores):
        return SparseScores(scores)
    dense = scores.toarray()
    dense[dense == 0] = -np.inf
    return DenseScores(dense, np.arange(len(dense)), len(dense))


class IndexScores:
    """Scores by inner product, see `recall.contracts.Scored`."""

    def __init__(self, index: ItemIndex, vectors: Scores) -> None:
        """Hold one vector a request, (n, dim), zero where there is no evidence."""
        self._index = index
        self._vectors = vectors
        self._rows = np.flatnonzero(vectors.any(axis=1))

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scored`."""
        left_out = None if exclude is None else exclude.take(self._rows)
        top = self._index.search(self._vectors[self._rows], k, exclude=left_out, only=only)
        return _spread_out(top, self._rows, len(self._vectors))

    def at(self, items: IntArray) -> Scores:
        """See `recall.contracts.Scored`."""
        return self._index.scores(self._vectors, items)


def _spread_out(top: TopK, rows: IntArray, count: int) -> TopK:
    """Lists of some rows among all of them, the others empty."""
    if len(rows) == count:
        return top
    width = top.items.shape[1]
    items = np.full((count, width), -1, dtype=np.int64)
    scores = np.full((count, width), -np.inf, dtype=np.float32)
    items[rows], scores[rows] = top.items, top.scores
    return TopK(items, scores)
