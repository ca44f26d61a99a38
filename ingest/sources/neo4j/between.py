"""Nodes in between, such as reviews, as interactions of the users and items that they are joined to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES
from ingest.settings import Neo4jInteractions
from ingest.sources.neo4j.plan import ROLES
from ingest.sources.neo4j.roles import clean_roles, role_properties
from ingest.sources.neo4j.tables import PREFIX, Neo4jTables, Nodes, Relationships, SnapshotReading, shown_node
from kg.arrays import IntArray
from kg.errors import ConfigError


def map_nodes_between(
    reading: SnapshotReading,
    place: int,
    entry: Neo4jInteractions,
    nodes: Nodes,
    relationships: list[Relationships],
    result: Neo4jTables,
) -> None:
    """Add the interactions of one entry: every user that a node is joined to did it to every item that it is joined to.

    Args:
        reading: what is mapped.
        place: of the entry in `sources.neo4j.interactions`.
        entry: with the label of the nodes, and the types that join them to users and items.
        nodes: all of them.
        relationships: those of nodes in between.
        result: gets the interactions.

    Raises:
        ConfigError: the nodes are not joined to users and items.
    """
    label, user, item = str(entry.through), reading.graph.user, reading.graph.item
    users = _joined_to(nodes, relationships, label, entry.user_type, user)
    items = _joined_to(nodes, relationships, label, entry.item_type, item)
    if not users or not items:
        type, end = (entry.item_type, "an item") if users else (entry.user_type, "a user")
        raise ConfigError(
            f"sources.neo4j.interactions.{place}: no {type} relationship joins a {label} node to {end}; nodes are "
            f"{user!r} (the user) and {item!r} (the item) by their label, graph.nodes.X.label"
        )
    table = nodes.between[label]
    user_node, user_id = (np.concatenate([part[n] for part in users]) for n in (0, 1))
    item_node, item_id = (np.concatenate([part[n] for part in items]) for n in (0, 1))
    order = np.argsort(user_node, kind="stable")
    user_node, user_id = user_node[order], user_id[order]
    first = np.searchsorted(user_node, item_node, side="left")
    count = np.searchsorted(user_node, item_node, side="right") - first
    row = np.repeat(np.arange(len(item_node)), count)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    unjoined = np.setdiff1d(np.arange(table.num_rows), np.intersect1d(user_node, item_node))
    reading.context.report.add(
        "nodes in between without a user or an item",
        len(unjoined),
        "left out",
        [shown_node(label, table, int(node)) for node in unjoined[:MAX_EXAMPLES]],
        severity="warning",
    )
    columns = {
        "user": nodes.id.take(pa.array(user_id[first[row] + offset])),
        "item": nodes.id.take(pa.array(item_id[row])),
    }
    links = pa.concat_tables([part[2] for part in items], promote_options="permissive")
    values = pa.table(
        {
            **{name: table[name].take(pa.array(item_node)) for name in table.column_names if name.startswith(PREFIX)},
            **{name: links[name] for name in links.column_names if not pa.types.is_null(links[name].type)},
        }
    )
    properties = role_properties(values, ROLES, entry)
    for role, stored in properties.items():
        columns[role] = values[PREFIX + stored].take(pa.array(row))
    account = reading.account(f"(:{label}) in between")
    account.read += len(row)

    def shown(interaction: int) -> str:
        return shown_node(label, table, int(item_node[row[interaction]]))

    result.relations[place] = entry.relation or "rated"
    result.interactions[place] = [clean_roles(pa.table(columns), account, shown, reading.context, unit=entry.unit)]
    reading.context.report.add(
        "interactions from nodes in between",
        len(row),
        "the Cypher of a path over them finds it in the run's own store, not in Neo4j",
        [f"{label} is {result.relations[place]}"],
    )


def _joined_to(
    nodes: Nodes, relationships: list[Relationships], label: str, type: str | None, node_type: str
) -> list[tuple[IntArray, IntArray, Any]]:
    """Rows of the nodes in between, positions of the others, and properties of what joins them."""
    parts = []
    for links in relationships:
        if links.type != type or {links.source, links.target} != {label, node_type}:
            continue
        middle, other = (links.src, links.dst) if links.source == label else (links.dst, links.src)
        parts.append((nodes.row[middle], other, links.table))
    return parts
