"""The scores of a block of requests over all items, as a channel gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray
from recall.index.top_k import TopK

__all__ = ["Scores", "TopK", "is_answered"]


class Scores(Protocol):
    """A channel's scores of all items for a block of requests.

    The object may hold a dense block, (requests, items): keep blocks small, and let go of it soon.
    """

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """The best k items of each request, equal scores by position.

        Args:
            k: at least 1 and at most the number of items.
            exclude: items to leave out of each request, (n,) lists.
            only: positions of the only items allowed, sorted and unique; None for all.
        """

    def at(self, items: IntArray) -> npt.NDArray[np.float32]:
        """The scores of given items, the same that `top` ranks by; 0 where there is no evidence.

        Args:
            items: positions, int64 (n, m); -1 for no item, which scores 0.
        """


def is_answered(scores: Sequence[Scores]) -> npt.NDArray[np.bool_]:
    """Whether any channel has evidence for a request, for the channels' scores of n requests, bool (n,)."""
    answered: npt.NDArray[np.bool_] = np.any([channel.top(1).items[:, 0] >= 0 for channel in scores], axis=0)
    return answered
