"""Item vectors in a FAISS index, that can be added, replaced and removed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np

from kg.arrays import IntArray
from kg.errors import InvalidDataError
from recall.index.exact import longest_row, vectors_fingerprint
from recall.index.kinds import LISTED, FloatArray, Kind, add_to_lists, stored_vectors
from recall.index.rows import Rows
from recall.index.top_k import check_positions


class StoredVectors:
    """Vectors of items by position. One thread may change them, while none searches; no other item's position changes.

    Attributes:
        kind: "flat" (exact), "ivf", "hnsw", "sq" or "pq", see `recall.index.kinds`.
        parameters: of the kind: `lists`, `probes` and `refine`, or `links` and `ef`.
        recall: share of the exact top items found in the sample that the kind was chosen by; 1 when exact.
        bytes_a_vector: memory that a search needs for a vector.
        vectors: float32 (items, dim); memory-mapped after `load`, until the first change.
    """

    def __init__(
        self,
        index: Any,
        vectors: FloatArray,
        *,
        kind: Kind,
        parameters: Mapping[str, int],
        recall: float,
        fingerprint: str | None = None,
        rows: Rows | None = None,
        bytes_a_vector: int = 0,
        mapped: bool = False,
    ) -> None:
        self._index = index
        self.vectors = vectors
        self.kind: Kind = kind
        self.parameters = dict(parameters)
        self.recall = recall
        self.bytes_a_vector = bytes_a_vector
        self._fingerprint = fingerprint
        self._longest = longest_row(vectors)
        self._rows = rows  # None: every row is an item, in order
        self._mapped = mapped

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Columns of every vector."""
        return int(self.vectors.shape[1])

    @property
    def fingerprint(self) -> str:
        """Digest of the vectors; of removed items they are 0."""
        if self._fingerprint is None:
            self._fingerprint = vectors_fingerprint(self.vectors)
        return self._fingerprint

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it, plain data."""
        items = len(self) if self._rows is None else len(self._rows.left)
        return {
            "kind": self.kind,
            "parameters": self.parameters,
            "recall": self.recall,
            "items": items,
            "bytes_a_vector": self.bytes_a_vector,
        }

    def add(self, vectors: FloatArray) -> IntArray:
        """Put new items behind the last one, while nobody searches.

        Args:
            vectors: float32 (n, dim).

        Returns:
            Their positions, int64 (n,).

        Raises:
            InvalidDataError: the vectors do not fit.
        """
        vectors = self._fitting_vectors(vectors)
        rows = self._own()
        items = len(self) + np.arange(len(vectors))
        if self.kind in LISTED:
            add_to_lists(self._index, vectors, items)
        else:
            self._index.add(vectors)
        self._rows = rows.grown(len(vectors))
        self._changed(
            stored_vectors(self._index, writable=True)
            if self.kind == "flat"
            else np.concatenate([self.vectors, vectors])
        )
        return items

    def replace(self, items: IntArray, vectors: FloatArray) -> None:
        """Give items other vectors, while nobody searches; removed ones are there again.

        A graph keeps the old vectors as passages, which nothing finds: after many replacements build it again.

        Args:
            items: positions, each once, int64 (n,).
            vectors: float32 (n, dim).

        Raises:
            InvalidDataError: a position is not there or comes twice, or the vectors do not fit.
        """
        vectors, items = self._fitting_vectors(vectors), self._positions(items)
        if len(items) != len(vectors):
            raise InvalidDataError(f"there are {len(items)} positions and {len(vectors)} vectors")
        rows = self._own()
        if self.kind in LISTED:
            self._index.remove_ids(faiss.IDSelectorBatch(items))
            add_to_lists(self._index, vectors, items)
            self._rows = rows.again(items)
        elif self.kind == "hnsw":
            self._index.add(vectors)
            self._rows = rows.moved(items)
        else:
            self._rows = rows.again(items)
        self.vectors[items] = vectors
        self._changed(self.vectors)

    def remove(self, items: IntArray) -> None:
        """Take items out, while nobody searches; the positions of the others stay.

        Args:
            items: positions, each once, int64 (n,).

        Raises:
            InvalidDataError: a position is not there or comes twice.
        """
        items = self._positions(items)
        rows = self._own()
        if self.kind in LISTED:
            self._index.remove_ids(faiss.IDSelectorBatch(items))
        self._rows = rows.without(items)
        self.vectors[items] = 0
        self._changed(self.vectors)

    def _own(self) -> Rows:
        """Make what is about to change ours: no file that is mapped, no view into FAISS that moves."""
        if self._rows is None or self._mapped:
            if self._mapped:
                self._index = faiss.deserialize_index(faiss.serialize_index(self._index))
                self._mapped = False
            flat = self.kind == "flat"
            self.vectors = stored_vectors(self._index, writable=True) if flat else np.array(self.vectors)
        return Rows.of(len(self)) if self._rows is None else self._rows

    def _changed(self, vectors: FloatArray) -> None:
        self.vectors, self._fingerprint = vectors, None
        self._longest = longest_row(vectors)

    def _fitting_vectors(self, vectors: FloatArray) -> FloatArray:
        vectors = checked_vectors(vectors)
        if vectors.shape[1] != self.dim:
            raise InvalidDataError(f"vectors of {vectors.shape[1]} columns do not fit an index of {self.dim} columns")
        return vectors

    def _positions(self, items: IntArray) -> IntArray:
        given = np.asarray(items, dtype=np.int64)
        if len(check_positions(given, len(self), "items")) != len(given):
            raise InvalidDataError("a position comes twice: name each item once")
        return given


def checked_vectors(vectors: FloatArray) -> FloatArray:
    """Item vectors as a contiguous matrix, float32 (n, dim).

    Raises:
        InvalidDataError: they are no matrix, or not finite.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise InvalidDataError("an index needs a matrix of finite item vectors; train again or look at the data")
    return vectors
