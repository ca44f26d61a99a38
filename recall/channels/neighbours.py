"""Nearest-neighbour channels: a sparse item-item matrix of similarities, summed over the history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, vstack

from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import HistoryChannel, Scores, as_matrix
from recall.channels.known import Known
from recall.channels.scored import hold
from recall.contracts import Queries, Scored, TopK
from recall.index.top_k import best_first, first_of_rows, top_k_sparse


class NeighbourChannel(HistoryChannel):
    """score(u, i) = sum of s_ij over the liked items j among the nearest neighbours of i.

    A subclass computes the similarities; an item without any neighbour in the history is no candidate.
    """

    def __init__(self) -> None:
        super().__init__()
        self._similar: Any = csr_matrix((0, 0), dtype=np.float32)

    def _learn(self, graph: KnowledgeGraph, known: Known) -> None:
        rows = list(self._neighbours(graph, known))
        stacked = vstack(rows, format="csr") if rows else csr_matrix((known.num_items, known.num_items))
        self._keep(stacked.astype(np.float32))

    def _keep(self, nearest: Any) -> None:
        """Take s_ij by rows i; scoring goes from the liked j to the items i."""
        self._similar = nearest.T.tocsr()
        self._similar.sort_indices()

    @abstractmethod
    def _neighbours(self, graph: KnowledgeGraph, known: Known) -> Iterator[Any]:
        """Blocks of rows i with the similarities of their nearest neighbours j, CSR (block, items)."""

    def _asks_more(self, queries: Queries) -> bool:
        """Whether requests carry more than a history that the channel scores by."""
        return False

    def _top(
        self, queries: Queries, history: RaggedArray, excluded: RaggedArray | None, columns: IntArray | None, k: int
    ) -> TopK:
        if self._asks_more(queries):
            return super()._top(queries, history, excluded, columns, k)
        return top_k_sparse(self._sums(history, columns), k, exclude=excluded, columns=columns)

    def scored(self, queries: Queries) -> Scored:
        """The scores that `recommend` ranks by; see `recall.contracts.Channel`."""
        if self._asks_more(queries):
            return super().scored(queries)
        self.known.check(queries)
        return hold(self._sums(self.known.history(queries), None))

    def _sums(self, history: RaggedArray, columns: IntArray | None) -> Any:
        similar = self._similar if columns is None else self._similar[:, columns]
        return as_matrix(history, self.known.num_items) @ similar

    def _scores(self, queries: Queries, history: RaggedArray, columns: IntArray | None) -> Scores:
        scores: Scores = self._sums(history, columns).toarray()
        scores[scores == 0] = -np.inf
        return scores

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        parts: npt.NDArray[np.float64] = self._similar[history, :][:, [item]].toarray()[:, 0].astype(np.float64)
        return parts

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "neighbours.safetensors", pack_csr(self._similar, "similar"))

    def _read_neighbours(self, folder: Path) -> None:
        self._similar = unpack_csr(load_arrays(folder / "neighbours.safetensors"), "similar")


def nearest(similar: Any, n: int) -> Any:
    """The n largest positive entries of each row of a CSR matrix, equal ones by column."""
    similar = similar.tocsr()
    similar.sort_indices()
    row = np.repeat(np.arange(similar.shape[0]), np.diff(similar.indptr))
    kept = similar.data > 0
    row, column, value = row[kept], similar.indices[kept], similar.data[kept].astype(np.float32)
    order = best_first(row, value)
    order = order[first_of_rows(row[order], n)]
    return csr_matrix((value[order], (row[order], column[order])), shape=similar.shape)


def cosine_neighbours(vectors: Any, *, liked: npt.NDArray[np.bool_], n: int, block: int) -> Iterator[Any]:
    """Nearest liked items of every item by the inner product of unit rows.

    Args:
        vectors: CSR or dense (items, columns), rows of length 1 or 0.
        liked: items that can stand in a history; the others could never count, bool (items,).
        n: neighbours an item.
        block: items at a time.

    Yields:
        CSR (block, items), without an item's similarity to itself.
    """
    count = vectors.shape[0]
    against = np.flatnonzero(liked)
    others = vectors[against].T
    for start in range(0, count, block):
        stop = min(start + block, count)
        product = vectors[start:stop] @ others
        if not isinstance(product, np.ndarray):
            product = product.tocoo()
            row, column, value = product.row, against[product.col], product.data
        else:
            width = min(n + 1, product.shape[1])
            place = (
                np.argpartition(-product, width - 1, axis=1)[:, :width] if width else np.zeros((stop - start, 0), int)
            )
            edge = np.take_along_axis(product, place, axis=1).min(axis=1, initial=np.inf)
            row, at = np.nonzero(product >= edge[:, None])  # all that tie with the last one, so that ties go by column
            column, value = against[at], product[row, at]
        other = column != row + start
        yield nearest(csr_matrix((value[other], (row[other], column[other])), shape=(stop - start, count)), n)
