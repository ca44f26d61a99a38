"""Vectors of users and items whose inner product is the score of a run's channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recall.contracts import InnerProduct, Query
from recall.serve.recommender import Recommender

_BLOCK = 4096  # users at a time


@dataclass(frozen=True, slots=True)
class Vectors:
    """Of the users or of the items that have one.

    Attributes:
        ids: external ids, an Arrow array of strings.
        matrix: float32 (n, dim).
    """

    ids: Any
    matrix: npt.NDArray[np.float32]


def inner_product_vectors(recommender: Recommender) -> dict[str, Vectors] | None:
    """The vectors of the first channel whose score is an inner product (`recall.contracts.InnerProduct`).

    Who has done nothing that the channel reads, and what it knows nothing of, has none.

    Returns:
        "users" and "items"; None where no channel is like that.
    """
    graph = recommender.graph
    for channel in recommender.pipeline.channels.values():
        if not isinstance(channel, InnerProduct):
            continue
        everybody = Query.of_positions(np.arange(len(graph.users)))
        users = [channel.query_vectors(block) for _, block in everybody.blocks(_BLOCK)]
        of_roles = {"users": (graph.users.ids, np.concatenate(users)), "items": (graph.items.ids, channel.scored_items)}
        return {role: _known(ids, matrix) for role, (ids, matrix) in of_roles.items()}
    return None


def _known(ids: Any, matrix: npt.NDArray[np.float32]) -> Vectors:
    rows = np.flatnonzero(matrix.any(axis=1))
    return Vectors(ids.take(rows), matrix[rows])
