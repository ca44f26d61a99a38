"""What was read from a Neo4j database, added to the facts of a builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.context import ReadingContext
from ingest.settings import EdgeColumns, InteractionColumns, Neo4jSource
from ingest.sources.neo4j.mapping import map_snapshot
from ingest.sources.tables import Rows
from kg.errors import InvalidDataError

if TYPE_CHECKING:  # the driver is imported where a database is read
    from ingest.builder import GraphBuilder
    from kg.stores.neo4j.read.snapshot import Snapshot


def add_snapshot(
    builder: GraphBuilder, snapshot: Snapshot, source: Neo4jSource, context: ReadingContext, *, name: str
) -> None:
    """Map a snapshot onto tables, and add these and what the user's own queries returned.

    Args:
        builder: gets the facts.
        snapshot: what was read.
        source: what was asked for, and what it means.
        context: report and limits.
        name: of the database, for messages.

    Raises:
        ConfigError: nodes have no key, or interactions and events join other nodes than users and items.
        InvalidDataError: too much cannot be used, or a query returned nothing.
    """
    with builder.progress.task("mapping the database onto the graph"):
        tables = map_snapshot(snapshot, source, builder.settings, context, name=name)
        facts = builder.facts
        for node_type, table in tables.attributes.items():
            facts.attributes.setdefault(node_type, []).append(table)
        for place, entry in enumerate(source.interactions):
            if entry.query is not None:
                builder.add_interactions(
                    _query_rows(snapshot, f"interactions.{place}", name),
                    relation=entry.relation or "rated",
                    columns=InteractionColumns(
                        user="user", item="item", rating=entry.rating, timestamp=entry.timestamp, weight=entry.weight
                    ),
                )
            else:
                facts.interactions.setdefault(tables.relations[place], []).extend(tables.interactions[place])
        for key, table in tables.values.items():
            facts.values.setdefault(key, []).append(table)
        for key, table in tables.edges.items():
            facts.edges.setdefault(key, []).append(table)
        facts.store.update(tables.names)
        relations = [entry.relation or "rated" for entry in source.interactions if entry.query is not None]
        relations += [entry.relation for entry in source.edges]
        context.report.add(
            "relations by queries",
            len(relations),
            "the Cypher of a path over them finds it in the run's own store, in Neo4j only if it is stored so",
            relations,
        )
        for place, nodes in enumerate(source.nodes):
            builder.add_attributes(_query_rows(snapshot, f"nodes.{place}", name), node=nodes.node)
        for place, edges in enumerate(source.edges):
            rows = _query_rows(snapshot, f"edges.{place}", name)
            optional = {role: role for role in ("weight", "timestamp") if role in rows.table.column_names}
            builder.add_edges(
                rows,
                source=edges.source,
                relation=edges.relation,
                target=edges.target,
                columns=EdgeColumns(**optional),
            )


def _query_rows(snapshot: Snapshot, place: str, name: str) -> Rows:
    """What a query of the user's own returned.

    Args:
        snapshot: what was read.
        place: of the query in `sources.neo4j`, "edges.0".
        name: of the database.

    Raises:
        InvalidDataError: it returned no rows.
    """
    table = snapshot.query(place)
    query = f"sources.neo4j.{place} of {name}"
    if not table.num_rows:
        raise InvalidDataError(f"{query} returned no rows: correct the query, or leave it out")
    return Rows(table, query, lambda row: f"{query}, row {row}")
