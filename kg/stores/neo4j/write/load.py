"""A graph of tables into an empty Neo4j database: constraints first, then nodes, then relationships.

A node gets the label of its type, its id as the type's key property and its attributes; an edge gets its relation's
type and its columns, the user of an event by external id. What is null is not written, and the text feature, which
attributes make up, is not either. A killed load goes on where it stopped (`kg.stores.neo4j.write.batches`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from kg.cypher.query import ID, quote
from kg.errors import InvalidDataError, StoreError
from kg.graph import KnowledgeGraph, node_columns
from kg.progress import SILENT, Progress
from kg.schema import NodeType, RelationKey
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.own_names import is_own
from kg.stores.neo4j.write.batches import Mark, Piece, ensure
from kg.stores.neo4j.write.digests import tables_digest

JOB = "load"


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """The outcome of a load.

    Attributes:
        nodes: label -> nodes in the database.
        relationships: type -> relationships in the database.
        written: nodes and relationships that this call wrote; the others were there from an earlier one.
    """

    nodes: dict[str, int]
    relationships: dict[str, int]
    written: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def load_into(
    store: Neo4jStore, graph: KnowledgeGraph, *, batch: int = 10_000, progress: Progress = SILENT
) -> LoadFacts:
    """Write a graph into a database that holds nothing under the graph's labels.

    Started again after it was killed, or after the server was, it goes on; after it was finished it changes nothing.
    Two at once share the work.

    Args:
        store: the database.
        graph: what to write.
        batch: rows a transaction.
        progress: listener.

    Raises:
        InvalidDataError: a name or a column of the graph does not go into a Neo4j database.
        StoreError: the database holds other data under these labels, or another load, or was changed since its load.
    """
    if batch < 1:
        raise InvalidDataError(f"batch = {batch} must be at least 1")
    pieces = [_node_piece(graph, name, batch) for name in graph.nodes]
    pieces += [_edge_piece(graph, key, batch) for key in graph.edges]
    _check_names(graph)
    mark = Mark(store, JOB, graph_digest(graph))
    _check_room(store, graph, mark)
    for name in graph.nodes:
        node_type = graph.schema.node_types[name]
        pattern = f"(n:{quote(node_type.label)}) REQUIRE n.{quote(node_type.key)}"
        ensure(store, f"CREATE CONSTRAINT IF NOT EXISTS FOR {pattern} IS UNIQUE")
    written = mark.write_all(pieces, int(mark.begin()["done"]), progress)
    facts = LoadFacts(
        nodes={label: _count_nodes(store, label) for label in _expected_nodes(graph)},
        relationships={kind: _count_relationships(store, kind) for kind in _expected_relationships(graph)},
        written=written,
    )
    _check_complete(store, graph, facts)
    return facts


def graph_digest(graph: KnowledgeGraph) -> str:
    """A digest of a graph's content: the same for the same schema, nodes and edges, hex."""
    tables = [*graph.nodes.items(), *((str(key), table) for key, table in graph.edges.items())]
    return tables_digest(tables, more=graph.schema.to_json())


def _node_piece(graph: KnowledgeGraph, name: str, size: int) -> Piece:
    table, node_type = graph.nodes[name], graph.schema.node_types[name]
    names = [column for column in table.column_names if column not in (ID, "text", node_type.key)]
    columns = [_storable(table[column], f"the attribute {column!r} of {name!r}") for column in names]
    properties = _properties([node_type.key, *names], 0)
    query = f"UNWIND $rows AS row\nCREATE (:{quote(node_type.label)} {properties})\nRETURN count(*) AS written"
    name = f"loading {node_type.label}"
    return Piece(name=name, query=query, columns=[table[ID], *columns], keys={0: node_type}, size=size)


def _edge_piece(graph: KnowledgeGraph, key: RelationKey, size: int) -> Piece:
    table, relation = graph.edges[key], graph.schema.relations[key]
    ends = node_columns(graph.schema, key)
    names = [column for column in table.column_names if column not in ("src", "dst")]
    columns: list[Any] = []
    keys: dict[int, NodeType] = {}
    for column in ("src", "dst", *names):
        if column in ends:
            keys[len(columns)] = graph.schema.node_types[ends[column]]
            columns.append(pa.chunked_array([graph.vocabulary(ends[column]).take(table[column].to_numpy())]))
        else:
            columns.append(_storable(table[column], f"the column {column!r} of {key}"))
    source, target = (f"{quote(end.label)} {{{quote(end.key)}: row[{at}]}}" for at, end in sorted(keys.items())[:2])
    properties = _properties([relation.properties.get(name, name) for name in names], 2)
    query = (
        f"UNWIND $rows AS row\nMATCH (a:{source})\nMATCH (b:{target})\n"
        f"CREATE (a)-[:{quote(relation.cypher_type)} {properties}]->(b)\nRETURN count(*) AS written"
    )
    return Piece(name=f"loading {relation.cypher_type}", query=query, columns=columns, keys=keys, size=size)


