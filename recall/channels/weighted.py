"""Items of histories that count differently: the newer ones more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from kg.history import InteractionHistory, ItemSequences
from kg.interactions import NO_TIME
from recall.contracts import Query
from recall.contracts.history import sequences

_DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class WeightedItems(RaggedArray):
    """The items of each row, and how much each counts.

    Attributes:
        weights: aligned with `values`, float32 (total,).
    """

    weights: npt.NDArray[np.float32]

    def take(self, rows: IntArray) -> WeightedItems:
        """Some rows, in the order asked for; row -1 gives an empty one."""
        offsets, at = self.positions(rows)
        return WeightedItems(offsets, self.values[at], self.weights[at])


def weights_of(lists: RaggedArray) -> npt.NDArray[np.float32]:
    """How much each value of some lists counts, float32 (total,): 1 where they do not say."""
    if isinstance(lists, WeightedItems):
        return lists.weights
    return np.ones(len(lists.values), dtype=np.float32)


def aged_items(
    queries: Query, history: InteractionHistory, half_life: float, unit: Literal["places", "days"]
) -> WeightedItems:
    """What each row likes, oldest first; an item counts 0.5^(age / half_life).

    Args:
        queries: the requests, (n,).
        history: what users did.
        half_life: age at which an item counts half.
        unit: of the ages: how many newer items there are, or how many days before the newest item of the row. What came
            with a request is as new as can be, and an item of unknown time as old as the oldest of its row.
    """
    own = history.in_order(queries.user)
    items = sequences(own, queries)
    newer = np.repeat(items.offsets[1:], items.counts) - 1 - np.arange(len(items.values))
    age = newer.astype(np.float64) if unit == "places" else _days(own, items, history.num_items)
    return WeightedItems(items.offsets, items.values, np.power(0.5, age / half_life).astype(np.float32))


def _days(own: ItemSequences, items: RaggedArray, num_items: int) -> npt.NDArray[np.float64]:
    """How many days each item is older than the newest of its row, (total,)."""
    width = np.int64(num_items)
    codes = own.rows() * width + own.values
    order = np.argsort(codes)
    wanted = items.rows() * width + items.values
    place = np.minimum(np.searchsorted(codes[order], wanted), max(len(codes) - 1, 0))
    times = np.full(len(wanted), np.inf)  # with the request
    if len(codes):
        there = codes[order][place] == wanted
        own_times = own.times[order][place].astype(np.float64)
        own_times[own_times == NO_TIME] = -np.inf
        times[there] = own_times[there]
    row = items.rows()
    newest, oldest = np.full(len(items), -np.inf), np.full(len(items), np.inf)
    dated = np.isfinite(times)
    np.maximum.at(newest, row[dated], times[dated])
    np.minimum.at(oldest, row[dated], times[dated])
    newest[newest == -np.inf] = oldest[oldest == np.inf] = 0.0
    times = np.where(times == np.inf, newest[row], np.where(times == -np.inf, oldest[row], times))
    age: npt.NDArray[np.float64] = (newest[row] - times) / _DAY
    return age
