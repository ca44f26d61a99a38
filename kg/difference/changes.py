"""The difference of two graphs as positions and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg.arrays import IntArray
from kg.graph import KnowledgeGraph, column, node_columns
from kg.schema import RelationKey

BoolArray = npt.NDArray[np.bool_]
Kind = Literal["added", "removed", "changed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """What happened to the nodes of a type.

    Attributes:
        before, after: how many there were and are.
        added: positions in the graph after, ascending.
        removed: positions in the graph before, ascending.
        changed: positions in the graph after of the nodes that were there and have other attributes or another text.
        text: of these, the positions of those with another text.
    """

    before: int
    after: int
    added: IntArray
    removed: IntArray
    changed: IntArray
    text: IntArray

    def __bool__(self) -> bool:
        return bool(len(self.added) or len(self.removed) or len(self.changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """What happened to the edges of a relation.

    Attributes:
        before, after: how many there were and are.
        added: rows of the table after, ascending.
        removed: rows of the table before, ascending.
        changed: rows of the table after whose ends were joined before, with other values.
        was: the row of the table before for each of these.
    """

    before: int
    after: int
    added: IntArray
    removed: IntArray
    changed: IntArray
    was: IntArray

    def __bool__(self) -> bool:
        return bool(len(self.added) or len(self.removed) or len(self.changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two graphs and what lies between them; false when they hold the same.

    Attributes:
        before, after: the graphs.
        nodes: by node type, of either graph.
        edges: by relation, of either graph.
    """

    before: KnowledgeGraph
    after: KnowledgeGraph
    nodes: dict[str, NodeChange]
    edges: dict[RelationKey, EdgeChange]

    def __bool__(self) -> bool:
        return any(self.nodes.values()) or any(self.edges.values())

    def ids(self, node_type: str, kind: Kind) -> Any:
        """External ids of the nodes that were added, removed or changed (Arrow strings, sorted)."""
        if node_type not in self.nodes:
            return pa.array([], pa.string())
        graph = self.before if kind == "removed" else self.after
        positions: IntArray = getattr(self.nodes[node_type], kind)
        return graph.vocabulary(node_type).take(positions) if len(positions) else pa.array([], pa.string())

    def rows(self, key: RelationKey, kind: Kind) -> Any:
        """The edges that were added, removed or changed as a table whose ends are external ids."""
        graph = self.before if kind == "removed" else self.after
        table = graph.edges[key].take(pa.array(getattr(self.edges[key], kind)))
        for name, node_type in node_columns(graph.schema, key).items():
            ids = graph.vocabulary(node_type).take(column(table, name))
            table = table.set_column(table.column_names.index(name), name, ids)
        return table

    def touched(self, node_type: str) -> BoolArray:
        """Which nodes of the graph after are new, have changed, or gained, lost or changed an edge, (nodes,)."""
        mask = np.zeros(self.after.num_nodes(node_type), bool)
        mask[self.nodes[node_type].added] = True
        mask[self.nodes[node_type].changed] = True
        for key, change in self.edges.items():
            for kind in KINDS:
                graph = self.before if kind == "removed" else self.after
                rows: IntArray = getattr(change, kind)
                if not len(rows):
                    continue
                for name, end in node_columns(graph.schema, key).items():
                    if end == node_type:
                        positions = np.unique(column(graph.edges[key], name)[rows])
                        if kind == "removed":
                            ids = self.before.vocabulary(end).take(positions)
                            positions = self.after.vocabulary(end).index(ids, missing="negative")
                        mask[positions[positions >= 0]] = True
        return mask

    def shares(self) -> dict[str, float]:
        """How much of the interactions and of the items was added, removed or changed, as shares of those before.

        Where there were none before, a share is 1 if there are any now, else 0.
        """
        key = self.after.schema.interaction
        changes: dict[str, NodeChange | EdgeChange | None] = {
            "interactions": None if key is None else self.edges.get(key),
            "items": self.nodes.get(self.after.schema.item_type),
        }
        shares = {}
        for name, change in changes.items():
            count = 0 if change is None else len(change.added) + len(change.removed) + len(change.changed)
            before = 0 if change is None else change.before
            shares[name] = count / before if before else float(count > 0)
        return shares

    def to_json(self, *, examples: int = 3) -> dict[str, Any]:
        """Counts by node type and relation, and a few ids; never those of users, and no traces of theirs.

        Args:
            examples: most ids of a kind.
        """
        user, events = self.after.schema.user_type, {*self.after.schema.events(), *self.before.schema.events()}
        nodes: dict[str, dict[str, Any]] = {}
        for name, change in self.nodes.items():
            counts: dict[str, int] = {kind: len(getattr(change, kind)) for kind in KINDS}
            nodes[name] = {"before": change.before, "after": change.after, **counts, "text": len(change.text)}
            if name != user:
                shown = {kind: self.ids(name, kind)[:examples].to_pylist() for kind in KINDS if counts[kind]}
                nodes[name] |= {"examples": shown}
        edges: dict[str, dict[str, Any]] = {}
        for key, links in self.edges.items():
            counts = {kind: len(getattr(links, kind)) for kind in KINDS}
            edges[str(key)] = {"before": links.before, "after": links.after, **counts}
            if key not in events and user not in (key.source, key.target):
                edges[str(key)] |= {
                    "examples": {kind: self._shown(key, kind, examples) for kind in KINDS if counts[kind]}
                }
        return {"nodes": nodes, "edges": edges, "shares": self.shares()}

    def _shown(self, key: RelationKey, kind: Kind, count: int) -> list[list[str]]:
        graph = self.before if kind == "removed" else self.after
        rows = graph.edges[key].take(pa.array(getattr(self.edges[key], kind)[:count]))
        ends = [
            graph.vocabulary(end).take(column(rows, name)).to_pylist()
            for name, end in (("src", key.source), ("dst", key.target))
        ]
        return [[source, target] for source, target in zip(*ends, strict=True)]
