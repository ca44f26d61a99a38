"""What every index of item vectors can do, wherever the vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from kg import RaggedArray
from kg.arrays import IntArray
from recall.index.exact import FloatArray
from recall.index.top_k import TopK


@runtime_checkable
class VectorIndex(Protocol):
    """Item vectors by position, under inner product. Threads may search it together."""

    @property
    def dim(self) -> int:
        """Columns of every vector."""

    @property
    def fingerprint(self) -> str:
        """Digest of the vectors it was built from."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a report says of it: kind, parameters, recall, items, bytes a vector."""

    def __len__(self) -> int:
        """Positions, those of removed items among them."""

    def search(
        self, queries: FloatArray, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> TopK:
        """The k items with the largest inner product for each query; see `recall.index.item_index.ItemIndex`."""

    def scores(self, queries: FloatArray, items: IntArray) -> FloatArray:
        """Exact scores of given items (n, m), float32 (n, m); -1 scores 0."""

    def add(self, vectors: FloatArray) -> IntArray:
        """Put new items behind the last one; their positions."""

    def replace(self, items: IntArray, vectors: FloatArray) -> None:
        """Give items other vectors; removed ones are there again."""

    def remove(self, items: IntArray) -> None:
        """Take items out; the positions of the others stay."""
