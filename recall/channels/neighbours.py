"""Nearest-neighbour channels: a sparse item-item matrix of similarities, summed over the history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, vstack

from kg import RaggedArray
from kg.arrays import IntArray
from kg.topology.walk import largest
from recall.channels.aged import AgedChannel
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import as_matrix
from recall.channels.scores import DeferredScores, FloatArray, hold
from recall.contracts import FitData, Query, Scores
from recall.contracts.history import disliked_items


class NeighbourChannel(AgedChannel):
    """score(u, i) = sum of s_ij over the liked items j among the nearest neighbours of i.

    A subclass computes the similarities; an item without any neighbour in the history is no candidate.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._similar: Any = csr_matrix((0, 0), dtype=np.float32)

    def _learn(self, data: FitData) -> None:
        rows = list(self._neighbours(data))
        count = data.history.num_items
        stacked = vstack(rows, format="csr") if rows else csr_matrix((count, count))
        self._keep(stacked.astype(np.float32))

    def _keep(self, nearest: Any) -> None:
        """Take s_ij by rows i; scoring goes from the liked j to the items i."""
        self._similar = nearest.T.tocsr()
        self._similar.sort_indices()

    @abstractmethod
    def _neighbours(self, data: FitData) -> Iterator[Any]:
        """Blocks of rows i with the similarities of their nearest neighbours j, CSR (block, items)."""

    def _asks_more(self, queries: Query) -> bool:
        """Whether requests carry more than a history that the channel scores by."""
        return False

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        if self._asks_more(queries) or len(disliked_items(queries).values):
            return super().score(queries)
        history = self._liked(queries)
        return DeferredScores(lambda columns: hold(self._sums(history, columns), columns), self.history.num_items)

    def _sums(self, history: RaggedArray, columns: IntArray | None) -> Any:
        # The lists of the liked items are few: they are added up first, and of the sums the columns are taken.
        sums = as_matrix(history, self.history.num_items) @ self._similar
        return sums if columns is None else sums[:, columns]

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        scores: FloatArray = self._sums(history, columns).toarray()
        scores[scores == 0] = -np.inf
        return scores

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        parts: npt.NDArray[np.float64] = self._similar[history, :][:, [item]].toarray()[:, 0].astype(np.float64)
        return parts

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "neighbours.safetensors", pack_csr(self._similar, "similar"))

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._similar = unpack_csr(load_arrays(folder / "neighbours.safetensors"), "similar")


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
        yield largest(csr_matrix((value[other], (row[other], column[other])), shape=(stop - start, count)), n)
