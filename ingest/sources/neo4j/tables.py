"""What the mapping of a snapshot reads and makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.context import ReadingContext
from ingest.facts import StoreNames
from ingest.report import SourceAccount
from ingest.settings import GraphSettings, Neo4jSource
from kg.arrays import IntArray
from kg.schema import RelationKey

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot

PREFIX = "p."  # of the columns of a snapshot that are properties


@dataclass(frozen=True, slots=True)
class SnapshotReading:
    """What is mapped, and how.

    Attributes:
        snapshot: what was read.
        source: what was asked for, and what it means.
        graph: roles and names.
        context: report and limits.
        name: of the database, for messages.
    """

    snapshot: Snapshot
    source: Neo4jSource
    graph: GraphSettings
    context: ReadingContext
    name: str

    def account(self, part: str) -> SourceAccount:
        """Open the account of a part of the database, "(:Movie)"."""
        return self.context.report.source(f"{part} of {self.name}", "neo4j")


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes, in the order of their internal ids.

    Attributes:
        internal: ids in the database, ascending, int64 (nodes,).
        kinds: names of node types, and labels of nodes in between.
        kind: position in `kinds`, -1 of nodes without an id, int64 (nodes,).
        row: in the table of their label, int64 (nodes,).
        id: external ids, Arrow strings (nodes,).
        between: label of nodes in between -> their table.
    """

    internal: IntArray
    kinds: list[str]
    kind: IntArray
    row: IntArray
    id: Any
    between: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Relationships:
    """The relationships of one type between two kinds of nodes.

    Attributes:
        type: in the database.
        source, target: names of node types, or labels in between.
        src, dst: positions in `Nodes`, int64 (relationships,).
        table: the properties, `p.<property>`.
        account: of the type in the report.
    """

    type: str
    source: str
    target: str
    src: IntArray
    dst: IntArray
    table: Any
    account: SourceAccount


@dataclass(slots=True)
class Neo4jTables:
    """A database as the tables that `ingest.assemble.assembly.assemble` joins.

    Attributes:
        attributes: node type -> `id` and attributes.
        interactions: place in `sources.neo4j.interactions` -> tables of `user`, `item` (ids), perhaps `rating`,
            `timestamp`, `weight`.
        values: relation -> `src`, `dst`, `user` (ids), perhaps `timestamp`, `weight`.
        edges: relation -> `src`, `dst` (ids), perhaps `rating`, `timestamp`, `weight`.
        relations: place in `sources.neo4j.interactions` -> name of the relation.
        names: how the database calls them.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    interactions: dict[int, list[Any]] = field(default_factory=dict)
    values: dict[RelationKey, Any] = field(default_factory=dict)
    edges: dict[RelationKey, Any] = field(default_factory=dict)
    relations: dict[int, str] = field(default_factory=dict)
    names: StoreNames = field(default_factory=StoreNames)


def shown_node(label: str, table: Any, row: int) -> str:
    """A node for a person: its label and its first properties."""
    values = {
        name.removeprefix(PREFIX): table[name][row].as_py() for name in table.column_names if name.startswith(PREFIX)
    }
    filled = [f"{name}: {str(value)[:40]!r}" for name, value in values.items() if value is not None]
    return f"(:{label} {{{', '.join(filled[:3])}}})"
