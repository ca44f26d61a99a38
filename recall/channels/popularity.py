"""The most liked items, the same for everybody."""

from __future__ import annotations

from abc import abstractmethod
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


class SameForAll(HistoryChannel):
    """One score for each item, the same for every request; a subclass says which, and what it counts.

    It answers everybody, also without a history.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False, everybody=True, dense=False)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._counts: dict[str, FloatArray] = {}

    @abstractmethod
    def _counted(self, data: FitData) -> dict[str, FloatArray]:
        """What is counted of each item, by name, float32 (items,) each."""

    @abstractmethod
    def _values(self) -> FloatArray:
        """The scores, float32 (items,)."""

    @abstractmethod
    def _words(self, item: int) -> str:
        """What was counted of an item, in words."""

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        self.history  # noqa: B018 (raises before a fit)
        return SharedScores(self._values(), len(queries))

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """A count of what other people did has no share of the user's."""
        self.history  # noqa: B018 (raises before a fit)
        said = "what is popular does not depend on the user's history"
        scores = self._values()[items].tolist()
        return [
            NoShares(float(score), f"{self._words(item)}; {said}")
            for score, item in zip(scores, items.tolist(), strict=True)
        ]

    def _learn(self, data: FitData) -> None:
        self._counts = self._counted(data)

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        values = self._values()
        return np.tile(values if columns is None else values[columns], (len(queries), 1))

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        return np.zeros(len(history))

    def _write(self, folder: Path) -> None:
        save_arrays(folder / f"{self.name}.safetensors", self._counts)

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._counts = load_arrays(folder / f"{self.name}.safetensors")


class Popularity(SameForAll):
    """Items by the number of users who like them."""

    name: ClassVar[str] = "popularity"
    config_type: ClassVar[type[Any]] = PopularityConfig

    def _counted(self, data: FitData) -> dict[str, FloatArray]:
        return {"likes": item_likes(data.history).astype(np.float32)}

    def _values(self) -> FloatArray:
        return self._counts["likes"]

    def _words(self, item: int) -> str:
        return f"{people(self._counts['likes'][item])} it"


def people(count: float) -> str:
    """How many users like something, for a sentence."""
    return "1 user likes" if count == 1 else f"{int(count)} users like"
