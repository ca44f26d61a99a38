"""The Ladybug database of a saved graph, in one file, for `kg.stores.embedded.store`.

Tables are passed in memory, in parts, so that no path and no value becomes part of a query's text.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kg.cypher.query import ID, quote
from kg.errors import InvalidDataError, StoreError
from kg.graph import KnowledgeGraph, node_columns
from kg.io.files import atomic_path
from kg.io.graph_folder import load_graph
from kg.io.removal import remove_trees
from kg.processes.job import JobDiedError, run_job
from kg.progress import SILENT, Progress
from kg.schema import RelationKey
from kg.stores.embedded.dialect import macros, string
from kg.stores.embedded.names import MACRO as NAMES
from kg.stores.embedded.names import StoredNames

ROWS = 1_000_000
BUFFERS = 2 << 30
ADDRESS_SPACE = 1 << 40
ROOM = 64 << 20
JOB = "kg.stores.embedded.build:write_job"
INTEGER, NUMBER, TEXT = "INT64", "DOUBLE", "STRING"


def build_store(graph_folder: Path, file: Path, *, progress: Progress = SILENT) -> None:
    """Write the database of a saved graph; the file appears whole or not at all, and nothing is left beside it.

    That happens in a process of its own: on a full disk Ladybug ends the process that it works in.

    Args:
        graph_folder: from `kg.io.graph_folder.save_graph`.
        file: the new database.
        progress: listener.

    Raises:
        ArtifactError: the graph cannot be read.
        StoreError: the graph does not go into such a database; the message says why.
        OSError: the disk is full.
    """
    with _whole(file) as unfinished:
        arguments = {"graph_folder": str(graph_folder.absolute()), "file": str(unfinished.absolute())}
        try:
            for _ in run_job(JOB, arguments, progress=progress):
                pass
        except JobDiedError as error:
            if _is_full(unfinished.parent) or "No space left on device" in str(error):
                raise OSError(errno.ENOSPC, f"No space left on device, Ladybug ended its process: {error}") from error
            raise StoreError(f"the graph has no embedded store: Ladybug ended its process ({error})") from error


def write_store(graph: KnowledgeGraph, file: Path, *, progress: Progress = SILENT) -> None:
    """`build_store` of a graph in memory, in this process."""
    with _whole(file) as unfinished:
        _write(graph, unfinished, progress)


def write_job(graph_folder: str, file: str, progress: Progress) -> Iterator[bytes]:
    """What `build_store` runs apart."""
    _write(load_graph(Path(graph_folder)), Path(file), progress)
    yield from ()


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A place in a folder of its own for the database and what Ladybug writes beside it."""
    with atomic_path(file) as temporary:
        work = temporary.with_name(temporary.name + ".work")
        try:
            work.mkdir()
            yield work / file.name
            (work / file.name).rename(temporary)
        finally:
            remove_trees([work])


def _write(graph: KnowledgeGraph, file: Path, progress: Progress) -> None:
    import ladybug

    try:
        _check_ends(graph)
        names = StoredNames.of(graph)
        tables = [*_node_tables(graph, names), *_edge_tables(graph, names)]
    except InvalidDataError as error:
        raise StoreError(f"the graph has no embedded store: {error}") from error
    try:
        with ladybug.Database(str(file), buffer_pool_size=BUFFERS, max_db_size=ADDRESS_SPACE) as database:
            connection = ladybug.Connection(database)
            for macro in (*macros(names.types), f"{NAMES}() AS {string(names.to_json())}"):
                connection.execute(f"CREATE MACRO {macro}")
            with progress.task("building the embedded store", total=len(tables)) as task:
                for table in tables:
                    connection.execute(table.declaration)
                    for part in table.parts:
                        part.copy(graph, connection)
                    task.advance()
            connection.execute("CHECKPOINT")
            connection.close()
    except RuntimeError as error:
        if "IO exception" in str(error) and _is_full(file.parent):
            # Ladybug may report a full disk as a page that it cannot read back.
            raise OSError(errno.ENOSPC, f"No space left on device, in Ladybug's words: {error}") from error
        raise StoreError(f"the graph has no embedded store: {error}") from error


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < ROOM


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one table of the graph that go into a table of the database.

    Attributes:
        command: COPY of the parameter `$rows`.
        table: the columns, in the order of the declaration.
        ids: columns that hold positions -> the keys that go in their place.
    """

    command: str
    table: Any
    ids: Mapping[str, Any]

    def copy(self, graph: KnowledgeGraph, connection: Any) -> None:
        for start in range(0, self.table.num_rows, ROWS):
            rows = self.table.slice(start, ROWS)
            for name, keys in self.ids.items():
                rows = rows.set_column(rows.column_names.index(name), name, keys.take(rows[name]))
            connection.execute(self.command, {"rows": rows})


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the database: how it is declared, and what goes in."""

    declaration: str
    parts: list[_Part]


