"""The paths behind the candidates of users, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg import RelationKey
from kg.arrays import IntArray, PairIndex
from kg.topology.adjacency import Adjacency
from recall.contracts import FusedShares, NoShares, PathShares, Shares, StepKind, StepPaths

FloatArray = npt.NDArray[np.float64]


def steps_of(shares: Shares | NoShares) -> tuple[StepPaths, ...]:
    """The paths of a split score: its own, or those of the channels that it is a sum of."""
    if isinstance(shares, PathShares):
        return tuple(step for step in shares.steps if len(step))
    if isinstance(shares, FusedShares):
        return tuple(step for part in shares.parts for step in steps_of(part.shares))
    return ()


@dataclass(frozen=True, kw_only=True)
class PairPaths:
    """The paths of one user and item, in the order of the steps.

    Attributes:
        score: of the pair.
        kinds: names of the types of step.
        kind: position in `kinds` of each path, int64 (n,).
        start: node that each begins at; below 0 for none, int64 (n,).
        last: node before the item; of a direct path its start, int64 (n,).
        value: share of the score, float64 (n,).
    """

    score: float
    kinds: tuple[str, ...]
    kind: IntArray
    start: IntArray
    last: IntArray
    value: FloatArray

    @classmethod
    def of(cls, score: float, steps: Sequence[StepPaths]) -> PairPaths:
        """From the paths of a split score."""
        none = np.zeros(0, dtype=np.int64)
        return cls(
            score=score,
            kinds=tuple(step.name for step in steps),
            kind=np.concatenate([none, *(np.full(len(step), at) for at, step in enumerate(steps))]),
            start=np.concatenate([none, *(step.nodes[:, 0] for step in steps)]),
            last=np.concatenate([none, *(step.nodes[:, -2] for step in steps)]),
            value=np.concatenate([np.zeros(0), *(step.values for step in steps)]),
        )

    def __len__(self) -> int:
        return len(self.value)

    def largest(self, count: int) -> float:
        """The part of the score on its largest paths, one by one; 0 for a score that is not positive."""
        if self.score <= 0:
            return 0.0
        return float(np.sort(self.value)[::-1][:count].sum() / self.score)


class EdgeIndex:
    """Looks edges up by relation, start and end."""

    def __init__(self, adjacency: Adjacency) -> None:
        self.nodes = len(adjacency.numbering)
        self.relations = {key: number for number, key in enumerate(adjacency.relations)}
        listing = np.repeat(np.arange(self.nodes), np.diff(adjacency.offsets))
        forward = adjacency.forward
        rows = adjacency.relation[forward].astype(np.int64) * self.nodes + listing[forward]
        self._index = PairIndex.of(rows, adjacency.neighbour[forward], self.nodes)

    def edges(self, step: StepPaths) -> tuple[IntArray, IntArray]:
        """The edges of each path, as pairs of integers: relation and source in one, and the target, (paths, hops)."""
        rows, columns = [], []
        for hop, (key, forward) in enumerate(step.shape):
            near, far = step.nodes[:, hop], step.nodes[:, hop + 1]
            source, target = (near, far) if forward else (far, near)
            rows.append(self.row(key, source))
            columns.append(target)
        if not rows:
            empty = np.zeros((len(step), 0), dtype=np.int64)
            return empty, empty
        return np.stack(rows, axis=1), np.stack(columns, axis=1)

    def row(self, key: RelationKey, source: IntArray) -> IntArray:
        """Relation and source in one integer; -1 for a relation that is not there."""
        number = self.relations.get(key)
        return np.full(len(source), -1) if number is None else number * np.int64(self.nodes) + source

    def valid(self, step: StepPaths, history: IntArray, first_item: int) -> npt.NDArray[np.bool_]:
        """Which paths exist: every edge is in the graph, and the path begins in the history or at what was asked for.

        Args:
            step: the paths.
            history: positions of the items that the person touched.
            first_item: node number of the first item.
        """
        rows, columns = self.edges(step)
        there: npt.NDArray[np.bool_] = np.all(self._index.contains(rows, columns), axis=1)
        if step.kind == StepKind.ATTRIBUTE:
            return there
        start = step.nodes[:, 0]
        return there & ((start < 0) | np.isin(start - first_item, history))
