"""The most liked items, the same for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import HistoryChannel, item_likes
from recall.channels.scores import FloatArray, SharedScores
from recall.contracts import Capabilities, FitData, NoShares, Query, Scores, Shares


class PopularityConfig(Settings):
    """There is nothing to choose."""

    section: ClassVar[str] = "channels.popularity"


class Popularity(HistoryChannel):
    """Items by the number of users who like them. It answers everybody, also without a history."""

    name: ClassVar[str] = "popularity"
    config_type: ClassVar[type[Any]] = PopularityConfig
    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False, everybody=True, dense=False)

    def __init__(self, config: PopularityConfig | None = None) -> None:
        super().__init__(config)
        self._likes: FloatArray = np.zeros(0, dtype=np.float32)

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        self.history  # noqa: B018 (raises before a fit)
        return SharedScores(self._likes, len(queries))

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """A count of other people's likes has no share of the user's."""
        self.history  # noqa: B018 (raises before a fit)
        result: list[Shares | NoShares] = []
        for likes in self._likes[items].astype(np.int64).tolist():
            people = "1 user likes" if likes == 1 else f"{likes} users like"
            result.append(NoShares(float(likes), f"{people} it; what is popular does not depend on the user's history"))
        return result

    def _learn(self, data: FitData) -> None:
        self._likes = item_likes(data.history).astype(np.float32)

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        likes = self._likes if columns is None else self._likes[columns]
        return np.tile(likes, (len(queries), 1))

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        return np.zeros(len(history))

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "popularity.safetensors", {"likes": self._likes})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._likes = load_arrays(folder / "popularity.safetensors")["likes"]
