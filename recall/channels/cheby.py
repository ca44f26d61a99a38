"""ChebyCF: a polynomial filter over the whole spectrum of the item-item graph, without training.

Kim et al., "Graph Spectral Filtering with Chebyshev Interpolation for Recommendation", SIGIR 2025: with
R~ = D_u^-1/2 R D_i^-1/2, G = R~^T R~ and V its leading eigenvectors, a history r is scored
s = r D_i^-beta (p(G) + alpha V V^T) D_i^beta, where p interpolates the plateau function of flatness phi at the
Chebyshev nodes of degree K.

Eigenvalues of G beyond the leading ones are small, and on that short interval a polynomial of much lower degree is as
good as p: what it lacks on the leading eigenvectors is made up by them exactly. Gowalla needs a third of the products.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Chebyshev
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import HistoryChannel, as_matrix
from recall.channels.decomposition import degree_power, leading, normalised
from recall.channels.scores import FloatArray
from recall.contracts import FitData, LoadData, Query

_CLOSE = 1e-4  # of the filter, whose values lie between 0 and 1
_WIDTH = 64  # histories that are filtered at a time: more of them leave the cache between two products


class ChebyCFConfig(Settings):
    """Hyper-parameters of ChebyCF, a polynomial filter over the spectrum of the item-item graph."""

    section: ClassVar[str] = "channels.cheby"

    degree: int = Field(default=8, ge=1, description="Degree K of the interpolating polynomial.")
    flatness: float = Field(
        default=1.5,
        gt=0,
        description="Flatness phi of the plateau between the two ends of the spectrum; 1 is a straight line.",
    )
    factors: int = Field(
        default=512,
        ge=0,
        description="Leading eigenvectors (eta) of the ideal pass filter; fewer where the data has fewer.",
    )
    alpha: float = Field(default=0.2, ge=0, description="Weight of the ideal pass filter.")
    beta: float = Field(
        default=0.4,
        ge=0,
        description="Power of the degree normalisation: 0 is none, larger values favour popular items.",
    )
    seed: int = Field(default=0, description="Seed of the start vector of the decomposition.")


class ChebyCF(HistoryChannel):
    """ChebyCF. Scores are a function of the history alone, so unknown people are scored exactly like users."""

    name: ClassVar[str] = "cheby"
    config_type: ClassVar[type[Any]] = ChebyCFConfig

    def __init__(self, config: ChebyCFConfig | None = None) -> None:
        super().__init__(config)
        self._vectors: FloatArray = np.zeros((0, 0), dtype=np.float32)
        self._eigenvalues: FloatArray = np.zeros(0, dtype=np.float32)
        self._normalised: Any = csr_matrix((0, 0), dtype=np.float32)
        self._by_item: Any = self._normalised
        self._before = self._after = self._eigenvalues
        self._gains: FloatArray = self._eigenvalues
        self._tail: tuple[float, ...] = ()

    def _learn(self, data: FitData) -> None:
        self._vectors, values = leading(normalised(data.history), self.config.factors, seed=self.config.seed)
        self._eigenvalues = values**2
        self._derive(data.history)

    def _ready(self, data: LoadData) -> None:
        self._derive(data.history)

    def _derive(self, history: InteractionHistory) -> None:
        config = self.config
        self._normalised = normalised(history)
        self._by_item = self._normalised.T.tocsr()
        self._before, self._after = degree_power(history, -config.beta), degree_power(history, config.beta)
        whole = plateau(config.degree, config.flatness)
        tail = shorter(whole, max(float(self._eigenvalues[-1]), _CLOSE) if len(self._eigenvalues) else 1.0)
        self._tail = tuple(float(weight) for weight in tail.convert(kind=np.polynomial.Polynomial).coef)
        # What the eigenvectors add to the tail's polynomial, which acts on them as well.
        eigenvalues = self._eigenvalues.astype(np.float64)
        self._gains = (whole(eigenvalues) - tail(eigenvalues) + config.alpha).astype(np.float32)

    def with_config(self, config: ChebyCFConfig) -> Self:
        """The same decomposition under other settings, at no cost.

        Raises:
            ConfigError: they name other factors or another seed, which would take another decomposition.
        """
        if (config.factors, config.seed) != (self.config.factors, self.config.seed):
            raise ConfigError("with_config keeps the decomposition: cheby.factors and cheby.seed must stay as they are")
        channel = type(self)(config)
        channel._vectors, channel._eigenvalues, channel._history = self._vectors, self._eigenvalues, self.history
        channel._derive(self.history)
        return channel

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        signals = (as_matrix(history, self.history.num_items) @ diags(self._before)).tocsr()
        after = self._after if columns is None else self._after[columns]
        scores = np.empty((len(history), len(after)), dtype=np.float32)
        for start in range(0, len(history), _WIDTH):
            filtered = self._filtered(signals[start : start + _WIDTH])
            if columns is not None:
                filtered = filtered[columns]
            scores[start : start + _WIDTH] = (filtered * after[:, None]).T
        scores[:, after == 0] = -np.inf
        return scores

    def _filtered(self, signals: Any) -> FloatArray:
        """(p(G) + alpha V V^T) x for the rows x of a sparse matrix, CSR (n, items); float32 (items, n).

        By Horner's rule. What is liked is little: the first product is a sparse one, and so is that with V.
        """
        dense = signals.T.toarray()
        highest, *weights, last = np.array(self._tail[::-1], dtype=np.float32)
        users = highest * (signals @ self._by_item).T.toarray()
        for weight in weights:
            users = self._normalised @ (self._by_item @ users + weight * dense)
        result = self._by_item @ users
        result += last * dense
        if self._vectors.shape[1]:
            result += self._vectors @ ((signals @ self._vectors) * self._gains).T
        return np.asarray(result, dtype=np.float32)

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        # The filter is symmetric: how strongly each liked item reaches this one is how this one reaches them.
        signal = csr_matrix(([self._after[item]], ([0], [item])), shape=(1, self.history.num_items), dtype=np.float32)
        parts: npt.NDArray[np.float64] = (self._filtered(signal)[history, 0] * self._before[history]).astype(np.float64)
        return parts

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "factors.safetensors", {"vectors": self._vectors, "eigenvalues": self._eigenvalues})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / "factors.safetensors")
        self._vectors, self._eigenvalues = arrays["vectors"], arrays["eigenvalues"]


def plateau(degree: int, flatness: float) -> Chebyshev:
    """The filter as a function of an eigenvalue of G (equation 12 of the paper), interpolated at the Chebyshev nodes.

    At 1 - 2 lambda = x it is (1 + |x|^phi) / 2 for the smooth half of the spectrum, x below 0, and (1 - x^phi) / 2
    for the other half: 1 at eigenvalue 1, 0 at eigenvalue 0, near one half between them.
    """

    def transfer(eigenvalue: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x = 1 - 2 * eigenvalue
        bent: npt.NDArray[np.float64] = 0.5 - 0.5 * np.sign(x) * np.abs(x) ** flatness
        return bent

    return Chebyshev.interpolate(transfer, degree, domain=[0, 1])


def shorter(whole: Chebyshev, upto: float) -> Chebyshev:
    """The polynomial of lowest degree that stays within 1e-4 of another one between 0 and a bound."""
    at = np.linspace(0, upto, 1001)
    for degree in range(1, whole.degree()):
        candidate = Chebyshev.interpolate(whole, degree, domain=[0, upto])
        if np.abs(candidate(at) - whole(at)).max() <= _CLOSE:
            return candidate
    return whole
