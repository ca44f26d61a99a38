"""The k largest values of each row against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.top_k import best_first, top_k

SHAPES = [(1, 1, 1), (3, 40, 50), (5, 700, 20), (4, 3001, 7), (2, 20_000, 20)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns", "k"), SHAPES)
@pytest.mark.parametrize("spread", [0.0, 0.5, 5.0, 1e6])
@pytest.mark.parametrize("missing", [0.0, 0.5, 0.999, 1.0])
def test_it_is_a_stable_sort(
    rows: int, columns: int, k: int, spread: float, missing: float, dtype: type[np.floating]
) -> None:
    random = np.random.default_rng(0)
    scores = np.round(random.normal(size=(rows, columns)) * spread).astype(dtype)
    scores[random.random(scores.shape) < missing] = -np.inf
    before = scores.copy()
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, order, axis=1)
    wanted = np.pad(np.where(values > -np.inf, order, -1), ((0, 0), (0, k - order.shape[1])), constant_values=-1)
    positions, best = top_k(scores, k)
    np.testing.assert_array_equal(positions, wanted)
    np.testing.assert_array_equal(best[:, : order.shape[1]], values)
    np.testing.assert_array_equal(scores, before)
    assert best.dtype == dtype


def test_float64_scores_that_are_equal_in_float32_keep_their_order() -> None:
    scores = 1 + np.arange(3)[None, :] * 1e-12
    assert top_k(scores, 3)[0].tolist() == [[2, 1, 0]]
    assert best_first(np.zeros(3, dtype=np.int64), scores[0]).tolist() == [2, 1, 0]


def test_nothing_to_rank() -> None:
    assert top_k(np.zeros((0, 3)), 2)[0].shape == (0, 2)
    assert top_k(np.zeros((2, 0)), 2)[0].tolist() == [[-1, -1]] * 2
