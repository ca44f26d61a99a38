"""Calibration against a general optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks.calibration import Logistic
from benchmarks.pair_metrics import auc
from kg.errors import InvalidDataError


def test_weights_are_those_of_a_general_optimiser() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 2)) * [3.0, 0.01] + [100.0, 0.0]
    labels = random.random(400) < 1 / (1 + np.exp(-(0.5 * (features[:, 0] - 100) - 80 * features[:, 1])))
    found = Logistic.fit(features, labels)

    def loss(parameters: np.ndarray) -> float:
        logits = (features - [100.0, 0.0]) * [1.0, 100.0] @ parameters[:2] + parameters[2]
        return float(np.logaddexp(0, np.where(labels, -logits, logits)).mean())

    best = minimize(loss, np.zeros(3), tol=1e-12).x
    assert found.weights == pytest.approx([best[0], best[1] * 100], rel=1e-3)
    assert found(features).mean() == pytest.approx(labels.mean(), abs=1e-4)  # what maximum likelihood implies


def test_one_feature_keeps_the_order_of_the_scores() -> None:
    random = np.random.default_rng(1)
    labels = random.random(200) < 0.5
    scores = random.normal(size=200) + labels
    assert auc(labels, Logistic.fit(scores[:, None], labels)(scores[:, None])) == auc(labels, scores)


def test_labels_told_apart_without_error_give_finite_weights() -> None:
    scores = np.arange(10.0)
    probability = Logistic.fit(scores[:, None], scores > 4.5)(scores[:, None])
    assert np.isfinite(probability).all()
    assert (probability[:5] < 0.01).all()
    assert (probability[5:] > 0.99).all()


def test_a_constant_feature_gives_the_share_of_positives() -> None:
    labels = np.array([True, False, False, False])
    assert Logistic.fit(np.ones((4, 1)), labels)(np.ones((4, 1))) == pytest.approx(0.25, abs=1e-4)


def test_one_label_or_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="both labels"):
        Logistic.fit(np.ones((2, 1)), np.array([True, True]))
    with pytest.raises(InvalidDataError, match="no number"):
        Logistic.fit(np.array([[np.nan], [1.0]]), np.array([True, False]))
