"""RP3beta: three steps of a random walk, from a user by an item and another user to an item.

Paudel, Christoffel, Newell and Bernstein, "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive
Applications", ACM TiiS 7(1), 2017: the transition probabilities are raised to alpha, and the popularity of the item at
the end is divided out by its power beta. In terms of spectral filters it is the linear filter of GF-CF with an exponent
of its own for each of the three degrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from kg.topology.walk import largest
from recall.channels.aged import AgedConfig
from recall.channels.base import as_matrix, item_likes
from recall.channels.neighbours import NeighbourChannel
from recall.contracts import FitData

_BLOCK = 1024


class RP3BetaConfig(AgedConfig):
    """Hyper-parameters of RP3beta: three steps of a random walk."""

    section: ClassVar[str] = "channels.rp3beta"

    alpha: float = Field(
        default=0.5,
        ge=0,
        description="Power of the transition probabilities: 1 is the plain random walk, smaller values give more "
        "weight to users and items with many positives.",
    )
    beta: float = Field(
        default=0.3, ge=0, description="Power of the popularity that is divided out; larger values bring rarer items."
    )
    neighbours: int = Field(default=800, ge=1, description="Items with the largest weights kept for each item.")


class RP3Beta(NeighbourChannel):
    """s_ij = sum over the users v who like both of (d_j d_v)^-alpha d_i^-beta, j in the history and i to be ranked.

    d are numbers of positives. The first step of the walk, from the user, is the same for all items and left out.
    """

    name: ClassVar[str] = "rp3beta"
    config_type: ClassVar[type[Any]] = RP3BetaConfig

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        history, count = data.history, data.history.num_items
        liked = as_matrix(history.liked, count)
        degree = np.maximum(item_likes(history), 1)
        by_user = np.maximum(history.liked.counts, 1).astype(np.float64)
        to_users = (diags(degree**-self.config.beta) @ liked.T).tocsr().astype(np.float32)
        from_users = diags(by_user**-self.config.alpha) @ liked @ diags(degree**-self.config.alpha)
        from_users = from_users.tocsr().astype(np.float32)
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            walked = (to_users[start:stop] @ from_users).tocoo()
            other = walked.col != walked.row + start
            entries = (walked.data[other], (walked.row[other], walked.col[other]))
            yield largest(csr_matrix(entries, shape=walked.shape), self.config.neighbours)
