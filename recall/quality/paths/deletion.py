"""What becomes of a score when the edges of its largest paths are deleted.

With degrees and weights held, exactly the shares of the paths go that use a deleted edge: the score is linear in its
paths. Fitted again, degrees fall, too, and lists are cut elsewhere: what is left to ask is whether the same pairs lose
most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray, PairIndex
from kg.topology.adjacency import Adjacency
from recall.contracts import Channel, FitData, Query, StepPaths
from recall.quality.paths.collection import EdgeIndex

Edges = dict[RelationKey, tuple[IntArray, IntArray]]
"""Relation -> positions of source and target in their own tables."""


class Deleter:
    """Deletes the edges of paths."""

    def __init__(self, graph: KnowledgeGraph, adjacency: Adjacency) -> None:
        self.graph, self.index = graph, EdgeIndex(adjacency)
        self._numbering, self._relations = adjacency.numbering, adjacency.relations

    def of_largest(self, steps: Sequence[StepPaths], count: int) -> tuple[float, Edges]:
        """The edges of the largest paths, and what goes with them while degrees are held.

        Args:
            steps: the paths of one pair; those without edges, of texts, are passed over.
            count: how many of the largest paths.

        Returns:
            The sum of the shares of all paths that use one of the edges; and the edges.
        """
        parts = [(step, *self.index.edges(step)) for step in steps if step.shape]
        if not parts:
            return 0.0, {}
        values = np.concatenate([step.values for step, _, _ in parts])
        edge = np.sort(np.partition(values, max(len(values) - count, 0)))[::-1][: min(count, len(values))][-1]
        left, rows, columns = count, [], []
        for step, of_rows, of_columns in parts:
            chosen = np.flatnonzero((step.values >= edge) & (step.values > 0))
            chosen = chosen[np.argsort(-step.values[chosen], kind="stable")][:left]
            left -= len(chosen)
            rows.append(of_rows[chosen].ravel())
            columns.append(of_columns[chosen].ravel())
        deleted = PairIndex.of(np.concatenate(rows), np.concatenate(columns), self.index.nodes)
        gone = sum(
            float(step.values[np.any(deleted.contains(of_rows, of_columns), axis=1)].sum())
            for step, of_rows, of_columns in parts
        )
        return gone, self._edges(*deleted.distinct())

    def _edges(self, rows: IntArray, columns: IntArray) -> Edges:
        edges: Edges = {}
        for number, key in enumerate(self._relations):
            here = rows // self.index.nodes == number
            if here.any():
                source = rows[here] % self.index.nodes - self._numbering.span(key.source).start
                edges[key] = (source, columns[here] - self._numbering.span(key.target).start)
        return edges

    def without(self, edges: Edges) -> KnowledgeGraph:
        """The graph without some edges."""
        kept: dict[RelationKey, npt.NDArray[np.bool_]] = {}
        for key, (source, target) in edges.items():
            table = self.graph.edges[key]
            gone = PairIndex.of(source, target, self.graph.num_nodes(key.target))
            kept[key] = ~gone.contains(table["src"].to_numpy(), table["dst"].to_numpy())
        return self.graph.keep_edges(kept)


def refitted(channel: Channel, data: FitData) -> Channel:
    """The same channel, with the settings and weights that it has, fitted on other data."""
    return type(channel)(channel.config).fit(replace(data, recipe=dict(channel.recipe)))


def score_of(channel: Channel, user: int, item: int) -> float:
    """The score of one pair."""
    return float(channel.score(Query.of_positions(np.array([user]))).at(np.array([[item]]))[0, 0])
