"""Leading singular vectors of a sparse matrix, by block Lanczos with full reorthogonalisation and thick restarts.

The work is in products of dense blocks, so that hundreds of vectors take less than half of ARPACK's time on one core,
and less again on several. See Golub and Van Loan, "Matrix Computations", 4th edition, 10.3; the restart is that of Wu
and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", 2000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Matrix = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

_BLOCK = 16
_CHECK_EVERY = 8  # blocks
_TOLERANCE = 1e-4  # of a residual, the largest eigenvalue being 1
_MOST_BLOCKS = 1000
_DEPENDENT = 1e-6  # eigenvalue of a block's cosines at which a direction is but rounding


def right_singular_vectors(matrix: Any, count: int, *, seed: int) -> Matrix:
    """The leading right singular vectors.

    Args:
        matrix: scipy CSR, float32 (rows, columns).
        count: vectors wanted, at most the smaller side.
        seed: of the start.

    Returns:
        float32 (columns, count), the largest singular value first; zero where the singular value is zero.
    """
    transposed = matrix.T.tocsr()
    wide = matrix.shape[0] < matrix.shape[1]
    left, right = (matrix, transposed) if wide else (transposed, matrix)
    values, vectors = _leading(left, right, count, np.random.default_rng(seed))
    there = values > values.max(initial=0) * np.finfo(np.float32).eps * len(vectors)
    vectors[:, ~there] = 0
    if wide:
        vectors = (right @ vectors) / np.sqrt(np.where(there, values, 1)).astype(np.float32)
    return np.ascontiguousarray(vectors)


def _leading(left: Any, right: Any, count: int, random: np.random.Generator) -> tuple[Values, Matrix]:
    """The largest eigenvalues of `left @ right`, descending, and their eigenvectors, float32 (side, count)."""
    side = left.shape[0]
    room = (4 * count // _BLOCK + 8) * _BLOCK
    if side <= room:
        values, vectors = _eigen((left @ right).toarray().astype(np.float64))
        return values[:count], vectors[:, :count].astype(np.float32)
    basis: Matrix = np.empty((room, side), dtype=np.float32)  # a row a vector
    projected = np.zeros((room, room))
    size = 0
    block = _orthonormal(random.normal(size=(side, _BLOCK)).astype(np.float32), basis[:0], random)
    for blocks in range(1, _MOST_BLOCKS + 1):
        known, size = size, size + _BLOCK
        basis[known:size] = block.T
        here = basis[:size]
        image = left @ (right @ block)
        projected[:size, known:size] = part = here @ image
        projected[known:size, :size] = part.T
        image -= here.T @ part
        full, last = size == room, blocks == _MOST_BLOCKS
        if size >= count and (full or last or blocks % _CHECK_EVERY == 0):
            values, vectors = _eigen(projected[:size, :size])
            residual = np.linalg.norm(image @ vectors[known:, :count].astype(np.float32), axis=0)
            if (residual <= _TOLERANCE * values[0]).all() or last:
                break
        block = _orthonormal(image, here, random)
        if full:
            # Go on from the best half of what the basis holds.
            size = room // (2 * _BLOCK) * _BLOCK
            basis[:size] = vectors[:, :size].T.astype(np.float32) @ here
            projected[:] = 0
            projected[np.arange(size), np.arange(size)] = values[:size]
    return values[:count], here.T @ vectors[:, :count].astype(np.float32)


def _eigen(symmetric: Values) -> tuple[Values, Values]:
    """Eigenvalues, descending, and eigenvectors."""
    values, vectors = eigh(symmetric, check_finite=False)
    return values[::-1].copy(), vectors[:, ::-1]


def _orthonormal(block: Matrix, basis: Matrix, random: np.random.Generator) -> Matrix:
    """Columns made orthogonal to the rows of a basis and to one another; directions that are not new become random.

    By products and a tiny eigenproblem (Stathopoulos and Wu, "A block orthogonalization procedure with constant
    synchronization requirements", 2002): a QR decomposition of a tall block waits for other threads all the time.
    """
    rounds = 0
    while rounds < 2:
        block = block - basis.T @ (basis @ block)
        gram = (block.T @ block).astype(np.float64)
        length = np.sqrt(np.diagonal(gram))
        inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
        values, vectors = _eigen(gram * inverse[:, None] * inverse)
        new = values > _DEPENDENT * values[0]
        block = block @ (inverse[:, None] * vectors[:, new] / np.sqrt(values[new])).astype(np.float32)
        rounds += 1
        if not new.all():
            more = random.normal(size=(len(block), np.count_nonzero(~new))) / np.sqrt(len(block))
            block, rounds = np.concatenate([block, more.astype(np.float32)], axis=1), 0
    return block
