"""Tables in memory as sources: they have a fingerprint and are read into a builder like files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.builder import GraphBuilder
from ingest.settings import EdgeColumns, GraphSettings, InteractionColumns
from ingest.sources.tables import Rows, frame_table
from kg.errors import ConfigError, InvalidDataError
from kg.schema import RelationKey

DEFAULT_TARGET = "entity"
DEFAULT_RELATION = "related_to"
RATED = "rated"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTable:
    """A table in memory.

    Attributes:
        name: for messages.
        table: Arrow table.
        add: adds its rows to a builder.
        roles: what the rows are and what their columns are called, plain data: a part of the fingerprint.
    """

    name: str
    table: Any = field(repr=False)
    add: Callable[[GraphBuilder, Rows], object]
    roles: Mapping[str, Any]

    def fingerprint(self) -> str:
        """A digest of the roles and of the content; that of equal tables differs where their chunks do."""
        sink = _Digest()
        sink.write(json.dumps(self.roles, sort_keys=True, ensure_ascii=False).encode())
        with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_stream(file, self.table.schema) as writer:
            writer.write_table(self.table)
        return sink.digest.hexdigest()

    def read(self, builder: GraphBuilder) -> None:
        """Add its rows.

        Raises:
            InvalidDataError: it cannot be used, or too much of it.
        """
        with builder.progress.task(f"reading {self.name}"):
            self.add(builder, Rows(self.table, self.name, lambda row: f"{self.name}, row {row}"))


def memory_tables(
    interactions: Any,
    items: Any = None,
    edges: Any = None,
    *,
    graph: GraphSettings,
    columns: InteractionColumns,
) -> list[MemoryTable]:
    """Tables of interactions, items and edges as sources.

    Args:
        interactions: a table (`ingest.sources.tables.frames.frame_table`) of what users did to items.
        items: None, or a table with a row an item: its id in the column `id`, or named as in `interactions`; all other
            columns are attributes.
        edges: None; or a table of knowledge edges with the columns `source` and `target`, and perhaps `relation`,
            `source_type`, `target_type`, `weight` and `timestamp`; or a mapping of such tables by the name of the
            relation, or by (node type of the source, relation, node type of the target). By default the sources are
            items, the targets of type "entity", and the relation is "related_to".
        graph: names of the node types of users and items.
        columns: of `interactions`.

    Raises:
        InvalidDataError: one is no table, is empty, or lacks a column.
        ConfigError: a key of `edges` is no relation.
    """
    sources = [_interactions(interactions, graph, columns)]
    if items is not None:
        sources.append(_items(items, graph, columns))
    if edges is not None:
        sources += _edges(edges, graph)
    return sources


def _interactions(frame: Any, graph: GraphSettings, columns: InteractionColumns) -> MemoryTable:
    table = _filled(frame, "interactions")
    if missing := [name for name in (columns.user, columns.item) if name not in table.column_names]:
        raise InvalidDataError(
            f"interactions has no column {missing[0]!r}, only {', '.join(table.column_names)}: say which columns hold "
            'the ids, columns={"user": ..., "item": ...}'
        )
    relation = graph.interaction or RATED

    def add(builder: GraphBuilder, rows: Rows) -> None:
        builder.add_interactions(rows, relation=relation, columns=columns)

    return MemoryTable(
        name="interactions",
        table=table,
        add=add,
        roles={"kind": "interactions", "relation": relation, "columns": columns.model_dump()},
    )


def _items(frame: Any, graph: GraphSettings, columns: InteractionColumns) -> MemoryTable:
    table = _filled(frame, "items")
    id_column = next((name for name in ("id", columns.item) if name in table.column_names), None)
    if id_column is None:
        raise InvalidDataError(
            f"items has no column 'id' and no {columns.item!r}, only {', '.join(table.column_names)}: name the column "
            "with the ids of the items as in interactions"
        )

    def add(builder: GraphBuilder, rows: Rows) -> None:
        builder.add_attributes(rows, node=graph.item, id=id_column)

    return MemoryTable(name="items", table=table, add=add, roles={"kind": "items", "id": id_column})


def _edges(edges: Any, graph: GraphSettings) -> Iterator[MemoryTable]:
    if not _is_mapping_of_tables(edges):
        yield from _by_relation(_filled(edges, "edges"), graph)
        return
    for key, frame in edges.items():
        yield _edge_table(_filled(frame, f"edges {key}"), _relation(key, graph))


def _is_mapping_of_tables(edges: Any) -> bool:
    """Whether these are tables by relation; a mapping with a column `source` is one table."""
    return isinstance(edges, Mapping) and not {"source", "target"} <= set(edges)


def _relation(key: Any, graph: GraphSettings) -> RelationKey:
    if isinstance(key, str):
        return RelationKey(graph.item, key, DEFAULT_TARGET)
    if isinstance(key, tuple) and len(key) == 3 and all(isinstance(part, str) for part in key):
        return RelationKey(*key)
    raise ConfigError(
        f"edges holds the key {key!r}: write the name of a relation, or (node type of the source, relation, node type "
        "of the target)"
    )


def _by_relation(table: Any, graph: GraphSettings) -> Iterator[MemoryTable]:
    """One table for each relation that the rows of a table name."""
    defaults = {"source_type": graph.item, "relation": DEFAULT_RELATION, "target_type": DEFAULT_TARGET}
    named = [name for name in defaults if name in table.column_names]
    if not named:
        yield _edge_table(table, RelationKey(*defaults.values()))
        return
    for name in named:
        at = table.column_names.index(name)
        table = table.set_column(at, name, table[name].cast(pa.string()))
    keys = table.select(named).group_by(named).aggregate([]).to_pylist()
    for key in sorted(keys, key=lambda key: [str(value) for value in key.values()]):
        if empty := [name for name, value in key.items() if not value]:
            raise InvalidDataError(f"edges has rows without a {empty[0]!r}: give each edge one")
        rows = table
        for name, value in key.items():
            rows = rows.filter(pc.equal(rows[name], value))
        yield _edge_table(rows.drop_columns(named), RelationKey(*(defaults | key).values()))


def _edge_table(table: Any, key: RelationKey) -> MemoryTable:
    optional = {role: role for role in ("weight", "timestamp") if role in table.column_names}
    columns = EdgeColumns(**optional)

    def add(builder: GraphBuilder, rows: Rows) -> None:
        builder.add_edges(rows, source=key.source, relation=key.name, target=key.target, columns=columns)

    return MemoryTable(name=f"edges {key.name}", table=table, add=add, roles={"kind": "edges", "relation": list(key)})


def _filled(frame: Any, name: str) -> Any:
    table = frame_table(frame, name)
    if not table.num_rows:
        raise InvalidDataError(f"{name} is empty: it has no rows")
    return table


class _Digest:
    """A file that keeps nothing but the digest of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
