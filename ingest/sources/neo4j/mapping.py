"""A Neo4j database, as it was read, onto the graph's tables.

Rules, all independent of internal ids and of the order of the facts:

- A node type is a label: the one that `graph.nodes` gives the label to, else the label in snake case. A node of several
  labels lives in the table of the first: item, user, those that `graph.nodes` names, then the most common one (ties by
  name); its other labels become the attribute `types`.
- Its id is the property that `graph.nodes.<type>.key` names, else `id`, else the only property with a uniqueness
  constraint. Nodes without a value there are set aside with their relationships; nodes of one type with the same id are
  one node, with the relationships of all.
- A relation is a relationship type between two node types, named by `graph.relations`, else the type in snake case.
  Parallel relationships count once, but for what users did beside the interactions that are learned.
- Properties become attributes in snake case; names that are reserved or taken get the prefix `neo4j_`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.context import ReadingContext
from ingest.settings import GraphSettings, Neo4jSource
from ingest.sources.neo4j.between import map_nodes_between
from ingest.sources.neo4j.changes import report_changes
from ingest.sources.neo4j.nodes import map_nodes
from ingest.sources.neo4j.plan import label_names
from ingest.sources.neo4j.relationships import map_relationships
from ingest.sources.neo4j.tables import Neo4jTables, SnapshotReading
from kg.errors import ConfigError
from kg.schema import RelationKey

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot


def map_snapshot(
    snapshot: Snapshot,
    source: Neo4jSource,
    graph: GraphSettings,
    context: ReadingContext,
    *,
    name: str,
) -> Neo4jTables:
    """Turn what was read into tables by the rules above; the user's own queries are not looked at.

    Args:
        snapshot: what was read.
        source: what it was asked for.
        graph: roles and names.
        context: report and limits.
        name: of the database, for messages.

    Raises:
        ConfigError: nodes have no key, or interactions and events join other nodes than users and items.
        InvalidDataError: too much cannot be used.
    """
    reading = SnapshotReading(snapshot, source, graph, context, name)
    result = Neo4jTables()
    report_changes(reading)
    through = {entry.through for entry in source.interactions}
    type_of = label_names([label for label in snapshot.plan.labels if label not in through], graph)
    nodes = map_nodes(reading, type_of, result)
    of_nodes_between = map_relationships(reading, nodes, result)
    for place, entry in enumerate(source.interactions):
        if entry.through is not None:
            map_nodes_between(reading, place, entry, nodes, of_nodes_between, result)
        key = RelationKey(graph.user, entry.relation or "rated", graph.item)
        if entry.type is None and key in result.edges:
            raise ConfigError(
                f"sources.neo4j.interactions.{place} is called {key.name!r}, as the {result.names.types[key]} "
                "relationships are: give it another `relation`, or name those in interactions, too"
            )
    return result
