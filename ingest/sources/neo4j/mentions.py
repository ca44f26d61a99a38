"""Which nodes a database names, and which of their properties could be their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.facts import Mention
from ingest.settings import GraphSettings
from ingest.sources.neo4j.tables import Neo4jTables
from ingest.sources.tables.mentions import as_ids
from kg.schema import snake_case

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot


def snapshot_mentions(tables: Neo4jTables, snapshot: Snapshot, graph: GraphSettings, name: str) -> list[Mention]:
    """The nodes of each type, and the users and items of the interactions.

    Args:
        tables: what the database says.
        snapshot: what was read.
        graph: roles.
        name: of the database.
    """
    mentions = []
    for node, table in tables.attributes.items():
        label = tables.names.labels.get(node)
        facts = snapshot.catalog.labels.get(label) if label else None
        properties = {snake_case(key): key for key in facts.properties} if facts else {}
        columns = {properties[column]: table[column] for column in table.column_names if column in properties}
        source = f"(:{label}) of {name}" if label else name
        mentions.append(
            Mention(node=node, source=source, kind="neo4j", key="key", ids=table["id"], others=as_ids(columns))
        )
    for several in tables.interactions.values():
        for table in several:
            for column, node in (("user", graph.user), ("item", graph.item)):
                mentions.append(Mention(node=node, source=name, kind="interactions", key="key", ids=table[column]))
    return mentions
