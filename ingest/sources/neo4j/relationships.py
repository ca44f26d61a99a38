"""Relationships of a snapshot as edges and interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.settings import Neo4jEvents, Neo4jInteractions
from ingest.sources.neo4j.plan import ROLES, type_names
from ingest.sources.neo4j.roles import clean_roles, role_properties
from ingest.sources.neo4j.tables import PREFIX, Neo4jTables, Nodes, Relationships, SnapshotReading
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.schema import RelationKey


def map_relationships(reading: SnapshotReading, nodes: Nodes, result: Neo4jTables) -> list[Relationships]:
    """Add the relationships of every type to the result.

    Args:
        reading: what is mapped.
        nodes: that they join.
        result: gets tables and names.

    Returns:
        The relationships of nodes in between, which are not added.

    Raises:
        ConfigError: interactions and events join other nodes than users and items.
        InvalidDataError: too many cannot be used.
    """
    source, graph = reading.source, reading.graph
    roles = _TypeRoles(
        relation_of=type_names(reading.snapshot.plan.types, graph, source),
        interactions={entry.type: (place, entry) for place, entry in enumerate(source.interactions) if entry.type},
        events={entry.type: entry for entry in source.events},
    )
    of_nodes_between = []
    as_configured = set()
    for type in reading.snapshot.plan.types:
        used: set[str] = set()
        for links in _by_kinds(reading, type, nodes):
            if links.source in nodes.between or links.target in nodes.between:
                of_nodes_between.append(links)
                used.update(ROLES)
            elif _place(reading, links, nodes, roles, result, used):
                as_configured.add(type)
        _report_left_out(reading, type, used)
    for type in (*roles.interactions, *roles.events):
        if type not in as_configured:
            ends = "users and items" if type in roles.interactions else "items and others"
            raise ConfigError(
                f"sources.neo4j: no {type} relationship joins {ends}; nodes are {graph.user!r} (the user) and "
                f"{graph.item!r} (the item) by their label, graph.nodes.X.label"
            )
    return of_nodes_between


@dataclass(frozen=True, slots=True)
class _TypeRoles:
    """What the configuration says of relationship types.

    Attributes:
        relation_of: type -> name of the relation.
        interactions: type -> its place in `sources.neo4j.interactions`, and the entry.
        events: type -> its entry in `sources.neo4j.events`.
    """

    relation_of: dict[str, str]
    interactions: dict[str, tuple[int, Neo4jInteractions]]
    events: dict[str, Neo4jEvents]


def _by_kinds(reading: SnapshotReading, type: str, nodes: Nodes) -> list[Relationships]:
    """The relationships of a type by the kinds of nodes that they join."""
    table = reading.snapshot.relationships(type)
    account = reading.account(f"[:{type}]")
    account.read += table.num_rows
    if not table.num_rows or not len(nodes.internal):
        return []
    src, dst = (np.searchsorted(nodes.internal, table[end].to_numpy()) for end in ("source", "target"))
    loops = np.flatnonzero(src == dst)
    reading.context.report.add("self-loops", len(loops), "relationships of a node with itself, kept", [type])
    without_id = (nodes.kind[src] < 0) | (nodes.kind[dst] < 0)
    if without_id.any():
        reading.context.report.set_aside(
            account, "relationships of nodes without an id", int(without_id.sum()), "one of their ends was set aside"
        )
    reading.context.check(account)
    width = len(nodes.kinds)
    code = np.where(without_id, -1, nodes.kind[src] * width + nodes.kind[dst])
    columns = [name for name in table.column_names if name.startswith(PREFIX)]
    groups = []
    for value in np.unique(code[~without_id]).tolist():
        rows = np.flatnonzero(code == value)
        ends = nodes.kinds[value // width], nodes.kinds[value % width]
        part = table.select(columns).take(pa.array(rows))
        groups.append(Relationships(type, *ends, src[rows], dst[rows], part, account))
    return groups


def _place(
    reading: SnapshotReading,
    links: Relationships,
    nodes: Nodes,
    roles: _TypeRoles,
    result: Neo4jTables,
    used: set[str],
) -> bool:
    """Add relationships where they belong; whether that is what `interactions` or `events` say of their type."""
    user, item = reading.graph.user, reading.graph.item
    relation = roles.relation_of[links.type]
    ends = (links.source, links.target)
    if links.type in roles.interactions and set(ends) == {user, item}:
        place, entry = roles.interactions[links.type]
        is_turned = links.source == item
        reading.context.report.add(
            "relationships turned round",
            len(links.src) if is_turned else 0,
            "interactions go from users to items; the Cypher of a path over them finds it in the run's own store, "
            "not in Neo4j",
            [links.type],
        )
        users, items = (links.dst, links.src) if is_turned else (links.src, links.dst)
        table, properties = _cleaned(reading, links, nodes, {"user": users, "item": items}, ROLES, entry)
        result.relations[place] = relation
        result.interactions.setdefault(place, []).append(table)
        _keep_names(result, RelationKey(user, relation, item), links.type, properties)
        used.update(properties.values())
        return True
    key = RelationKey(links.source, relation, links.target)
    columns = {"src": links.src, "dst": links.dst}
    is_event = links.type in roles.events and item in ends and user not in ends
    if is_event:
        event = roles.events[links.type]
        table, properties = _cleaned(reading, links, nodes, columns, ROLES[1:], event, user=event.user)
        result.values[key] = table
    else:
        is_trace = set(ends) == {user, item}
        table, properties = _cleaned(reading, links, nodes, columns, ROLES if is_trace else ROLES[1:], None)
        if is_trace and _learned(reading, roles) not in (None, relation):
            # A user may do a thing twice, such as tag a movie with two words: each is a value of its own.
            table = table.append_column("value", pa.array(np.arange(table.num_rows)))
        result.edges[key] = table
    _keep_names(result, key, links.type, properties)
    used.update(properties.values())
    return is_event


def _learned(reading: SnapshotReading, roles: _TypeRoles) -> str | None:
    """The relation that is learned, as far as the configuration names it."""
    if reading.graph.interaction is not None or not reading.source.interactions:
        return reading.graph.interaction
    first = reading.source.interactions[0]
    return roles.relation_of[first.type] if first.type else first.relation or "rated"


def _keep_names(result: Neo4jTables, key: RelationKey, type: str, properties: Mapping[str, str]) -> None:
    result.names.types[key] = type
    if renamed := {column: name for column, name in properties.items() if column != name}:
        result.names.properties[key] = renamed


def _cleaned(
    reading: SnapshotReading,
    links: Relationships,
    nodes: Nodes,
    ends: Mapping[str, IntArray],
    roles: Sequence[str],
    entry: Neo4jInteractions | Neo4jEvents | None,
    *,
    user: str | None = None,
) -> tuple[Any, dict[str, str]]:
    """A table of ids at both ends and the properties that play a role; and which property plays which."""
    columns = {end: nodes.id.take(pa.array(positions)) for end, positions in ends.items()}
    properties = role_properties(links.table, roles, entry)
    if user is not None:
        properties = {"user": user, **properties}
    for role, stored in properties.items():
        columns[role] = links.table[PREFIX + stored]

    def place(row: int) -> str:
        source, target = (nodes.id[int(positions[row])].as_py() for positions in (links.src, links.dst))
        return f"({links.source} {source})-[:{links.type}]->({links.target} {target})"

    unit = None if entry is None else entry.unit
    return clean_roles(pa.table(columns), links.account, place, reading.context, unit=unit), properties


def _report_left_out(reading: SnapshotReading, type: str, used: set[str]) -> None:
    catalog = reading.snapshot.catalog
    properties = catalog.types[type].properties if type in catalog.types else ()
    left = sorted(set(properties) - used)
    reading.context.report.add(
        "properties of relationships left out",
        len(left),
        "edges keep rating, timestamp and weight; sources.neo4j names others",
        [f"{type}: {', '.join(left)}"],
    )