def _check_ends(graph: KnowledgeGraph) -> None:
    """Refuse what no query tells apart: node types of one label, relations of one type between the same nodes."""
    schema = graph.schema
    labels = Counter(schema.node_types[name].label for name in graph.nodes)
    for label, count in labels.items():
        if count > 1:
            raise InvalidDataError(f"{count} node types have the label {label!r}: give each a label of its own")
    ends = Counter((schema.relations[key].cypher_type, key.source, key.target) for key in graph.edges)
    for (kind, source, target), count in ends.items():
        if count > 1:
            raise InvalidDataError(
                f"{count} relations from {source} to {target} have the type {kind!r}: give each a cypher_type of its "
                "own"
            )


def _node_tables(graph: KnowledgeGraph, names: StoredNames) -> list[_Table]:
    tables = []
    for name, table in graph.nodes.items():
        node_type = graph.schema.node_types[name]
        columns = {node_type.key: keys(graph, name), ID: table["id"]}
        for attribute in table.column_names:
            if attribute not in (ID, "text", node_type.key):
                columns[attribute] = table[attribute]
        key, label = names.property(node_type.key), quote(names.label(node_type.label))
        kinds, values = _plain_columns({names.property(column): values for column, values in columns.items()})
        declared = [
            f"{quote(column)} {kind}{' PRIMARY KEY' if column == key else ''}" for column, kind in kinds.items()
        ]
        tables.append(
            _Table(
                f"CREATE NODE TABLE {label}({', '.join(declared)})",
                [_Part(f"COPY {label} FROM $rows", pa.table(values), {})],
            )
        )
    return tables


def keys(graph: KnowledgeGraph, name: str) -> Any:
    """What the property `key` of a node type holds for each node, Arrow array (nodes,).

    Raises:
        InvalidDataError: the type's keys are numbers, but not all of them.
    """
    ids, node_type = graph.vocabulary(name).ids, graph.schema.node_types[name]
    if node_type.key_type == "string":
        return ids
    values = [node_type.key_value(id) for id in ids.to_pylist()]
    if strays := [value for value in values if isinstance(value, str)]:
        raise InvalidDataError(
            f"{len(strays)} {name} have ids that are no numbers, such as {strays[0]!r}, where the property "
            f"{node_type.key!r} of the others is one"
        )
    return pa.array(values, type=pa.int64())


