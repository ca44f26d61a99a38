"""Items like an item: those whose vectors point in the same direction, or those that a channel reaches from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg import RaggedArray, Vocabulary
from kg.arrays import IntArray
from recall.contracts import CandidateBatch, Channel, Query, SimilarItems, TopK
from recall.index.build import build_index
from recall.index.settings import IndexConfig

Titles = Callable[[IntArray], Sequence[str]]


class NearestItems:
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
        self._index = build_index(unit, IndexConfig(exact_up_to=len(unit)))
        learned = unit.any(axis=1)
        self._only = None if learned.all() else np.flatnonzero(learned)

    def items(self, ids: Sequence[str], k: int, *, titles: Titles | None = None) -> SimilarItems:
        """The k most similar items of each item, itself left out; none for an item about which nothing was learned.

        Args:
            ids: of the items, each once.
            k: items wanted for each.
            titles: names of items for people, by position; None: no column `title`.

        Raises:
            UnknownIdError: an item is not in the graph.
        """
        position = self._ids.index(ids)
        vectors = self._index.vectors[position]
        rows = np.flatnonzero(vectors.any(axis=1))
        itself = RaggedArray(np.arange(len(rows) + 1), position[rows])
        top = self._index.search(vectors[rows], min(k, len(self._ids)), exclude=itself, only=self._only)
        return _answer(top, rows, ids, self._ids, titles)


def reached_from(
    channel: Channel,
    items: Vocabulary,
    ids: Sequence[str],
    k: int,
    *,
    titles: Titles | None = None,
) -> SimilarItems:
    """The best k candidates of a channel for somebody who likes one item alone, for each item, itself left out.

    Args:
        channel: scores unknown people by their history.
        items: ids of all items.
        ids: of the items, each once.
        k: items wanted for each.
        titles: see `NearestItems.items`.

    Raises:
        UnknownIdError: an item is not in the graph.
    """
    alone = RaggedArray(np.arange(len(ids) + 1), items.index(ids))
    top = channel.score(Query.of_histories(ids, alone)).top(min(k, len(items)), exclude=alone)
    return _answer(top, np.arange(len(ids)), ids, items, titles)


def _answer(top: TopK, rows: IntArray, ids: Sequence[str], items: Vocabulary, titles: Titles | None) -> SimilarItems:
    """The table of what was found for some of the items that were asked about."""
    batch = CandidateBatch.of(top, ["similar"])
    columns = {
        "item_id": pa.array(ids, type=pa.string()).take(pa.array(rows[batch.row])),
        "similar_id": items.take(batch.item),
        "score": pa.array(batch.score),
        "rank": pa.array(batch.rank),
    }
    if titles is not None:
        columns["title"] = pa.array(titles(batch.item), type=pa.string())
    return SimilarItems(pa.table(columns))
