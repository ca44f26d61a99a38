"""Items whose vectors point in the same direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kg import RaggedArray, Vocabulary
from recall.contracts import CandidateBatch, Candidates
from recall.index.item_index import ItemIndex
from recall.index.settings import IndexConfig

SOURCE = "similar"


class SimilarItems:
    """Nearest items by cosine."""

    def __init__(self, items: Vocabulary, vectors: npt.NDArray[np.float32]) -> None:
        """Index unit vectors.

        Args:
            items: their ids.
            vectors: float32 (items, dim), zero where nothing was learned.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        self._ids = items
        self._index = ItemIndex.build(unit, IndexConfig(exact_up_to=len(unit)))
        learned = unit.any(axis=1)
        self._only = None if learned.all() else np.flatnonzero(learned)

    def items(self, ids: Sequence[str], k: int) -> Candidates:
        """The k most similar items of each item, itself left out; none for an item about which nothing was learned.

        Raises:
            UnknownIdError: an item is not in the graph.
        """
        position = self._ids.index(ids)
        vectors = self._index.vectors[position]
        rows = np.flatnonzero(vectors.any(axis=1))
        itself = RaggedArray(np.arange(len(rows) + 1), position[rows])
        top = self._index.search(vectors[rows], min(k, len(self._ids)), exclude=itself, only=self._only)
        return Candidates(CandidateBatch.of(top, [SOURCE]).to_arrow([ids[row] for row in rows.tolist()], self._ids))
