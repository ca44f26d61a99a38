"""Items whose texts are alike: cosine of text vectors, summed over the history. The baseline of cold items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.settings import Settings
from kg.topology.adjacency import Numbering
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import Scores, TextEncode, as_matrix, encode_texts, rows_with_text
from recall.channels.known import Known, rows_with
from recall.channels.neighbours import NeighbourChannel, cosine_neighbours
from recall.contracts import Queries

if TYPE_CHECKING:
    from gnn.text.features import TextFeatures

_BLOCK = 1024


class ContentKNNConfig(Settings):
    """Hyper-parameters of the content kNN."""

    section: ClassVar[str] = "channels.content_knn"

    neighbours: int | None = Field(
        default=20, ge=1, description="Most similar liked items kept for each item; None (in Python): all of them."
    )
    centre: bool = Field(
        default=True,
        description="Subtract the mean text vector before the cosine. Sentence vectors share a common direction that "
        "makes all texts look alike (Mu & Viswanath, ICLR 2018).",
    )


class ContentKNN(NeighbourChannel):
    """score(u, i) = sum over the liked items j of cos(x_j, x_i); a text in the request counts as one liked item.

    Attributes:
        config: hyper-parameters.
        encode: makes vectors of the texts in requests, in the space of the features; None: such requests are refused.
    """

    name: str = "content_knn"

    def __init__(
        self,
        features: TextFeatures | None = None,
        config: ContentKNNConfig | None = None,
        *,
        encode: TextEncode | None = None,
    ) -> None:
        """Say what to fit with.

        Args:
            features: text vectors of the graph's nodes; needed by `fit`.
            config: hyper-parameters.
            encode: texts (n,) -> vectors float32 (n, text dim), zero rows for blank texts.
        """
        super().__init__()
        self.config = config or ContentKNNConfig()
        self.encode = encode
        self._features = features
        self._mean: Scores = np.zeros(0, dtype=np.float32)
        self._unit: Scores = np.zeros((0, 0), dtype=np.float32)

    def _learn(self, graph: KnowledgeGraph, known: Known) -> None:
        if self._features is None:
            raise ConfigError("the content kNN needs text features: ContentKNN(features).fit(graph)")
        rows, vectors = self._features.of(Numbering.of(graph), graph.schema.item_type)
        given = np.linalg.norm(vectors, axis=1) > 0
        rows, vectors = rows[given], vectors[given]
        self._mean = np.zeros(self._features.dim, dtype=np.float32)
        if self.config.centre and len(rows):
            self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._unit = np.zeros((known.num_items, self._features.dim), dtype=np.float32)
        self._unit[rows] = _unit_rows(vectors - self._mean)
        if self.config.neighbours is not None:
            super()._learn(graph, known)

    def _neighbours(self, graph: KnowledgeGraph, known: Known) -> Iterator[Any]:
        liked = np.bincount(known.liked.values, minlength=known.num_items) > 0
        yield from cosine_neighbours(self._unit, liked=liked, n=self.config.neighbours or 1, block=_BLOCK)

    def _answerable(self, queries: Queries, history: RaggedArray) -> IntArray:
        return np.union1d(rows_with(history), rows_with_text(queries))

    def _asks_more(self, queries: Queries) -> bool:
        return self.config.neighbours is None or len(rows_with_text(queries)) > 0

    def _scores(self, queries: Queries, history: RaggedArray, columns: IntArray | None) -> Scores:
        unit = self._unit if columns is None else self._unit[columns]
        text = encode_texts(queries, self.encode, self.name)
        if text is not None:
            text = np.where(text.any(axis=1, keepdims=True), _unit_rows(text - self._mean), 0)
        if self.config.neighbours is not None:
            scores = super()._scores(queries, history, columns)
            if text is not None:
                asked = text.any(axis=1)
                scores[asked] = np.maximum(scores[asked], 0) + text[asked] @ unit.T
        else:
            profile = as_matrix(history, self.known.num_items) @ self._unit
            scores = (profile if text is None else profile + text) @ unit.T
        scores[:, ~unit.any(axis=1)] = -np.inf
        return scores

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        if self.config.neighbours is not None:
            return super()._parts(history, item)
        parts: npt.NDArray[np.float64] = self._unit[history].astype(np.float64) @ self._unit[item].astype(np.float64)
        return parts

    def _facts(self) -> dict[str, Any]:
        return {"config": self.config.model_dump()}

    def _write(self, folder: Path) -> None:
        arrays = {"mean": self._mean, "unit": self._unit}
        if self.config.neighbours is not None:
            arrays |= pack_csr(self._similar, "similar")
        save_arrays(folder / "content.safetensors", arrays)

    @classmethod
    def _read(cls, folder: Path, facts: dict[str, Any]) -> Self:
        channel = cls(config=ContentKNNConfig(**facts["config"]))
        arrays = load_arrays(folder / "content.safetensors")
        channel._mean, channel._unit = arrays["mean"], arrays["unit"]
        if channel.config.neighbours is not None:
            channel._similar = unpack_csr(arrays, "similar")
        return channel


def _unit_rows(vectors: Scores) -> Scores:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Scores = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return result
