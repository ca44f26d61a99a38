"""From an item to a user who likes it, and on to the other items of that user.

Paudel, Christoffel, Newell and Bernstein, "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive
Applications", ACM TiiS 7(1), 2017 (RP3beta), with a power of its own for each of the three degrees.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags

from kg.arrays import IntArray, RaggedArray
from kg.topology.walk.lists import Neighbours, entries, largest_products
from kg.topology.walk.step import Powers, WalkPaths, divided


class UserStep(Neighbours):
    """A path j -> v -> i is worth d_j^-a d_v^-b d_i^-c, with d the numbers of likes; each item keeps its n best ends.

    Users who like more than `longest` items are nobody's middle: with m items they would make m^2 paths of next to no
    worth.

    Attributes:
        lists: CSR (items, items), float32.
    """

    def __init__(self, liked: RaggedArray, num_items: int, *, powers: Powers, longest: int, lists: Any) -> None:
        """From lists that `build` made.

        Args:
            liked: the items of each user, sorted and unique.
            num_items: items.
            powers: a, b and c.
            longest: see the class.
            lists: what the same arguments built.
        """
        super().__init__(lists)
        self.liked, self.num_items, self.powers, self.longest = liked, num_items, powers, longest

    @classmethod
    def build(
        cls, liked: RaggedArray, num_items: int, *, powers: Powers, longest: int = 2000, neighbours: int = 400
    ) -> UserStep:
        """Find the neighbours of every item; the work is the sum over users of the squares of their numbers of items.

        Args:
            liked: see the class.
            num_items: items.
            powers: see the class.
            longest: see the class.
            neighbours: n, at least 1.
        """
        step = cls(liked, num_items, powers=powers, longest=longest, lists=None)
        likes = csr_matrix(
            (np.ones(len(liked.values), dtype=np.float32), liked.values, liked.offsets), shape=(len(liked), num_items)
        )
        start, middle, end = (scale.astype(np.float32) for scale in step._scales)
        to_users = (diags(start) @ likes.T).tocsr()
        from_users = (diags(middle) @ likes @ diags(end)).tocsr()
        from_users.eliminate_zeros()  # the users who are nobody's middle
        step.lists = largest_products(to_users, from_users, neighbours)
        return step

    @cached_property
    def _scales(self) -> tuple[Any, Any, Any]:
        """d_j^-a, d_v^-b (0 beyond `longest`) and d_i^-c, float64."""
        counts = self.liked.counts
        degree = np.bincount(self.liked.values, minlength=self.num_items)
        middle = divided(np.where(counts > self.longest, 0, counts), self.powers.middle)
        return divided(degree, self.powers.start), middle, divided(degree, self.powers.end)

    @cached_property
    def _fans(self) -> RaggedArray:
        """The users who like each item."""
        return RaggedArray.from_pairs(self.liked.values, self.liked.rows(), num_rows=self.num_items)

    def paths(self, items: IntArray, item: int) -> WalkPaths:
        """The paths through users from some items to one of their neighbours."""
        start, middle, end = self._scales
        listed = np.flatnonzero(entries(self.lists, items, item) > 0)
        fans = self._fans.take(items[listed])
        shared = np.isin(fans.values, self._fans[item]) & (middle[fans.values] > 0)
        row, users = listed[fans.rows()[shared]], fans.values[shared]
        return WalkPaths(row, users[:, None], start[items[row]] * middle[users] * end[item])
