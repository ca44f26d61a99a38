"""Items that others took up right after the liked ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from kg.settings import Settings
from kg.topology.walk import largest
from recall.channels.neighbours import NeighbourChannel
from recall.contracts import FitData


class FollowingConfig(Settings):
    """Hyper-parameters of the channel of items that others took up next."""

    section: ClassVar[str] = "channels.following"

    neighbours: int = Field(default=50, ge=1, description="Items kept for each item.")


class Following(NeighbourChannel):
    """s_ij = how often item i came right after item j in somebody's history."""

    name: ClassVar[str] = "following"
    config_type: ClassVar[type[Any]] = FollowingConfig

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        events, count = data.history.events, data.history.num_items
        user = events.rows()
        same = user[1:] == user[:-1]
        before, after = events.values[:-1][same], events.values[1:][same]
        other = before != after
        ones = np.ones(int(other.sum()), dtype=np.float32)
        counts = csr_matrix((ones, (after[other], before[other])), shape=(count, count))
        yield largest(counts, self.config.neighbours)
