"""Items whose texts are alike: cosine of text vectors, summed over the history. The baseline of cold items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from recall.channels.aged import AgedConfig
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import as_matrix, encode_texts, item_likes, rows_with_text
from recall.channels.neighbours import NeighbourChannel, cosine_neighbours
from recall.channels.scores import FloatArray
from recall.channels.texts import unit_item_texts, unit_texts
from recall.contracts import Capabilities, FitData, Query
from recall.contracts.history import rows_with

if TYPE_CHECKING:
    pass

_BLOCK = 1024


class ContentKNNConfig(AgedConfig):
    """Hyper-parameters of the content kNN: items whose texts are alike."""

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
    """score(u, i) = sum over the liked items j of cos(x_j, x_i); a text in the request counts as one liked item."""

    name: ClassVar[str] = "content_knn"
    config_type: ClassVar[type[Any]] = ContentKNNConfig
    capabilities: ClassVar[Capabilities] = Capabilities(text=True, needs_text=True)

    def __init__(self, config: ContentKNNConfig | None = None) -> None:
        super().__init__(config)
        self._mean: FloatArray = np.zeros(0, dtype=np.float32)
        self._unit: FloatArray = np.zeros((0, 0), dtype=np.float32)

    def _learn(self, data: FitData) -> None:
        features = data.features
        if features is None:
            raise ConfigError("content_knn needs text features: fit it with FitData(features=...)")
        rows, unit, self._mean = unit_item_texts(data.graph, features, centre=self.config.centre)
        self._unit = np.zeros((data.history.num_items, features.dim), dtype=np.float32)
        self._unit[rows] = unit
        if self.config.neighbours is not None:
            super()._learn(data)

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        liked = item_likes(data.history) > 0
        yield from cosine_neighbours(self._unit, liked=liked, n=self.config.neighbours or 1, block=_BLOCK)

    def _answerable(self, queries: Query, history: RaggedArray) -> IntArray:
        return np.union1d(rows_with(history), rows_with_text(queries))

    def _asks_more(self, queries: Query) -> bool:
        return self.config.neighbours is None or len(rows_with_text(queries)) > 0

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        unit = self._unit if columns is None else self._unit[columns]
        text = self._text(queries)
        if self.config.neighbours is not None:
            scores = super()._scores(queries, history, columns)
            if text is not None:
                with_text = text.any(axis=1)
                scores[with_text] = np.maximum(scores[with_text], 0) + text[with_text] @ unit.T
        else:
            profile = as_matrix(history, self.history.num_items) @ self._unit
            scores = (profile if text is None else profile + text) @ unit.T
        scores[:, ~unit.any(axis=1)] = -np.inf
        return scores

    def _text(self, queries: Query) -> FloatArray | None:
        """Unit vectors of the requests' texts, float32 (n, text dim), zero where there is none; None without any."""
        text = encode_texts(queries, self.encode, self.name)
        return None if text is None else unit_texts(text, self._mean)

    def _asked(self, queries: Query, items: IntArray) -> npt.NDArray[np.float64]:
        text = self._text(queries)
        if text is None:
            return super()._asked(queries, items)
        cosines: npt.NDArray[np.float64] = (text.astype(np.float64) * self._unit[items]).sum(axis=1)
        return cosines

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        if self.config.neighbours is not None:
            return super()._parts(history, item)
        parts: npt.NDArray[np.float64] = self._unit[history].astype(np.float64) @ self._unit[item].astype(np.float64)
        return parts

    def _write(self, folder: Path) -> None:
        arrays = {"mean": self._mean, "unit": self._unit}
        if self.config.neighbours is not None:
            arrays |= pack_csr(self._similar, "similar")
        save_arrays(folder / "content.safetensors", arrays)

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / "content.safetensors")
        self._mean, self._unit = arrays["mean"], arrays["unit"]
        if self.config.neighbours is not None:
            self._similar = unpack_csr(arrays, "similar")
