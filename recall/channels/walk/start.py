"""Where a walk starts: the items of a history, each with its age."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from kg.arrays import RaggedArray
from kg.history import InteractionHistory
from recall.channels.base import as_matrix, item_likes
from recall.channels.walk.config import WalkConfig
from recall.contracts import Query
from recall.contracts.history import DISLIKED, disliked_items, sequences
from recall.index.top_k import BLOCK_SCORES

_FORGOTTEN = 1e-5  # an item that counts less than this part of the newest one is left out


class Start(NamedTuple):
    """The items that the walks of some requests start at.

    Attributes:
        liked: how much each item counts, below 0 for a disliked example of the request, CSR (n, items), float32.
        disliked: the same of the items that a user interacted with and does not like.
    """

    liked: Any
    disliked: Any


def start_of(queries: Query, history: InteractionHistory, *, decay: float) -> Start:
    """The start of requests: what users did, and then what came with the request, both oldest first.

    Args:
        queries: the requests, (n,).
        history: what the users did.
        decay: what an item counts less for each newer one.
    """
    liked = history.in_order(queries.user)
    disliked: RaggedArray = history.in_order(queries.user, liked=False)
    counted = _aged(sequences(liked, queries), history.num_items, decay)
    examples = disliked_items(queries)
    if len(examples.values):
        disliked = disliked.without(examples)  # each counts once
        counted = (counted + as_matrix(examples, history.num_items) * np.float32(DISLIKED)).tocsr()
    return Start(counted, _aged(disliked, history.num_items, decay))


def blocks(rows: int, num_items: int) -> list[slice]:
    """Rows in pieces whose scores of all items may be held at once."""
    size = max(1, BLOCK_SCORES // max(num_items, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def popularity_of(history: InteractionHistory, config: WalkConfig) -> npt.NDArray[np.float32]:
    """likes^power of each item, float32 (items,)."""
    return np.power(item_likes(history), config.popularity_power, dtype=np.float32)


def _aged(items: RaggedArray, num_items: int, decay: float) -> Any:
    counts = items.counts
    newer = np.repeat(items.offsets[1:], counts) - 1 - np.arange(len(items.values))
    age = (decay ** newer.astype(np.float64)).astype(np.float32)
    matrix = csr_matrix((age, items.values, items.offsets), shape=(len(items), num_items))
    matrix.sum_duplicates()
    if decay < 1:
        matrix.data[matrix.data < _FORGOTTEN] = 0
        matrix.eliminate_zeros()
    return matrix