def _properties(names: list[str], first: int) -> str:
    return "{" + ", ".join(f"{quote(name)}: row[{first + at}]" for at, name in enumerate(names)) + "}"


def _storable(column: Any, where: str) -> Any:
    """A column whose values Neo4j can hold as properties."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _storable(column.cast(kind.value_type), where)
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    try:
        if pa.types.is_timestamp(inner) and inner == kind:
            return column.cast(pa.timestamp("us", tz=kind.tz))
        if pa.types.is_unsigned_integer(kind):
            return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InvalidDataError(f"{where} does not fit into a Neo4j property: {error}") from error
    if not any(fits(inner) for fits in FITTING):
        raise InvalidDataError(f"{where} is of the type {kind}, which no Neo4j property holds: make it text or numbers")
    return column


FITTING = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_binary,
)


def _check_names(graph: KnowledgeGraph) -> None:
    """Refuse names that would run together in the database, or with graphrecall's own."""
    schema = graph.schema
    labels = [schema.node_types[name].label for name in graph.nodes]
    arcs = [(schema.relations[key].cypher_type, key.source, key.target) for key in graph.edges]
    names = labels + [kind for kind, _, _ in arcs]
    names += [column for table in graph.nodes.values() for column in table.column_names]
    names += [column for table in graph.edges.values() for column in table.column_names]
    if own := sorted({name for name in names if is_own(name)}):
        raise InvalidDataError(f"{own[0]!r} is a name that graphrecall keeps for itself in a database: rename it")
    for label, count in Counter(labels).items():
        if count > 1:
            raise InvalidDataError(f"{count} node types have the label {label!r}: give each a label of its own")
    for (kind, source, target), count in Counter(arcs).items():
        if count > 1:
            raise InvalidDataError(
                f"{count} relations from {source} to {target} have the Neo4j type {kind!r}: give each a cypher_type "
                "of its own"
            )


def _check_room(store: Neo4jStore, graph: KnowledgeGraph, mark: Mark) -> None:
    """Make sure that nobody else's data is under the graph's labels."""
    advice = "load into an empty database, or empty this one by MATCH (n) DETACH DELETE n"
    taken = {label: count for label in _expected_nodes(graph) if (count := _count_nodes(store, label))}
    earlier = Mark.read(store, JOB)  # after counting: another loader of the same graph may begin in between
    if earlier is not None and earlier["content"] != mark.content:
        raise StoreError(f"{store.name} holds the load of another graph: {advice}")
    if earlier is None and taken:
        shown = ", ".join(f"{count} nodes {label}" for label, count in taken.items())
        raise StoreError(f"{store.name} holds other data under the graph's labels ({shown}): {advice}")


def _check_complete(store: Neo4jStore, graph: KnowledgeGraph, facts: LoadFacts) -> None:
    for expected, counted in (
        (_expected_nodes(graph), facts.nodes),
        (_expected_relationships(graph), facts.relationships),
    ):
        for name, count in expected.items():
            if counted[name] != count:
                raise StoreError(
                    f"{store.name} was changed since the graph was loaded: it holds {counted[name]} {name}, the graph "
                    f"{count}; empty it by MATCH (n) DETACH DELETE n and load again"
                )


def _expected_nodes(graph: KnowledgeGraph) -> dict[str, int]:
    return {graph.schema.node_types[name].label: int(table.num_rows) for name, table in graph.nodes.items()}


def _expected_relationships(graph: KnowledgeGraph) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for key, table in graph.edges.items():
        counts[graph.schema.relations[key].cypher_type] += int(table.num_rows)
    return dict(counts)


def _count_nodes(store: Neo4jStore, label: str) -> int:
    return int(store.read(f"MATCH (n:{quote(label)}) RETURN count(n) AS n")[0]["n"])


def _count_relationships(store: Neo4jStore, kind: str) -> int:
    return int(store.read(f"MATCH ()-[r:{quote(kind)}]->() RETURN count(r) AS n")[0]["n"])
