"""How alike the lists of channels are, and what only one of them finds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from gnn.evaluation.held_out import Group
from gnn.evaluation.metrics import Values
from kg.arrays import IntArray
from recall.contracts import FUSION
from recall.quality.measure import Lists
from recall.quality.places import ABSENT, Places
from recall.quality.stage.report import Overlap, OwnHits


class Overlaps:
    """Adds up, block by block, what the channels of a fusion have in common."""

    def __init__(self, ks: Sequence[int]) -> None:
        """Begin.

        Args:
            ks: lengths of lists, ascending.
        """
        self._ks = ks
        self._jaccard: dict[tuple[str, int, str, str], Values] = {}
        self._hits: dict[tuple[str, int, str], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def see(self, group: Group, rows: IntArray, lists: Lists, places: Places) -> None:
        """See `recall.quality.measure.Watcher`."""
        channels = {name: items for name, items in lists.ranked.items() if name != FUSION}
        if len(channels) < 2:
            return
        # The place of each item of a list in the lists of the others, or beyond all.
        best = {name: np.full(items.shape, ABSENT, dtype=np.int32) for name, items in channels.items()}
        shared: dict[tuple[str, str], list[Values]] = {}
        for first, second in combinations(channels, 2):
            there = places.of(channels[first], channels[second])
            shared[first, second] = [self._alike(channels[first], channels[second], there, k) for k in self._ks]
            np.minimum(best[second], there, out=best[second])
            row, place = np.nonzero(there < ABSENT)
            at = there[row, place]  # the same pair from the other side
            best[first][row, at] = np.minimum(best[first][row, at], place)
        hits = {name: places.inside(group.truth.take(rows), items) for name, items in channels.items()}
        with self._lock:
            for (first, second), by_k in shared.items():
                for k, values in zip(self._ks, by_k, strict=True):
                    key = (group.name, k, first, second)
                    self._jaccard.setdefault(key, np.zeros(len(group)))[rows] = values
            for name, found in hits.items():
                for k in self._ks:
                    total, alone = self._hits.get((group.name, k, name), (0, 0))
                    within = found[:, :k]
                    own = within & (best[name][:, :k] >= k)
                    counts = total + int(within.sum()), alone + int(own.sum())
                    self._hits[group.name, k, name] = counts

    def overlaps(self) -> Iterator[Overlap]:
        """For each group, k and pair of channels."""
        for (group, k, first, second), values in self._jaccard.items():
            yield Overlap(group=group, k=k, channels=(first, second), jaccard=float(values.mean()))

    def own_hits(self) -> Iterator[OwnHits]:
        """For each group, k and channel."""
        for (group, k, channel), (hits, alone) in self._hits.items():
            yield OwnHits(group=group, k=k, channel=channel, hits=hits, alone=alone)

    @staticmethod
    def _alike(first: IntArray, second: IntArray, there: npt.NDArray[np.int32], k: int) -> Values:
        """Items of both / items of either of each user; 0 where neither lists anything."""
        both = (there[:, :k] < k).sum(axis=1)
        either = (first[:, :k] >= 0).sum(axis=1) + (second[:, :k] >= 0).sum(axis=1) - both
        result: Values = both / np.maximum(either, 1)
        return result
