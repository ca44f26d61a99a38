"""GF-CF: a linear filter plus an ideal low-pass filter on the item-item graph, without training.

Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021, equations 10 to 12: with
R~ = D_u^-1/2 R D_i^-1/2 and V its leading right singular vectors, a history r is scored
s = r (R~^T R~ + alpha D_i^-1/2 V V^T D_i^1/2).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from kg import RaggedArray
from kg.arrays import IntArray
from kg.history import InteractionHistory
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import HistoryChannel, as_matrix
from recall.channels.decomposition import degree_power, leading, normalised
from recall.channels.scores import FloatArray
from recall.contracts import FitData, LoadData, Query


class SpectralConfig(Settings):
    """Hyper-parameters of GF-CF, a linear and an ideal low-pass filter on the item-item graph."""

    section: ClassVar[str] = "channels.spectral"

    factors: int = Field(
        default=256,
        ge=1,
        description="Leading singular vectors of the low-pass filter (256 in the paper); fewer where the data has "
        "fewer.",
    )
    alpha: float = Field(
        default=0.3,
        ge=0,
        description="Weight of the low-pass filter (0.3 in the paper on gowalla); 0 leaves the linear filter alone.",
    )
    seed: int = Field(default=0, description="Seed of the start vector of the decomposition.")


class Spectral(HistoryChannel):
    """GF-CF. Scores are a function of the history alone, so unknown people are scored exactly like users."""

    name: ClassVar[str] = "spectral"
    config_type: ClassVar[type[Any]] = SpectralConfig

    def __init__(self, config: SpectralConfig | None = None) -> None:
        super().__init__(config)
        self._factors: FloatArray = np.zeros((0, 0), dtype=np.float32)
        self._normalised: Any = csr_matrix((0, 0), dtype=np.float32)
        self._by_item: Any = self._normalised
        self._root: FloatArray = np.zeros(0, dtype=np.float32)
        self._inverse_root: FloatArray = self._root

    def _learn(self, data: FitData) -> None:
        self._derive(data.history)
        self._factors, _ = leading(self._normalised, self.config.factors, seed=self.config.seed)

    def _ready(self, data: LoadData) -> None:
        self._derive(data.history)

    def _derive(self, history: InteractionHistory) -> None:
        self._root, self._inverse_root = degree_power(history, 0.5), degree_power(history, -0.5)
        self._normalised = normalised(history)
        self._by_item = self._normalised.T.tocsr()

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        rows = as_matrix(history, self.history.num_items)
        through_users = rows @ self._by_item
        normalised, factors, root = self._normalised, self._factors, self._root
        if columns is not None:
            normalised, factors, root = normalised[:, columns], factors[columns], root[columns]
        scores: FloatArray
        if self.config.alpha and self._factors.shape[1]:
            scores = ((rows @ diags(self._inverse_root)) @ self._factors) @ factors.T
            scores *= np.float32(self.config.alpha) * root
        else:
            scores = np.zeros((len(history), len(root)), dtype=np.float32)
        # A row at a time, added up in its place: scipy's product of two sparse matrices takes seven times as long.
        for row, (start, stop) in enumerate(pairwise(through_users.indptr)):
            scores[row] += normalised[through_users.indices[start:stop]].T @ through_users.data[start:stop]
        scores[:, root == 0] = -np.inf
        return scores

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        linear = (self._by_item[history] @ self._by_item[[item]].T).toarray()[:, 0].astype(np.float64)
        factors = self._factors.astype(np.float64)
        low_pass = (factors[history] * self._inverse_root[history, None]) @ factors[item] * self._root[item]
        parts: npt.NDArray[np.float64] = linear + self.config.alpha * low_pass
        return parts

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "factors.safetensors", {"factors": self._factors})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._factors = load_arrays(folder / "factors.safetensors")["factors"]
