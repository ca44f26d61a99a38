"""A score that is a sum over paths as a few sentences: the largest first, many paths that say the same as one.

Paths of one type of step are taken together where they say the same: those through one attribute, or those that begin
at one liked item. There are more of these groups than a person reads. So each sentence is made of one group, or of all
groups of a type that have no sentence of their own; the sentences are chosen so that the next one is always that
which says most: a type as a whole, or the largest group that is left in one. What has no sentence is summed up.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray
from kg.cypher.query import CypherQuery, path_query
from kg.schema import RelationKey
from kg.topology.paths import Path, Step
from recall.contracts import REQUEST_TEXT, PathShares, StepKind, StepPaths
from recall.explain.entries import Node, PathReason, PathReasons, PathStrand, Reason, other_paths
from recall.explain.pair import Pair
from recall.explain.path_words import REQUEST, Route, nouns, sentence_of

STRANDS = 3
"""Lines of a drawing for one sentence."""
STARTS = 10
"""Nodes that a reason names as data."""


def reasons_by_paths(pair: Pair, shares: PathShares, limit: int) -> PathReasons:
    """The sentences for a split score, at most `limit`."""
    types = [_Type(pair, step) for step in shares.steps if len(step)]
    chosen = _chosen(types, limit)
    lines = [line for kind, count in zip(types, chosen, strict=True) for line in kind.lines(count)]
    left = [kind for kind, count in zip(types, chosen, strict=True) if not count]
    total = shares.score - shares.prior
    prior = None
    if shares.prior:
        text = "of how many people like it, whoever asks"
        prior = Reason(share=shares.prior, fraction=pair.fraction(shares.prior), text=text)
    return PathReasons(
        lines=tuple(sorted(lines, key=lambda line: -line.share)),
        others=_others(pair, left) if left else None,
        popularity=prior,
        fraction=pair.fraction(total),
        weights=_weights(
            [kind.step for kind, count in zip(types, chosen, strict=True) if count],
            next((step.weight for step in shares.steps if step.kind == StepKind.USERS and step.weight > 0), None),
        ),
    )


def _others(pair: Pair, types: Sequence[_Type]) -> Reason:
    shares = [float(kind.step.values.sum()) for kind in types]
    sums = [Reason(share=share, fraction=pair.fraction(share), text="") for share in shares]
    return other_paths(sum(len(kind.step) for kind in types), sums)


def _chosen(types: Sequence[_Type], limit: int) -> list[int]:
    """How many sentences each type gets."""
    counts = [0] * len(types)
    heap = [(-abs(kind.gain(0)), number) for number, kind in enumerate(types)]
    heapq.heapify(heap)
    for _ in range(limit):
        if not heap:
            break
        _, number = heapq.heappop(heap)
        counts[number] += 1
        if counts[number] < len(types[number].groups):
            heapq.heappush(heap, (-abs(types[number].gain(counts[number])), number))
    return counts


def _weights(steps: Sequence[StepPaths], people: float | None) -> str:
    """What types of steps count: beside a path through another person, where these count."""
    ordered = sorted((step for step in steps if step.kind != StepKind.USERS), key=lambda step: -step.weight)
    counts = [f"{step.name.replace('_', ' ')} {step.weight / (people or 1):.2g}" for step in ordered]
    if not counts:
        return ""
    return f"{'Beside a shared person (1): ' if people else 'Beside one another: '}{', '.join(counts)}."


@dataclass(frozen=True)
class _Group:
    """Some paths of a type, by position; largest share first."""

    rows: IntArray
    share: float


class _Type:
    """The paths of one type of step, in groups."""

    def __init__(self, pair: Pair, step: StepPaths) -> None:
        self.pair, self.step = pair, step
        inner = step.nodes[:, 1:-1]
        self._through_people = bool(((inner >= pair.users.start) & (inner < pair.users.stop)).any())
        apart = self._by_start() or not inner.shape[1]
        keys = step.nodes[:, :1] if apart else inner
        self.groups = _groups(_distinct(keys)[1], step.values)

    def _by_start(self) -> bool:
        kind = self.step.kind
        return self._through_people or kind in (StepKind.USERS, StepKind.NEXT, StepKind.ATTRIBUTE)

    def gain(self, sentences: int) -> float:
        """The share that one more sentence says, for a type that has some already."""
        return sum(group.share for group in self.groups) if not sentences else self.groups[sentences - 1].share

    def lines(self, count: int) -> list[PathReason]:
        """So many sentences: the largest groups, and the last of all that is left."""
        if not count:
            return []
        parts = [group.rows for group in self.groups[: count - 1]]
        parts.append(np.concatenate([group.rows for group in self.groups[count - 1 :]]))
        return [self._reason(rows) for rows in parts]

    def _reason(self, rows: IntArray) -> PathReason:
        pair, step = self.pair, self.step
        nodes, values = step.nodes[rows], step.values[rows]
        starts = _ranked(nodes[:, :1], values)
        inner = nodes[:, 1:-1]
        people = len(np.unique(inner)) if self._through_people else 0
        ways = [] if self._through_people else [tuple(way) for way in _ranked(inner, values).tolist()]
        first = [int(start) for (start,) in starts.tolist()]
        route = Route(kind=step.kind, shape=step.shape, starts=first, ways=ways, people=people)
        share = float(values.sum())
        return PathReason(
            share=share,
            fraction=pair.fraction(share),
            text=sentence_of(pair, route),
            step=step.name,
            paths=len(rows),
            people=people,
            starts=tuple(self._node(node) for node in first[:STARTS]),
            strands=self._strands(nodes, values, people),
            cypher=self._query(nodes[int(np.argmax(np.abs(values)))]),
        )

    def _node(self, node: int) -> Node:
        return REQUEST if node == REQUEST_TEXT else self.pair.node_of(node)

    def _strands(self, nodes: IntArray, values: npt.NDArray[np.float64], people: int) -> tuple[PathStrand, ...]:
        """The largest few by where they begin and run, and the sum of all others."""
        columns = nodes[:, :1] if self._through_people else nodes[:, :-1]
        groups = _groups(_distinct(columns)[1], values)
        kept = groups if len(groups) <= STRANDS else groups[: STRANDS - 1]
        strands = [
            self._strand([self._node(n) for n in columns[group.rows[0]].tolist()], group.share, people)
            for group in kept
        ]
        if len(kept) < len(groups):
            left = np.concatenate([group.rows for group in groups[len(kept) :]])
            along = [self._several(nodes[left, 0], " more")]
            if not self._through_people:
                along += [self._several(column) for column in columns[left, 1:].T]
            strands.append(self._strand(along, float(values[left].sum()), people))
        return tuple(strands)

    def _several(self, nodes: IntArray, more: str = "") -> Node:
        """A node, or one that counts several of a type."""
        different = np.unique(nodes)
        node = self._node(int(different[-1]))
        if len(different) == 1:
            return node
        count = f"{len(different)}{more}"
        return Node(node.type, "", f"{count} {nouns(self.pair.graph.schema, node.type, len(different))}")

    def _strand(self, nodes: list[Node], share: float, people: int) -> PathStrand:
        if self._through_people:
            nodes = [
                *nodes,
                Node(self.pair.graph.schema.user_type, "", f"{people} people" if people > 1 else "1 person"),
            ]
        return PathStrand(
            share=share, fraction=self.pair.fraction(share), nodes=tuple(nodes), labels=(self._liking(), *self._edges())
        )

    def _liking(self) -> str:
        if self.step.kind == StepKind.ATTRIBUTE:
            return "asked for"
        if self.step.kind == StepKind.DISLIKE:
            return "not liked"
        interaction = self.pair.graph.schema.interaction
        return "" if interaction is None else f"{self.pair.graph.schema.relations[interaction].phrase} ▸"

    def _edges(self) -> list[str]:
        if not self.step.shape:
            return ["text alike"]
        relations = self.pair.graph.schema.relations
        labels = [
            f"{relations[key].phrase} ▸" if forward else f"◂ {relations[key].phrase}"
            for key, forward in self.step.shape
        ]
        if self.step.kind == StepKind.NEXT:
            labels[-1] = "went on to ▸"
        return labels

    def _query(self, nodes: IntArray) -> CypherQuery | None:
        """Finds a path in a store, from the user where the graph has one."""
        if self._through_people or not self.step.shape:
            return None
        hops: list[tuple[RelationKey, bool]] = list(self.step.shape)
        along: list[int] = nodes.tolist()
        interaction = self.pair.graph.schema.interaction
        liked = self.step.kind not in (StepKind.ATTRIBUTE, StepKind.DISLIKE)
        if liked and self.pair.in_graph and interaction is not None:
            hops, along = [(interaction, True), *hops], [self.pair.user, *along]
        steps = zip(pairwise(along), hops, strict=True)
        return path_query(self.pair.graph, Path(tuple(Step(a, b, key, forward) for (a, b), (key, forward) in steps)))


def _groups(group: IntArray, values: npt.NDArray[np.float64]) -> list[_Group]:
    """Positions by group, largest absolute sum first, and in each the largest values first."""
    sums = np.bincount(group, weights=values)
    order = np.lexsort((-np.abs(values), group))
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    ranked = np.argsort(-np.abs(sums), kind="stable")
    return [_Group(parts[place], float(sums[place])) for place in ranked.tolist()]


def _ranked(rows: IntArray, values: npt.NDArray[np.float64]) -> IntArray:
    """The distinct rows, those with the largest absolute sum of values first."""
    distinct, group = _distinct(rows)
    sums = np.bincount(group, weights=values, minlength=len(distinct))
    ranked: IntArray = distinct[np.argsort(-np.abs(sums), kind="stable")]
    return ranked


def _distinct(rows: IntArray) -> tuple[IntArray, IntArray]:
    """The distinct rows, and which of them each row is, (rows,)."""
    if rows.shape[1] == 1:  # much faster than to compare rows
        values, group = np.unique(rows[:, 0], return_inverse=True)
        return values[:, None], group
    distinct, group = np.unique(rows, axis=0, return_inverse=True)
    return distinct, group.ravel()
