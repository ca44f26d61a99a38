"""Users who like the same: cosine user-kNN (Resnick et al., CSCW 1994; Herlocker et al., SIGIR 1999)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix, vstack

from kg import RaggedArray
from kg.arrays import IntArray
from kg.history import InteractionHistory
from kg.topology.walk import largest
from recall.channels.aged import AgedChannel, AgedConfig
from recall.channels.base import as_matrix
from recall.channels.scores import FloatArray
from recall.channels.weighted import weights_of
from recall.contracts import FitData, LoadData, Query
from recall.index.top_k import BLOCK_SCORES


class UserKNNConfig(AgedConfig):
    """Hyper-parameters of the user kNN: what those like who like the same."""

    section: ClassVar[str] = "channels.user_knn"

    neighbours: int = Field(default=100, ge=1, description="Most similar users who count for each person.")
    shrinkage: float = Field(
        default=10.0,
        ge=0,
        description="Added to the denominator, in items: pulls similarities that rest on few items towards 0.",
    )


class UserKNN(AgedChannel):
    """score(u, i) = sum of s_uv over the users v who like i, among the nearest neighbours of u.

    s_uv = sum of h_j over the items j of u's history that v likes / (|h| sqrt(|items of v|) + shrinkage), where h_j is
    how much item j counts, 1 without a half-life. Nothing is learned but who likes what: the history is the model.
    """

    name: ClassVar[str] = "user_knn"
    config_type: ClassVar[type[Any]] = UserKNNConfig

    def __init__(self, config: UserKNNConfig | None = None) -> None:
        super().__init__(config)
        self._by_user: Any = csr_matrix((0, 0), dtype=np.float32)
        self._by_item: Any = self._by_user
        self._lengths: FloatArray = np.zeros(0, dtype=np.float32)

    def _learn(self, data: FitData) -> None:
        self._derive(data.history)

    def _ready(self, data: LoadData) -> None:
        self._derive(data.history)

    def _derive(self, history: InteractionHistory) -> None:
        self._by_user = as_matrix(history.liked, history.num_items)
        self._by_item = self._by_user.T.tocsr()
        self._lengths = np.sqrt(history.liked.counts).astype(np.float32)

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        likes = self._by_user if columns is None else self._by_user[:, columns]
        blocks = [(near @ likes).toarray() for near in self._neighbours(queries.user, history)]
        scores: FloatArray = np.concatenate([np.zeros((0, likes.shape[1]), dtype=np.float32), *blocks])
        scores[scores == 0] = -np.inf
        return scores

    def _neighbours(self, users: IntArray, history: RaggedArray) -> Iterator[Any]:
        """Blocks of the similarities of the nearest other users, CSR (block, users)."""
        signals = as_matrix(history, self.history.num_items)
        lengths = np.sqrt(np.asarray(signals.multiply(signals).sum(axis=1)).ravel())
        step = max(1, BLOCK_SCORES // max(self.history.num_users, 1))
        for start in range(0, len(users), step):
            rows = slice(start, min(start + step, len(users)))
            both = (signals[rows] @ self._by_item).tocoo()
            other = both.col != users[rows][both.row]
            row, column, overlap = both.row[other], both.col[other], both.data[other]
            value = overlap / (lengths[rows][row] * self._lengths[column] + self.config.shrinkage)
            yield largest(csr_matrix((value, (row, column)), shape=both.shape), self.config.neighbours)

    def _row_parts(self, queries: Query, row: int, lists: RaggedArray, item: int) -> npt.NDArray[np.float64]:
        return self._shares(queries.user[row : row + 1], lists.take(np.array([row])), item)

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        return self._shares(np.array([-1]), RaggedArray.from_lists([history]), item)

    def _shares(self, user: IntArray, history: RaggedArray, item: int) -> npt.NDArray[np.float64]:
        """The part of an item's score on each item of one history: who is near stays as it is, (history,)."""
        near = vstack(list(self._neighbours(user, history)), format="csr").tocoo()
        liking = near.col[self._by_user[near.col][:, [item]].toarray()[:, 0] > 0]
        weights = weights_of(history).astype(np.float64)
        length = np.sqrt((weights**2).sum())
        per_overlap = 1 / (length * self._lengths[liking].astype(np.float64) + self.config.shrinkage)
        shared = self._by_user[liking][:, history.values].toarray().astype(np.float64)
        parts: npt.NDArray[np.float64] = weights * (per_overlap @ shared)
        return parts

    def _write(self, folder: Path) -> None:
        return

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        return
