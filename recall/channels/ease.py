"""EASE: a linear item-item autoencoder in closed form (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019).

With X the binary users x items matrix and P = (X^T X + lambda I)^-1, the weights are B = -P / diag(P), column by
column, with a zero diagonal (equation 8), and a history x is scored x B. Of each column only the largest weights are
kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csr_matrix

from kg.errors import ConfigError
from kg.settings import Settings
from recall.channels.base import as_matrix, item_likes
from recall.channels.neighbours import NeighbourChannel
from recall.channels.scores import FloatArray
from recall.contracts import FitData
from recall.index.top_k import best_first, first_of_rows

_BLOCK = 1024


class EASEConfig(Settings):
    """Hyper-parameters of EASE, a linear item-item autoencoder in closed form."""

    section: ClassVar[str] = "channels.ease"

    regularisation: float = Field(
        default=200.0, gt=0, description="Lambda, in interactions; the more data an item has, the less it matters."
    )
    weights: int = Field(default=500, ge=1, description="Largest weights, by absolute value, kept for each item.")


class EASE(NeighbourChannel):
    """score(u, i) = sum of B_ji over the liked items j; weights may be negative.

    Fitting holds one dense float32 matrix of the items that somebody likes, and inverts it in place: 4 n^2 bytes,
    6.7 GB for 41,000 items. What is kept and served is sparse.
    """

    name: ClassVar[str] = "ease"
    config_type: ClassVar[type[Any]] = EASEConfig

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        history, count = data.history, data.history.num_items
        liked = np.flatnonzero(item_likes(history))
        inverse = _inverse(as_matrix(history.liked, count)[:, liked], self.config.regularisation)
        diagonal = inverse.diagonal().copy()
        row_of = np.full(count, -1, dtype=np.int64)
        row_of[liked] = np.arange(len(liked))
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            here = np.flatnonzero(row_of[start:stop] >= 0)
            chosen = row_of[start:stop][here]
            weights = _rows(inverse, chosen) / -diagonal[chosen, None]
            weights[np.arange(len(chosen)), chosen] = 0.0
            row, column, value = _largest(weights, self.config.weights)
            yield csr_matrix((value, (here[row], liked[column])), shape=(stop - start, count))


def _inverse(liked: Any, regularisation: float) -> FloatArray:
    """The lower triangle of (X^T X + lambda I)^-1, float32 (items, items); what lies above it is not meant."""
    count = liked.shape[1]
    by_item = liked.T.tocsr()
    # In LAPACK's column order, so that it works in place.
    gram = np.empty((count, count), dtype=np.float32, order="F")
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        gram[:, start:stop] = (by_item[start:stop] @ liked).toarray().T
    gram.reshape(-1, order="F")[:: count + 1] += np.float32(regularisation)
    factor, failed = spotrf(gram, lower=1, clean=0, overwrite_a=1)
    if not failed:
        inverse, failed = spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ConfigError(
            f"ease.regularisation = {regularisation:g} is too small for float32: the matrix cannot be inverted"
        )
    result: FloatArray = inverse
    return result


def _rows(lower: FloatArray, rows: Any) -> FloatArray:
    """Rows of a symmetric matrix of which only the lower triangle is given, (rows, items)."""
    if not len(rows):
        return np.empty((0, lower.shape[1]), dtype=np.float32)
    first, last = int(rows.min()), int(rows.max()) + 1
    result = np.empty((last - first, lower.shape[1]), dtype=np.float32)
    result[:, :first] = lower[first:last, :first]
    result[:, last:] = lower[last:, first:last].T
    square = np.tril(lower[first:last, first:last])
    result[:, first:last] = square + np.tril(square, -1).T
    chosen: FloatArray = result[rows - first]
    return chosen


def _largest(values: FloatArray, n: int) -> tuple[Any, Any, FloatArray]:
    """The n entries of each row that are largest by absolute value, zeros left out: rows, columns, values."""
    n = min(n, values.shape[1])
    size = np.abs(values)
    place = np.argpartition(-size, n - 1, axis=1)[:, :n] if n else np.zeros((len(values), 0), dtype=np.int64)
    edge = np.take_along_axis(size, place, axis=1).min(axis=1, initial=np.inf)
    row, column = np.nonzero((size >= edge[:, None]) & (size > 0))  # with all that tie, so that ties go by column
    order = best_first(row, size[row, column])
    order = order[first_of_rows(row[order], n)]
    row, column = row[order], column[order]
    return row, column, values[row, column]