def _edge_tables(graph: KnowledgeGraph, names: StoredNames) -> list[_Table]:
    """One table a relationship type, over all pairs of labels that it joins."""
    schema = graph.schema
    groups: dict[str, list[RelationKey]] = {}
    for key in graph.edges:
        groups.setdefault(schema.relations[key].cypher_type, []).append(key)
    tables = []
    for cypher_type, members in groups.items():
        found = {key: _edge_columns(graph, key, names) for key in members}
        stored = quote(names.type(cypher_type))
        kinds: dict[str, str] = {}
        for of_key, _, _ in found.values():
            for column, kind in of_key.items():
                kinds[column] = _common(kinds.get(column, kind), kind)
        ends = {key: [names.label(schema.node_types[end].label) for end in (key.source, key.target)] for key in members}
        declared = [f"FROM {quote(source)} TO {quote(target)}" for source, target in ends.values()]
        declared += [f"{quote(column)} {kind}" for column, kind in kinds.items()]
        parts = []
        for key, (of_key, values, users) in found.items():
            source, target = ends[key]
            columns = {"_src": graph.edges[key]["src"], "_dst": graph.edges[key]["dst"]}
            for column, kind in kinds.items():
                there = values.get(column, pa.nulls(graph.edges[key].num_rows))
                columns[column] = there if of_key.get(column) == kind else _widened(there, kind)
            ids = {"_src": keys(graph, key.source), "_dst": keys(graph, key.target), **users}
            command = f"COPY {stored} FROM $rows (from={string(source)}, to={string(target)})"
            parts.append(_Part(command, pa.table(columns), ids))
        tables.append(_Table(f"CREATE REL TABLE {stored}({', '.join(declared)})", parts))
    return tables


def _edge_columns(
    graph: KnowledgeGraph, key: RelationKey, stored: StoredNames
) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """Ladybug's type and the values of each property of a relation, and which of them are positions of users."""
    table, relation = graph.edges[key], graph.schema.relations[key]
    names = {column: stored.property(relation.properties.get(column, column)) for column in table.column_names}
    ends = node_columns(graph.schema, key)
    kinds, values = _plain_columns(
        {name: table[column] for column, name in names.items() if column not in ("src", "dst", *ends)}
    )
    users = {}
    for column, node_type in ends.items():
        if column not in ("src", "dst"):
            name = names[column]
            kinds[name], values[name] = TEXT, table[column]
            users[name] = graph.vocabulary(node_type).ids
    return kinds, values, users


def _common(first: str, second: str) -> str:
    """A type that holds the values of both."""
    if first == second:
        return first
    return NUMBER if {first, second} == {INTEGER, NUMBER} else TEXT


def _widened(values: Any, kind: str) -> Any:
    if pa.types.is_null(values.type):
        return values.cast(pa.string()) if kind == TEXT else values
    return values.cast(pa.float64()) if kind == NUMBER else _as_text(values)


def _plain_columns(columns: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Ladybug's type of each column, and the values as an Arrow array that it reads as that type."""
    kinds, values = {}, {}
    for name, column in columns.items():
        quote(name)
        found = _kind(column.type)
        if found is None:
            kinds[name], values[name] = TEXT, _as_text(column)
        else:
            kinds[name], values[name] = found[0], _cast(column, found[1])
    return kinds, values


def _kind(kind: Any) -> tuple[str, Any] | None:
    """Ladybug's type for an Arrow type, and the Arrow type to pass; None where only text holds the values.

    Numbers are as wide as Neo4j's, so that a sum does not overflow in one of the two databases only.
    """
    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_null(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT, pa.string()
    if types.is_boolean(kind):
        return "BOOL", pa.bool_()
    if types.is_uint64(kind):
        return "UINT64", kind
    if types.is_integer(kind):
        return INTEGER, pa.int64()
    if types.is_floating(kind):
        return NUMBER, pa.float64()
    if types.is_date(kind):
        return "DATE", pa.date32()
    if types.is_timestamp(kind):
        return ("TIMESTAMP" if kind.tz is None else "TIMESTAMP_TZ"), pa.timestamp("us", kind.tz and "UTC")
    if types.is_duration(kind):
        return "INTERVAL", pa.duration("us")
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "BLOB", pa.binary()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _kind(kind.value_type)
        return None if inner is None else (f"{inner[0]}[]", pa.list_(inner[1]))
    return None


def _cast(column: Any, kind: Any) -> Any:
    if column.type == kind:
        return column
    try:
        return column.cast(kind, safe=False)  # finer than a microsecond is cut off
    except pa.ArrowNotImplementedError:
        return pa.array(column.to_pylist(), type=kind)


def _as_text(column: Any) -> Any:
    """Values that are of no type of Ladybug's, or of several, as text; what is nested as JSON."""
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowNotImplementedError:
        texts = [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in column.to_pylist()
        ]
        return pa.array(texts, type=pa.string())
