"""The search for simple paths between two nodes, on the in-memory adjacency.

Paths are searched from both ends: for three hops the neighbours of one end's neighbours are met by those of the other
end, for four hops both ends take two steps. Everything is array arithmetic; only the paths asked for become objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, offsets_of, ranges
from kg.errors import ConfigError, InvalidDataError
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency, entries_of
from kg.topology.paths import Path, PathArrays

MAX_HOPS = 4


class PathFinder:
    """All simple paths of 1 to `max_hops` edges between two nodes.

    Two edges of different relations, or of opposite direction, between the same nodes make two paths. A direct edge
    between the two ends is a path of one hop, and part of no other.

    The hub rule: the two ends are never capped. An inner node next to an end that has more than `hub_limit`
    neighbours under a relation goes on only to `hub_limit` of them, those with the most edges in the whole adjacency,
    ties to the smaller number. The edge in the middle of a three-hop path has such a node on both sides and is walked
    when either side goes on to the other, so a genre of thousands of films still connects two of them. The middle
    node of a four-hop path is met from both sides and never capped, nor is that of a two-hop path.
    """

    def __init__(
        self,
        adjacency: Adjacency,
        *,
        max_hops: int = 3,
        hub_limit: int | None = 1000,
        excluded: Iterable[str] = (),
    ) -> None:
        """Prepare the search; linear in the edges, so keep the finder.

        Args:
            adjacency: where to walk.
            max_hops: longest path, 1 to 4.
            hub_limit: see the hub rule; None lifts it.
            excluded: node types through which no path may go (users, when other users are only to be counted); the
                two ends may be of them.

        Raises:
            ConfigError: `max_hops` or `hub_limit` is out of range, or a type is not in the adjacency.
        """
        if not 1 <= max_hops <= MAX_HOPS:
            raise ConfigError(f"max_hops = {max_hops} must be 1 to {MAX_HOPS}")
        if hub_limit is not None and hub_limit < 1:
            raise ConfigError(f"hub_limit = {hub_limit} must be at least 1, or None for no limit")
        self.adjacency = adjacency
        self.max_hops = max_hops
        self.hub_limit = hub_limit
        nodes = len(adjacency.numbering)
        self._inner = np.ones(nodes, dtype=bool)
        for name in excluded:
            if name not in adjacency.numbering.names:
                raise ConfigError(
                    f"excluded node type {name!r} is not in the graph, which has {', '.join(adjacency.numbering.names)}"
                )
            self._inner[adjacency.numbering.span(name)] = False
        owner = np.repeat(np.arange(nodes), np.diff(adjacency.offsets))
        inside = self._inner[owner] & self._inner[adjacency.neighbour] & (owner != adjacency.neighbour)
        kept = inside if hub_limit is None else inside & _within_limit(adjacency, owner, hub_limit)
        self._kept = _Listing.of(adjacency, owner, kept)
        # Edges that the other end leaves out: a three-hop search needs them from this end.
        self._only_here = None
        if hub_limit is not None and not np.array_equal(kept, inside):
            self._only_here = _Listing.of(adjacency, owner, kept & ~kept[_reverse(adjacency, owner)])

    def between(self, source: int, target: int) -> list[Path]:
        """All simple paths between two nodes, short ones first, then by nodes, relations and directions.

        Args:
            source: global node number of the first end.
            target: global node number of the last end.
        """
        return [path for arrays in self.arrays(source, target) for path in arrays.paths()]

    def arrays(self, source: int, target: int) -> list[PathArrays]:
        """The same paths as arrays, one entry for each length from 1 to `max_hops`.

        Raises:
            InvalidDataError: a number is not a node of the graph.
        """
        nodes = len(self.adjacency.numbering)
        for node in (source, target):
            if not 0 <= node < nodes:
                raise InvalidDataError(f"{node} is no node number: the graph has {nodes} nodes")
        out, back = self._listed(source), self._listed(target)
        direct = out.take(out.far == target) if source != target else out.take(np.zeros(len(out), dtype=bool))
        paths = [_sorted(self.adjacency.relations, [direct])]
        if source == target:
            return paths + [_sorted(self.adjacency.relations, [direct] * hops) for hops in range(2, self.max_hops + 1)]
        out = out.take(self._inner[out.far] & (out.far != source) & (out.far != target))
        back = back.take(self._inner[back.far] & (back.far != source) & (back.far != target))
        if self.max_hops >= 2:
            left, right = _join(out.far, back.far)
            paths.append(self._arranged(out.take(left), back.take(right).turned()))
        if self.max_hops >= 3:
            paths.append(self._three(out, back))
        if self.max_hops >= 4:
            paths.append(self._four(out, back, source, target))
        return paths

    def _listed(self, node: int) -> _Hops:
        at = self.adjacency.at(node)
        far = self.adjacency.neighbour[at]
        relation = self.adjacency.relation[at].astype(np.int64)
        return _Hops(np.full(len(far), node), far, relation, self.adjacency.forward[at])

    def _arranged(self, *hops: _Hops) -> PathArrays:
        return _sorted(self.adjacency.relations, list(hops))

    def _three(self, out: _Hops, back: _Hops) -> PathArrays:
        left, right = np.unique(out.far), np.unique(back.far)
        turned = self._kept.size(right) < self._kept.size(left)
        near, far = (right, left) if turned else (left, right)
        middle = self._kept.expand(near, self._marked(far))
        if self._only_here is not None:
            middle = _concat(middle, self._only_here.expand(far, self._marked(near)).turned())
        if turned:
            middle = middle.turned()
        rows, first = _join(middle.near, out.far)
        middle = middle.take(rows)
        rows, last = _join(middle.far, back.far)
        return self._arranged(out.take(first[rows]), middle.take(rows), back.take(last).turned())

    def _four(self, out: _Hops, back: _Hops, source: int, target: int) -> PathArrays:
        open_nodes = np.ones(len(self._inner), dtype=bool)
        open_nodes[[source, target]] = False
        left = self._kept.expand(np.unique(out.far), open_nodes)
        right = self._kept.expand(np.unique(back.far), self._marked(left.far))
        left = left.take(self._marked(right.far)[left.far])
        rows, others = _join(left.far, right.far)
        apart = left.near[rows] != right.near[others]
        left, right = left.take(rows[apart]), right.take(others[apart])
        rows, first = _join(left.near, out.far)
        left, right = left.take(rows), right.take(rows)
        rows, last = _join(right.near, back.far)
        return self._arranged(
            out.take(first[rows]), left.take(rows), right.take(rows).turned(), back.take(last).turned()
        )

    def _marked(self, nodes: IntArray) -> npt.NDArray[np.bool_]:
        mark = np.zeros(len(self._inner), dtype=bool)
        mark[nodes] = True
        return mark


@dataclass(frozen=True)
class _Hops:
    """A column of hops: entry i goes from `near[i]` (nearer to the end it was expanded from) to `far[i]`."""

    near: IntArray
    far: IntArray
    relation: IntArray
    forward: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.near)

    def take(self, rows: npt.NDArray[np.generic]) -> _Hops:
        return _Hops(self.near[rows], self.far[rows], self.relation[rows], self.forward[rows])

    def turned(self) -> _Hops:
        return _Hops(self.far, self.near, self.relation, ~self.forward)


@dataclass(frozen=True)
class _Listing:
    """Some of an adjacency's entries, in CSR form."""

    offsets: IntArray
    neighbour: IntArray
    relation: npt.NDArray[np.int16]
    forward: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, adjacency: Adjacency, owner: IntArray, kept: npt.NDArray[np.bool_]) -> _Listing:
        counts = np.bincount(owner[kept], minlength=len(adjacency.numbering))
        offsets = offsets_of(counts)
        return cls(offsets, adjacency.neighbour[kept], adjacency.relation[kept], adjacency.forward[kept])

    def size(self, nodes: IntArray) -> int:
        return int((self.offsets[nodes + 1] - self.offsets[nodes]).sum())

    def expand(self, nodes: IntArray, wanted: npt.NDArray[np.bool_]) -> _Hops:
        """The entries of some nodes that lead to a wanted one."""
        owner, entry = entries_of(self.offsets, nodes)
        chosen = np.flatnonzero(wanted[self.neighbour[entry]])
        entry = entry[chosen]
        return _Hops(
            nodes[owner[chosen]], self.neighbour[entry], self.relation[entry].astype(np.int64), self.forward[entry]
        )


