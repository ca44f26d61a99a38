"""The weights under which choices are most likely."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from recall.channels.walk.weights import best_weights


def choices(weights, *, users=4000, items=60, seed=0):
    """What users choose under Luce's rule, and the features of what they choose from."""
    random = np.random.default_rng(seed)
    features = random.exponential(size=(users, items, len(weights))) ** 2
    scores = features @ weights
    chances = scores / scores.sum(axis=1, keepdims=True)
    chosen = (chances.cumsum(axis=1) > random.random((users, 1))).argmax(axis=1)
    return features[np.arange(users), chosen], features.sum(axis=1), np.arange(users)


def test_it_finds_the_weights_that_choices_were_made_by():
    truth = np.array([1.0, 0.3, 0.0, 2.0])
    found = best_weights(*choices(truth))
    np.testing.assert_allclose(found / found.sum(), truth / truth.sum(), atol=0.03)


def test_it_is_the_best_likelihood():
    liked, total, user = choices(np.array([1.0, 0.5, 0.2]), users=300)

    def loss(values):
        return -np.log(liked @ values).mean() + np.log(total[user] @ values).mean()

    found = best_weights(liked, total, user)
    other = minimize(loss, np.ones(3), bounds=[(1e-9, None)] * 3)
    assert loss(found) == pytest.approx(other.fun, abs=1e-6)


def test_users_with_many_choices_count_once():
    first, second = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    liked = np.concatenate([np.repeat(first, 50, axis=0), second])
    user = np.array([0] * 50 + [1])
    found = best_weights(liked, np.array([[10.0, 10.0], [10.0, 10.0]]), user)
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_a_step_that_reaches_nothing_is_harmless():
    liked, total, user = choices(np.array([1.0, 0.5]), users=200)
    nothing = np.zeros((len(liked), 1))
    found = best_weights(np.hstack([liked, nothing]), np.hstack([total, np.zeros((len(total), 1))]), user)
    np.testing.assert_allclose(found[:2], best_weights(liked, total, user), rtol=1e-3)
