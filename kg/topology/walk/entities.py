"""From an item to an entity of the graph, a person or a genre, and on to the other items that are joined to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags

from kg.arrays import IntArray, RaggedArray
from kg.topology.walk.lists import add_product, largest_products
from kg.topology.walk.step import FloatArray, Powers, WalkPaths, divided


@dataclass(frozen=True)
class Incidence:
    """Edges of one relation, walked in one direction.

    Attributes:
        ends: the nodes each start is joined to, sorted and unique.
        width: nodes of the type at the end.
    """

    ends: RaggedArray
    width: int

    def matrix(self) -> Any:
        """Binary CSR (starts, ends), float64."""
        ends = self.ends
        return csr_matrix((np.ones(len(ends.values)), ends.values, ends.offsets), shape=(len(ends), self.width))


class Meeting(NamedTuple):
    """An entity that two items are joined to.

    Attributes:
        row: which of the start items.
        entity: position.
        start: entities of the start.
        middle: items that are joined to the entity.
        end: entities of the end.
    """

    row: int
    entity: int
    start: int
    middle: int
    end: int


class EntityStep:
    """A path j -> x -> i is worth n_j^-a p(x) n_i^-c g_i, where n counts the entities of an item.

    p(x) = ln(items / d_x)^r d_x^-b with d_x the number of items joined to x; with r > 0 an entity that every item has
    is worth nothing. g_i is given. Through a second relation, j -> y -> x, each y passes on its number of ends to the
    power -b, and each item keeps the `width` entities that it reaches best.

    The operator stays two factors: an entity that a million items share is one column, not a million squared pairs.

    Attributes:
        cut: whether items may reach more entities than they keep.
        worth: p of each entity, float32 (entities,).
        outward: from items to entities, CSR (items, entities), float32.
        inward: from entities to items, CSR (entities, items), float32.
    """

    def __init__(
        self,
        hops: Sequence[Incidence],
        *,
        powers: Powers,
        rarity: float = 0.0,
        gain: FloatArray | None = None,
        width: int = 100,
    ) -> None:
        """From one relation, or two in a row.

        Args:
            hops: from the items on; the second begins where the first ends.
            powers: a, b and c.
            rarity: r.
            gain: g, (items,); None: 1 everywhere.
            width: see the class.
        """
        self.hops, self.powers = tuple(hops), powers
        self._reached = self._entities(width)
        # With exactly `width` entities nothing may have been left out, which costs a query a few numbers.
        self.cut = len(self.hops) > 1 and bool((np.diff(self._reached.indptr) >= width).any())
        reached = self._reached
        start, worth, end = self._scales(rarity)
        end = end if gain is None else end * gain
        self.worth = worth.astype(np.float32)
        self.outward = (diags(start) @ reached @ diags(worth)).tocsr().astype(np.float32)
        self.inward = (diags(end) @ reached).T.tocsr().astype(np.float32)
        self.inward.sort_indices()

    def _entities(self, width: int) -> Any:
        """What each item is joined to and how strongly, CSR (items, entities), float64."""
        first = self.hops[0].matrix()
        if len(self.hops) == 1:
            return first
        second = self.hops[1].matrix()
        passed_on = diags(divided(self.hops[1].ends.counts, self.powers.middle)) @ second
        return largest_products(first, passed_on.tocsr(), width, diagonal=True).astype(np.float64)

    def _scales(self, rarity: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """n_j^-a, p(x) and n_i^-c."""
        reached = self._reached
        counts = np.diff(reached.indptr)
        shared_by = np.bincount(reached.indices, minlength=reached.shape[1])
        items = int((counts > 0).sum())
        with np.errstate(divide="ignore"):
            idf = np.maximum(np.log(max(items, 1) / shared_by), 0.0)
        idf[shared_by == 0] = 0
        # 0^0 is 1: with rarity 0 an entity that all have counts like any other
        worth = idf**rarity * divided(shared_by, self.powers.middle)
        return divided(counts, self.powers.start), worth, divided(counts, self.powers.end)

    def add_reached(self, scores: npt.NDArray[np.float32], start: Any) -> None:
        """See `kg.topology.walk.step.Step`; an item reaches itself, too."""
        add_product(scores, start @ self.outward, self.inward)

    def paths(self, items: IntArray, item: int) -> WalkPaths:
        """The paths through shared entities from some items to one."""
        entities = _row(self._reached, item)
        shared = self.outward[items][:, entities].tocoo()
        row, middle = shared.row.astype(np.int64), entities[shared.col]
        inward = self.inward[:, [item]].toarray()[:, 0].astype(np.float64)
        values = shared.data.astype(np.float64) * inward[middle]
        paths = WalkPaths(row, middle[:, None], values)
        return paths if len(self.hops) == 1 else self._through_two(items, item, paths)

    def meetings(self, items: IntArray, item: int) -> list[Meeting]:
        """The entities that some items and one keep, with the degrees that a path through them depends on."""
        reached = self._reached
        counts, joined = np.diff(reached.indptr), np.bincount(reached.indices, minlength=reached.shape[1])
        entities = _row(reached, item)
        shared = reached[items][:, entities].tocoo()
        return [
            Meeting(row, entity, int(counts[items[row]]), int(joined[entity]), int(counts[item]))
            for row, entity in zip(shared.row.tolist(), entities[shared.col].tolist(), strict=True)
        ]

    def _through_two(self, items: IntArray, item: int, shared: WalkPaths) -> WalkPaths:
        """Each path j -> x -> i as its paths j -> y -> x -> z -> i, by what y and z pass on."""
        parts = [(np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64), np.zeros(0))]
        for row, (entity,), value in zip(shared.row.tolist(), shared.middle.tolist(), shared.values, strict=True):
            near, near_share = self._between(int(items[row]), entity)
            far, far_share = self._between(item, entity)
            first, second = (grid.ravel() for grid in np.meshgrid(near, far, indexing="ij"))
            middle = np.stack([first, np.full(len(first), entity), second], axis=1)
            parts.append((np.full(len(first), row), middle, value * np.outer(near_share, far_share).ravel()))
        row, middle, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return WalkPaths(row, middle, values)

    def _between(self, item: int, entity: int) -> tuple[IntArray, FloatArray]:
        """The nodes y on the paths item -> y -> entity, and the part of what the entity gets that each passes on."""
        first, second = self.hops[0].ends[item], self.hops[1].ends
        joined = second.take(first)
        nodes = first[joined.rows()[joined.values == entity]]
        passed_on = divided(second.counts[nodes], self.powers.middle)
        return nodes, passed_on / passed_on.sum()


def _row(matrix: Any, row: int) -> IntArray:
    """The columns of one row of a CSR matrix."""
    columns: IntArray = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
    return columns
