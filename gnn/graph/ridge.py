"""Ridge regression on a few dense and many sparse columns, by conjugate gradients (Hestenes and Stiefel 1952)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

FloatArray = npt.NDArray[np.float32]

MAX_ITERATIONS = 200
TOLERANCE = 1e-3


def ridge(
    dense: FloatArray, sparse: Any, targets: FloatArray, weight: npt.NDArray[np.float64], penalty: float
) -> npt.NDArray[np.float64]:
    """Coefficients B of min sum_i w_i |t_i - x_i B|^2 + penalty |B|^2, x_i being row i of both matrices side by side.

    Time and memory are linear in the entries.

    Args:
        dense: float32 (n, a), a small.
        sparse: CSR, float32 (n, b).
        targets: float32 (n, dim).
        weight: of the rows, (n,).
        penalty: above 0.

    Returns:
        float64 (a + b, dim); zero for a sparse column without an entry.
    """
    columns = sparse.shape[1]
    used = np.unique(sparse.indices)
    sparse = sparse[:, used].tocsr()
    transposed = sparse.T.tocsr()
    width = dense.shape[1]
    weights = weight.astype(np.float32)[:, None]

    def product(x: FloatArray) -> FloatArray:
        predicted = weights * (dense @ x[:width] + sparse @ x[width:])
        result: FloatArray = np.concatenate([dense.T @ predicted, transposed @ predicted]) + np.float32(penalty) * x
        return result

    # Preconditioner: the block of the dense columns is small and solved exactly, so that few iterations are left.
    block = cho_factor((dense.T @ (weights * dense)).astype(np.float64) + penalty * np.eye(width)) if width else None
    diagonal = np.asarray(transposed.multiply(transposed) @ weight).astype(np.float32) + np.float32(penalty)

    def precondition(x: FloatArray) -> FloatArray:
        first = cho_solve(block, x[:width]).astype(np.float32) if block is not None else x[:0]
        result: FloatArray = np.concatenate([first, x[width:] / diagonal[:, None]])
        return result

    weighted = weights * targets
    right: FloatArray = np.concatenate([dense.T @ weighted, transposed @ weighted])
    x, residual = np.zeros_like(right), right
    direction = shifted = precondition(residual)
    size = _dots(residual, shifted)
    enough = TOLERANCE**2 * _dots(right, right)
    for _ in range(MAX_ITERATIONS):
        if (_dots(residual, residual) <= enough).all():
            break
        moved = product(direction)
        step = np.divide(size, _dots(direction, moved), out=np.zeros_like(size), where=size > 0).astype(np.float32)
        x, residual = x + step * direction, residual - step * moved
        shifted = precondition(residual)
        before, size = size, _dots(residual, shifted)
        kept = np.divide(size, before, out=np.zeros_like(size), where=before > 0).astype(np.float32)
        direction = shifted + kept * direction
    result = np.zeros((width + columns, targets.shape[1]))
    result[:width], result[width + used] = x[:width], x[width:]
    return result


def _dots(left: FloatArray, right: FloatArray) -> npt.NDArray[np.float64]:
    """Inner products by column, summed in float64."""
    result: npt.NDArray[np.float64] = np.einsum("nd,nd->d", left, right, dtype=np.float64)
    return result
