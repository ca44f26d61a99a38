"""Clean facts of all sources as tables of nodes and edges, and the names that they have in a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from kg.arrays import IntArray
from kg.schema import NodeType, RelationKey

MentionKind = Literal["interactions", "events", "attributes", "edges", "rdf", "neo4j"]


@dataclass(slots=True)
class NodeTable:
    """Nodes of one type from RDF.

    Attributes:
        type: name, class and title attribute, as inferred.
        table: `id`, `iri` where the id is another, and attributes.
    """

    type: NodeType
    table: Any


@dataclass(slots=True)
class EdgeTable:
    """Edges of one relation from RDF.

    Attributes:
        predicate: IRI.
        src, dst: rows of the two node tables, int64 (edges,).
        graph: Arrow strings (null: default graph), or None when no edge has a named one.
    """

    predicate: str
    src: IntArray
    dst: IntArray
    graph: Any = None


@dataclass(slots=True)
class Mapped:
    """What RDF says, as tables."""

    nodes: dict[str, NodeTable] = field(default_factory=dict)
    edges: dict[RelationKey, EdgeTable] = field(default_factory=dict)


@dataclass(slots=True)
class StoreNames:
    """How the graph database that facts came from calls them.

    Attributes:
        labels: node type -> label.
        keys: node type -> the property that holds the id, and what it holds.
        types: relation -> relationship type.
        properties: relation -> column -> property, where that has another name.
    """

    labels: dict[str, str] = field(default_factory=dict)
    keys: dict[str, tuple[str, Literal["string", "integer"]]] = field(default_factory=dict)
    types: dict[RelationKey, str] = field(default_factory=dict)
    properties: dict[RelationKey, dict[str, str]] = field(default_factory=dict)

    def update(self, other: StoreNames) -> None:
        """Add the names of another database."""
        for field_ in fields(self):
            getattr(self, field_.name).update(getattr(other, field_.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """Nodes of one type that one source names: whether the sources mean the same nodes is seen by their ids.

    Attributes:
        node: node type.
        source: file or database, for messages.
        kind: "interactions", "events", "attributes", "edges", "rdf" or "neo4j".
        key: where a configuration says what the ids are: "columns.item", "id", "key".
        ids: Arrow strings, with repeats.
        others: what else could be their ids: what to write for it -> Arrow column, perhaps of the first nodes only.
    """

    node: str
    source: str
    kind: MentionKind
    key: str
    ids: Any
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Facts:
    """Clean facts of all sources.

    Attributes:
        mapped: tables from RDF.
        interactions: relation -> tables of `user`, `item` (ids), perhaps `rating`, `timestamp`, `weight`, `part`,
            `value`, `order`. The first relation is learned unless the settings name another.
        values: relation with the item at one end -> tables of `src`, `dst`, `user` (ids), perhaps `timestamp`,
            `weight`: nodes made of a column of events, and relationships that belong to a user.
        edges: relation -> tables of `src`, `dst` (ids), perhaps `rating`, `timestamp`, `weight`, `value`.
        attributes: node type -> tables of `id` and attributes.
        store: names in the graph database that was read.
        mentions: which nodes each source names.
        feedback: names and tables of `user`, `item`, `liked` and `timestamp`; see `GraphBuilder.add_feedback`.
    """

    mapped: Mapped = field(default_factory=Mapped)
    interactions: dict[str, list[Any]] = field(default_factory=dict)
    values: dict[RelationKey, list[Any]] = field(default_factory=dict)
    edges: dict[RelationKey, list[Any]] = field(default_factory=dict)
    attributes: dict[str, list[Any]] = field(default_factory=dict)
    store: StoreNames = field(default_factory=StoreNames)
    mentions: list[Mention] = field(default_factory=list)
    feedback: list[tuple[str, Any]] = field(default_factory=list)
