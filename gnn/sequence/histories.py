"""What people liked, in order, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray, offsets_of
from kg.history import InteractionHistory
from kg.interactions import NO_TIME


@dataclass(frozen=True, slots=True)
class Histories(RaggedArray):
    """The items of each person, oldest first and with repeats.

    Attributes:
        times: of the items, UTC seconds, int64 (total,); `kg.interactions.NO_TIME` where unknown.
    """

    times: IntArray

    @classmethod
    def of(cls, items: RaggedArray) -> Histories:
        """Lists of items as histories; of unknown times, where they are none already."""
        if isinstance(items, Histories):
            return items
        return cls(items.offsets, items.values, np.full(len(items.values), NO_TIME))

    @classmethod
    def liked(cls, history: InteractionHistory, users: IntArray) -> Histories:
        """What some users liked; order without times is that of `kg.history`.

        Args:
            history: of all users.
            users: positions, (n,); -1 gives an empty row.
        """
        events = history.sequence(users)
        events = events.select(events.positive & (events.kinds == 0))
        return cls(events.offsets, events.values, events.times)

    def take(self, rows: IntArray) -> Histories:
        """Some rows, in the order asked for; row -1 gives an empty one."""
        offsets, at = self.positions(rows)
        return Histories(offsets, self.values[at], self.times[at])

    def select(self, mask: npt.NDArray[np.bool_]) -> Histories:
        """The same rows with only the marked items, by mask (total,)."""
        counts = np.bincount(self.rows()[mask], minlength=len(self))
        return Histories(offsets_of(counts), self.values[mask], self.times[mask])

    def without(self, other: RaggedArray) -> Histories:
        """The items that the same row of others does not have."""
        return self.select(~other.has(self.rows(), self.values))

    def latest(self, count: int) -> Histories:
        """The last `count` items of each row."""
        to_the_end = np.repeat(self.offsets[1:], self.counts) - np.arange(len(self.values))
        return self.select(to_the_end <= count)

    def followed_by(self, later: RaggedArray) -> Histories:
        """Each row with the items of the same row of others after its own."""
        later = Histories.of(later)
        rows = np.concatenate([self.rows(), later.rows()])
        order = np.argsort(rows, kind="stable")
        values, times = np.concatenate([self.values, later.values]), np.concatenate([self.times, later.times])
        return Histories(self.offsets + later.offsets, values[order], times[order])
