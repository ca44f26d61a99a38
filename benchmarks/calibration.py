"""Scores into probabilities: a logistic regression of few features (Platt 1999 has one, the score)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import Values
from kg.errors import InvalidDataError

_ROUNDS = 50
_RIDGE = 1e-6  # keeps the weights finite where a feature tells the labels apart without an error


@dataclass(frozen=True)
class Logistic:
    """P(label) = 1 / (1 + exp(-(features @ weights + offset))).

    Attributes:
        weights: float64 (features,).
        offset: the intercept.
    """

    weights: Values
    offset: float

    @classmethod
    def fit(cls, features: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.bool_]) -> Self:
        """Maximum likelihood by Newton's method, on standardised features.

        Args:
            features: (n, features), finite.
            labels: bool (n,).

        Raises:
            InvalidDataError: only one label occurs, or a feature is no number.
        """
        if not np.isfinite(features).all():
            raise InvalidDataError("a feature to calibrate by is no number")
        if labels.all() or not labels.any():
            raise InvalidDataError("a calibration needs examples of both labels")
        centre, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        rows = np.column_stack([(features - centre) / spread, np.ones(len(features))])
        weights = np.zeros(rows.shape[1])
        ridge = _RIDGE * np.eye(len(weights))
        loss = _loss(rows, labels, weights)
        for _ in range(_ROUNDS):
            chance = _sigmoid(rows @ weights)
            gradient = rows.T @ (chance - labels) / len(rows) + ridge @ weights
            curvature = (rows * (chance * (1 - chance))[:, None]).T @ rows / len(rows) + ridge
            step = np.linalg.solve(curvature, gradient)
            # A whole step can overshoot where the labels are nearly told apart.
            while (tried := _loss(rows, labels, weights - step)) > loss + 1e-12:
                step = step / 2
            weights, gain, loss = weights - step, loss - tried, tried
            if gain < 1e-12:
                break
        scaled = weights[:-1] / spread
        return cls(scaled, float(weights[-1] - scaled @ centre))

    def __call__(self, features: npt.NDArray[np.floating[Any]]) -> Values:
        """Probabilities, float64 (n,)."""
        return _sigmoid(features @ self.weights + self.offset)


def _sigmoid(x: Values) -> Values:
    result: Values = np.exp(-np.logaddexp(0, -x))
    return result


def _loss(rows: Values, labels: npt.NDArray[np.bool_], weights: Values) -> float:
    sign = np.where(labels, -1.0, 1.0)
    return float(np.logaddexp(0, sign * (rows @ weights)).mean() + _RIDGE * (weights @ weights) / 2)
