"""Leading singular vectors, against a dense decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_matrix
from scipy.sparse import random as random_sparse

from recall.channels import krylov
from recall.channels.krylov import right_singular_vectors


def sparse(rows, columns, *, density=0.05, seed=0):
    return random_sparse(rows, columns, density=density, random_state=seed, format="csr", dtype=np.float32)


def captured(matrix, vectors):
    """Sum of squares that the vectors catch, of what the best ones catch."""
    best = np.linalg.svd(matrix.toarray().astype(np.float64), compute_uv=False)[: vectors.shape[1]]
    return (np.linalg.norm(matrix @ vectors.astype(np.float64)) ** 2) / (best**2).sum()


def check_orthonormal(vectors, tolerance=1e-5):
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=tolerance)


@pytest.mark.parametrize("shape", [(900, 1300), (1300, 900), (40, 30), (30, 40), (1, 5), (5, 1)])
def test_wide_and_tall_small_and_large_equal_the_dense_vectors(shape):
    matrix = sparse(*shape, density=0.05 if min(shape) > 100 else 0.9)
    count = min(20, min(shape))
    vectors = right_singular_vectors(matrix, count, seed=0)
    assert vectors.shape == (shape[1], count)
    assert vectors.dtype == np.float32
    check_orthonormal(vectors)
    _, values, right = np.linalg.svd(matrix.toarray().astype(np.float64))
    np.testing.assert_allclose(np.linalg.norm(matrix @ vectors, axis=0), values[:count], rtol=1e-4)
    top = min(5, count)
    np.testing.assert_allclose(np.abs(np.sum(vectors[:, :top].T * right[:top], axis=1)), 1, atol=1e-3)


def test_a_slow_spectrum_takes_restarts(monkeypatch):
    """Random entries alone: nothing stands out."""
    sizes = []
    eigen = krylov._eigen
    monkeypatch.setattr(krylov, "_eigen", lambda symmetric: sizes.append(len(symmetric)) or eigen(symmetric))
    matrix = sparse(1500, 2000, density=0.02, seed=3)
    matrix.data -= 0.5
    vectors = right_singular_vectors(matrix, 10, seed=0)
    assert min(np.diff(sizes)) < 0
    check_orthonormal(vectors)
    assert captured(matrix, vectors) == pytest.approx(1, abs=1e-5)


def test_the_same_value_many_times_is_found_as_often():
    """Forty parts without a link have the largest value forty times over, more often than a block is wide."""
    parts = [csr_matrix(np.ones((20, 25), dtype=np.float32)) for _ in range(40)]
    matrix = csr_matrix(block_diag(parts), dtype=np.float32)
    vectors = right_singular_vectors(matrix, 30, seed=0)
    check_orthonormal(vectors)
    assert captured(matrix, vectors) == pytest.approx(1, abs=1e-5)


def test_of_a_low_rank_the_rest_is_zero():
    random = np.random.default_rng(0)
    tastes = random.integers(0, 2, size=(7, 900))
    matrix = csr_matrix(tastes[random.integers(0, 7, size=800)].astype(np.float32))
    vectors = right_singular_vectors(matrix, 20, seed=0)
    check_orthonormal(vectors[:, :7])
    assert not vectors[:, 7:].any()
    assert captured(matrix, vectors) == pytest.approx(1, abs=1e-5)


def test_the_same_seed_gives_the_same_vectors():
    matrix = sparse(600, 700)
    np.testing.assert_array_equal(right_singular_vectors(matrix, 9, seed=4), right_singular_vectors(matrix, 9, seed=4))


def test_the_iteration_ends_where_nothing_converges(monkeypatch):
    monkeypatch.setattr(krylov, "_TOLERANCE", 0.0)
    monkeypatch.setattr(krylov, "_MOST_BLOCKS", 30)
    vectors = right_singular_vectors(sparse(700, 900), 20, seed=0)
    check_orthonormal(vectors)
