"""Every node in one numbering, and its neighbours under every relation in one CSR structure.

The model, the paths and the explanations share this numbering, so a row of an embedding matrix and a node on a path
are the same integer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, offsets_of, ranges
from kg.graph import KnowledgeGraph
from kg.schema import RelationKey


@dataclass(frozen=True)
class Numbering:
    """Global node numbers: the node types in schema order, one after the other.

    Attributes:
        names: node types.
        starts: first global number of each type, and the total at the end, int64 (types + 1,).
    """

    names: tuple[str, ...]
    starts: IntArray

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> Numbering:
        """The numbering of a graph's nodes."""
        names = tuple(graph.nodes)
        counts = [graph.num_nodes(name) for name in names]
        return cls(names, offsets_of(np.array(counts, dtype=np.int64)))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def span(self, node_type: str) -> slice:
        """The rows of one node type."""
        at = self.names.index(node_type)
        return slice(int(self.starts[at]), int(self.starts[at + 1]))

    def locate(self, node: int) -> tuple[str, int]:
        """Node type, and position in its table, of a global number."""
        at = int(np.searchsorted(self.starts, node, side="right")) - 1
        return self.names[at], int(node - self.starts[at])


@dataclass(frozen=True)
class Adjacency:
    """Neighbours of every node under every relation, each edge listed at both its ends.

    Only edges that the model propagates along: all of a relation, but only the positive ones of the interaction
    relation; parallel edges of one relation count once. A self-loop is listed twice.

    Attributes:
        numbering: global node numbers.
        relations: the relations in the order of `relation`.
        offsets: the neighbours of node v are at `offsets[v]:offsets[v + 1]`, int64 (nodes + 1,).
        neighbour: global number, int64 (2 * edges,), sorted within a node by relation, then neighbour.
        relation: position in `relations`, int16 (2 * edges,).
        forward: whether the listing node is the edge's source, bool (2 * edges,).
        degree: neighbours of each node under each relation, int64 (relations, nodes): what D_r of the model counts.
    """

    numbering: Numbering
    relations: tuple[RelationKey, ...]
    offsets: IntArray
    neighbour: IntArray
    relation: npt.NDArray[np.int16]
    forward: npt.NDArray[np.bool_]
    degree: IntArray

    @classmethod
    def of(cls, graph: KnowledgeGraph, relations: Iterable[RelationKey] | None = None) -> Adjacency:
        """Build from a graph, for all its relations or some."""
        numbering = Numbering.of(graph)
        keys = tuple(graph.edges if relations is None else relations)
        ends, others, kinds, directions = [], [], [], []
        for number, key in enumerate(keys):
            source, target = graph.positive_edges(key)
            source = source + numbering.span(key.source).start
            target = target + numbering.span(key.target).start
            ends += [source, target]
            others += [target, source]
            kinds += [np.full(len(source), number, dtype=np.int16)] * 2
            directions += [np.ones(len(source), dtype=bool), np.zeros(len(source), dtype=bool)]
        nodes = len(numbering)
        end = np.concatenate([np.zeros(0, dtype=np.int64), *ends])
        other = np.concatenate([np.zeros(0, dtype=np.int64), *others])
        kind = np.concatenate([np.zeros(0, dtype=np.int16), *kinds])
        direction = np.concatenate([np.zeros(0, dtype=bool), *directions])
        order = np.lexsort((~direction, other, kind, end))
        offsets = offsets_of(np.bincount(end, minlength=nodes))
        degree = np.bincount(kind * np.int64(nodes) + end, minlength=len(keys) * nodes).reshape(len(keys), nodes)
        return cls(numbering, keys, offsets, other[order], kind[order], direction[order], degree.astype(np.int64))

    def at(self, node: int) -> slice:
        """Where the neighbours of a node are listed."""
        return slice(int(self.offsets[node]), int(self.offsets[node + 1]))


def entries_of(offsets: IntArray, nodes: IntArray) -> tuple[IntArray, IntArray]:
    """Entries of some nodes in a CSR structure: the position in `nodes` of each, and its own position, (entries,)."""
    counts = offsets[nodes + 1] - offsets[nodes]
    return np.repeat(np.arange(len(nodes)), counts), ranges(offsets[nodes], counts)