def _join(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of all pairs of equal values, in the order of the left ones."""
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    starts = np.searchsorted(ordered, left, side="left")
    counts = np.searchsorted(ordered, left, side="right") - starts
    return np.repeat(np.arange(len(left)), counts), order[ranges(starts, counts)]


def _concat(first: _Hops, second: _Hops) -> _Hops:
    return _Hops(
        np.concatenate([first.near, second.near]),
        np.concatenate([first.far, second.far]),
        np.concatenate([first.relation, second.relation]),
        np.concatenate([first.forward, second.forward]),
    )


def _sorted(relations: tuple[RelationKey, ...], hops: list[_Hops]) -> PathArrays:
    nodes = np.stack([hops[0].near, *(hop.far for hop in hops)], axis=1)
    relation = np.stack([hop.relation for hop in hops], axis=1)
    forward = np.stack([hop.forward for hop in hops], axis=1)
    order = np.lexsort((*forward.T[::-1], *relation.T[::-1], *nodes.T[::-1]))
    return PathArrays(relations, nodes[order], relation[order], forward[order])


def _within_limit(adjacency: Adjacency, owner: IntArray, limit: int) -> npt.NDArray[np.bool_]:
    """Entries that the hub rule keeps, bool (entries,)."""
    group = owner * np.int64(max(len(adjacency.relations), 1)) + adjacency.relation
    if not len(group) or np.bincount(group).max() <= limit:
        return np.ones(len(group), dtype=bool)
    edges = np.diff(adjacency.offsets)
    order = np.lexsort((~adjacency.forward, adjacency.neighbour, -edges[adjacency.neighbour], group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    kept = np.empty(len(order), dtype=bool)
    kept[order] = place < limit
    return kept


def _reverse(adjacency: Adjacency, owner: IntArray) -> IntArray:
    """For every entry the position of the same edge in the listing of its other end, (entries,)."""
    # Entries are sorted by (owner, relation, neighbour, forward first); the same sort by the other end's view of each
    # edge puts them in the order of their partners.
    order = np.lexsort((adjacency.forward, owner, adjacency.relation, adjacency.neighbour))
    partner = np.empty(len(order), dtype=np.int64)
    partner[order] = np.arange(len(order))
    return partner
