"""What a source gives to the assembly: tables of nodes and edges, and the names they have in a database."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from kg.arrays import IntArray
from kg.schema import NodeType, RelationKey


@dataclass(slots=True)
class NodeTable:
    """Nodes of one type found in RDF.

    Attributes:
        type: name, class and title attribute, as inferred.
        table: `id`, `iri` where the id is another, and attributes.
    """

    type: NodeType
    table: Any


@dataclass(slots=True)
class EdgeTable:
    """Edges of one relation found in RDF.

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
        """Take over the names of another database."""
        for field_ in fields(self):
            getattr(self, field_.name).update(getattr(other, field_.name))
