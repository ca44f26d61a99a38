"""From an item to a user who liked it, and on to what that user liked next."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from kg.arrays import IntArray, RaggedArray
from kg.topology.walk.lists import Neighbours, entries, largest
from kg.topology.walk.step import FloatArray, Powers, WalkPaths, divided


class FollowingStep(Neighbours):
    """A path j -> v -> i is worth decay^(gap - 1) d_j^-a d_v^-b d_i^-c, where v liked i `gap` places after j.

    Only gaps of at most `window` places count, so the work is linear in the interactions. A user who repeats a pair
    makes one path with the sum of the worths.

    Attributes:
        lists: CSR (items, items), float32.
    """

    def __init__(
        self, sequences: RaggedArray, num_items: int, *, powers: Powers, window: int, decay: float, lists: Any
    ) -> None:
        """From lists that `build` made.

        Args:
            sequences: the liked items of each user, oldest first.
            num_items: items.
            powers: a, b and c.
            window: largest gap.
            decay: what one more place costs, between 0 and 1.
            lists: what the same arguments built.
        """
        super().__init__(lists)
        self.sequences, self.num_items, self.powers = sequences, num_items, powers
        self.window, self.decay = window, decay

    @classmethod
    def build(
        cls,
        sequences: RaggedArray,
        num_items: int,
        *,
        powers: Powers,
        window: int = 5,
        decay: float = 0.5,
        neighbours: int = 400,
    ) -> FollowingStep:
        """Find what followed every item.

        Args:
            sequences: see the class.
            num_items: items.
            powers: see the class.
            window: see the class.
            decay: see the class.
            neighbours: ends kept for each item, at least 1.
        """
        step = cls(sequences, num_items, powers=powers, window=window, decay=decay, lists=None)
        start, middle, end = step._scales
        total = csr_matrix((num_items, num_items))
        row = sequences.rows()
        for gap in range(1, window + 1):
            at = np.flatnonzero(row[gap:] == row[:-gap]) if gap < len(row) else np.zeros(0, dtype=np.int64)
            earlier, later = sequences.values[at], sequences.values[at + gap]
            worth = np.where(earlier == later, 0, decay ** (gap - 1) * middle[row[at]])
            pairs = coo_matrix((worth, (earlier, later)), shape=(num_items, num_items)).tocsr()
            total = total + pairs
        step.lists = largest((diags(start) @ total @ diags(end)).tocsr(), neighbours).astype(np.float32)
        return step

    @cached_property
    def _scales(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        degree = np.bincount(self.sequences.values, minlength=self.num_items)
        return (
            divided(degree, self.powers.start),
            divided(self.sequences.counts, self.powers.middle),
            divided(degree, self.powers.end),
        )

    @property
    def middle_scale(self) -> FloatArray:
        """d_v^-b of each user, (users,)."""
        return self._scales[1]

    @property
    def end_scale(self) -> FloatArray:
        """d_i^-c of each item, 0 where nobody likes it, (items,)."""
        return self._scales[2]

    @cached_property
    def _places(self) -> tuple[RaggedArray, IntArray]:
        """Where each item stands in the concatenated sequences, a list an item; and the user of each place."""
        order = np.argsort(self.sequences.values, kind="stable")
        places = RaggedArray.from_grouped(self.sequences.values[order], order, num_rows=self.num_items)
        return places, self.sequences.rows()

    def paths(self, items: IntArray, item: int) -> WalkPaths:
        """The paths from some items to one that followed them."""
        start, middle, end = self._scales
        row, users, worths = self.places(items, item)
        return WalkPaths(row, users, worths * start[items[row]] * middle[users[:, 0]] * end[item])

    def places(self, items: IntArray, item: int) -> WalkPaths:
        """The same paths, by what the places in the sequences alone are worth: the sum of decay^(gap - 1)."""
        places, user_of = self._places
        listed = np.flatnonzero(entries(self.lists, items, item) > 0)
        earlier = places.take(items[listed])
        later = places[item]
        row, before, after = _within(earlier, later, self.window)
        same = user_of[before] == user_of[after]
        row, before, after = listed[row[same]], before[same], after[same]
        values = self.decay ** (after - before - 1.0)
        pairs, place = np.unique(np.stack([row, user_of[before]], axis=1), axis=0, return_inverse=True)
        sums = np.bincount(place.ravel(), weights=values, minlength=len(pairs)).astype(np.float64)
        return WalkPaths(pairs[:, 0], pairs[:, 1:], sums)


def _within(earlier: RaggedArray, later: IntArray, window: int) -> tuple[IntArray, IntArray, IntArray]:
    """All pairs of places at most `window` apart: row of the earlier one, and both places; `later` is sorted."""
    rows, places = earlier.rows(), earlier.values
    parts = []
    for gap in range(1, window + 1):
        at = np.minimum(np.searchsorted(later, places + gap), max(len(later) - 1, 0))
        there = later[at] == places + gap if len(later) else np.zeros(len(places), dtype=bool)
        parts.append((rows[there], places[there], places[there] + gap))
    row, before, after = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return row, before, after
