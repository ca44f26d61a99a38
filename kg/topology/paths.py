"""Paths: nodes joined by edges, one at a time or as arrays, and whether one is in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.graph import KnowledgeGraph
from kg.schema import RelationKey
from kg.topology.adjacency import Numbering

Shape = tuple[tuple[RelationKey, bool], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of a path, as it is walked.

    Attributes:
        source, target: global node numbers (kg.topology.adjacency.Numbering), in the direction of the walk.
        relation: key of the edge's relation.
        forward: True when the walk follows the edge, False when it goes against it.
    """

    source: int
    target: int
    relation: RelationKey
    forward: bool


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from one node to another; no node occurs twice."""

    steps: tuple[Step, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        """Global node numbers along the path, (hops + 1,)."""
        return (self.steps[0].source, *(step.target for step in self.steps))

    @property
    def shape(self) -> Shape:
        """Relation and direction of each step: what is left when the nodes are taken away."""
        return tuple((step.relation, step.forward) for step in self.steps)

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class PathArrays:
    """Paths of one length as arrays, in lexicographic order of nodes, relations and directions.

    Attributes:
        relations: what `relation` counts in.
        nodes: global node numbers, int64 (paths, hops + 1).
        relation: positions in `relations`, int64 (paths, hops).
        forward: direction of each step, bool (paths, hops).
    """

    relations: tuple[RelationKey, ...]
    nodes: IntArray
    relation: IntArray
    forward: npt.NDArray[np.bool_]

    @property
    def hops(self) -> int:
        """Edges of each path."""
        return int(self.relation.shape[1])

    def __len__(self) -> int:
        return len(self.nodes)

    def take(self, rows: npt.NDArray[np.generic]) -> PathArrays:
        """Some of the paths, by mask or position."""
        return PathArrays(self.relations, self.nodes[rows], self.relation[rows], self.forward[rows])

    def after(self, node: int, relation: int) -> PathArrays:
        """The same paths with a hop from another node along a relation before them."""
        first = np.full((len(self), 1), node, dtype=np.int64)
        return PathArrays(
            self.relations,
            np.hstack([first, self.nodes]),
            np.hstack([np.full_like(first, relation), self.relation]),
            np.hstack([np.ones((len(self), 1), dtype=bool), self.forward]),
        )

    @classmethod
    def concat(cls, parts: Sequence[PathArrays]) -> PathArrays:
        """Paths of one length as one; there is at least one part."""
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("nodes", "relation", "forward"))
        return cls(parts[0].relations, *arrays)

    def paths(self) -> list[Path]:
        """The paths as objects."""
        keys = self.relations
        return [
            Path(tuple(Step(a, b, keys[r], f) for a, b, r, f in zip(nodes, nodes[1:], kinds, directions, strict=False)))
            for nodes, kinds, directions in zip(
                self.nodes.tolist(), self.relation.tolist(), self.forward.tolist(), strict=True
            )
        ]


def path_exists(graph: KnowledgeGraph, path: Path) -> bool:
    """Whether every step of a path is an edge in the graph's tables (a positive one, for interactions).

    It looks at the tables themselves, not at the adjacency a path came from, so it can check the search.
    """
    numbering = Numbering.of(graph)
    for before, after in zip(path.steps, path.steps[1:], strict=False):
        if before.target != after.source:
            return False
    return all(_step_exists(graph, numbering, step) for step in path.steps)


def _step_exists(graph: KnowledgeGraph, numbering: Numbering, step: Step) -> bool:
    start, end = (step.source, step.target) if step.forward else (step.target, step.source)
    if step.relation not in graph.edges or not (0 <= start < len(numbering) and 0 <= end < len(numbering)):
        return False
    (source_type, source), (target_type, target) = numbering.locate(start), numbering.locate(end)
    if (source_type, target_type) != (step.relation.source, step.relation.target):
        return False
    table = graph.edges[step.relation]
    if step.relation == graph.schema.interaction:
        table = table.filter(pa.array(graph.schema.positive.mask(table)))
    matches = pc.and_(pc.equal(table["src"], source), pc.equal(table["dst"], target))
    return bool(pc.any(matches, min_count=0).as_py())
