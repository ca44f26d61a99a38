"""The most liked items, the same for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.errors import UnknownIdError
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import HistoryChannel, Scores
from recall.channels.known import Known
from recall.contracts import NoShares, Queries, Shares, TopK


class Popularity(HistoryChannel):
    """Items by the number of users who like them. It answers everybody, also without a history."""

    name: str = "popular"

    def __init__(self) -> None:
        super().__init__()
        self._likes: Scores = np.zeros(0, dtype=np.float32)

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Shares | NoShares]:
        """A count of other people's likes has no share of the user's."""
        known = self.known
        result: list[Shares | NoShares] = []
        for user, item in pairs:
            if not (0 <= user < known.num_users and 0 <= item < known.num_items):
                raise UnknownIdError(f"the pair ({user}, {item}) points outside the tables of users and items")
            likes = int(self._likes[item])
            people = "1 user likes" if likes == 1 else f"{likes} users like"
            result.append(NoShares(float(likes), f"{people} it; what is popular does not depend on the user's history"))
        return result

    def _answerable(self, queries: Queries, history: RaggedArray) -> IntArray:
        return np.arange(len(queries))

    def _learn(self, graph: KnowledgeGraph, known: Known) -> None:
        self._likes = np.bincount(known.liked.values, minlength=known.num_items).astype(np.float32)

    def _top(
        self, queries: Queries, history: RaggedArray, excluded: RaggedArray | None, columns: IntArray | None, k: int
    ) -> TopK:
        # All rows have the same scores, so nobody needs more than the first k items and as many as are left out.
        need = k + (0 if excluded is None else int(excluded.counts.max(initial=0)))
        likes = self._likes if columns is None else self._likes[columns]
        if need < len(likes):
            head = np.sort(np.argsort(-likes, kind="stable")[:need])
            columns = head if columns is None else columns[head]
        return super()._top(queries, history, excluded, columns, k)

    def _scores(self, queries: Queries, history: RaggedArray, columns: IntArray | None) -> Scores:
        likes = self._likes if columns is None else self._likes[columns]
        return np.tile(likes, (len(queries), 1))

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        return np.zeros(len(history))

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "popularity.safetensors", {"likes": self._likes})

    @classmethod
    def _read(cls, folder: Path, facts: dict[str, Any]) -> Self:
        channel = cls()
        channel._likes = load_arrays(folder / "popularity.safetensors")["likes"]
        return channel
