"""The graph without some users, and the graph under other names of its users."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray, RaggedArray
from kg.graph import KnowledgeGraph, column, node_columns, sort_edges
from kg.schema import RelationKey

Mask = npt.NDArray[np.bool_]
IRI = "iri"


def without_users(graph: KnowledgeGraph, users: IntArray) -> tuple[KnowledgeGraph, dict[str, Mask]]:
    """The graph without some users and everything that is about them alone.

    Their nodes go, and every edge that begins or ends there or whose event is theirs. So do nodes that are neither user
    nor item and belong to them alone: those of one user (reviews, orders), and those that have no edge left (a tag that
    nobody else gave, a home page). Items stay.

    Args:
        graph: stays as it is.
        users: positions of the users to remove.

    Returns:
        The graph among the others, and which nodes stayed: node type -> bool (nodes,), for the types that lost any.
    """
    schema = graph.schema
    kept = {name: np.ones(graph.num_nodes(name), dtype=bool) for name in graph.nodes}
    kept[schema.user_type][users] = False
    others = [name for name in graph.nodes if name not in (schema.user_type, schema.item_type)]
    for name in others:
        if (owner := _owners(graph, name)) is not None:
            owned = owner >= 0
            kept[name][owned] = kept[schema.user_type][owner[owned]]
    before, after = _degrees(graph, None), _degrees(graph, kept)
    for name in others:
        kept[name] &= (before[name] == 0) | (after[name] > 0)
    lost = {name: mask for name, mask in kept.items() if not mask.all()}
    return graph.keep_nodes(lost), lost


def _owners(graph: KnowledgeGraph, name: str) -> IntArray | None:
    """The user behind each node, -1 for none, int64 (nodes,); None where one of them has several users."""
    nodes, users = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for key, table in graph.edges.items():
        event = graph.schema.relations[key].event
        if event is not None and event.user == "user" and name in (key.source, key.target):
            nodes.append(column(table, "src" if key.source == name else "dst"))
            users.append(column(table, event.user))
    users_of = RaggedArray.from_pairs(np.concatenate(nodes), np.concatenate(users), num_rows=graph.num_nodes(name))
    if users_of.counts.max(initial=0) > 1:
        return None
    owner = np.full(len(users_of), -1, dtype=np.int64)
    owner[users_of.rows()] = users_of.values
    return owner


def _degrees(graph: KnowledgeGraph, kept: dict[str, Mask] | None) -> dict[str, IntArray]:
    """Edges at each node, among the kept ones."""
    result = {name: np.zeros(graph.num_nodes(name), dtype=np.int64) for name in graph.nodes}
    for key, table in graph.edges.items():
        stays = np.ones(table.num_rows, dtype=bool)
        if kept is not None:
            for end, node_type in node_columns(graph.schema, key).items():
                stays &= kept[node_type][column(table, end)]
        for end, node_type in (("src", key.source), ("dst", key.target)):
            result[node_type] += np.bincount(column(table, end)[stays], minlength=len(result[node_type]))
    return result


def rename_users(graph: KnowledgeGraph, names: Sequence[str]) -> KnowledgeGraph:
    """The graph under other ids of its users, also where their attributes repeat the id; an IRI beside the id goes.

    Args:
        graph: stays as it is.
        names: the new ids, unique, (users,).

    Returns:
        The same graph in the canonical order of the new ids.
    """
    user_type = graph.schema.user_type
    table = graph.nodes[user_type]
    ids = table["id"].to_pylist()
    for field in [field for field in table.schema if field.name != "id"]:
        at = table.column_names.index(field.name)
        table = table.set_column(at, field.name, _renamed(table[field.name], ids, names, iri=field.name == IRI))
    table = table.set_column(table.column_names.index("id"), "id", pa.array(list(names), type=pa.string()))
    order = pc.sort_indices(table["id"]).to_numpy().astype(np.int64)
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))

    def moved(key: RelationKey, table: Any) -> Any:
        ends = [end for end, node_type in node_columns(graph.schema, key).items() if node_type == user_type]
        for end in ends:
            table = table.set_column(table.column_names.index(end), end, pa.array(position[column(table, end)]))
        return sort_edges(table) if ends else table

    edges, repeats = (
        {key: moved(key, table) for key, table in tables.items()} for tables in (graph.edges, graph.repeats)
    )
    # A name that is a hash is no number, whatever the ids were in the database they came from.
    node_types = {**graph.schema.node_types}
    node_types[user_type] = replace(node_types[user_type], key_type="string")
    schema = replace(graph.schema, node_types=node_types)
    nodes = {**graph.nodes, user_type: table.take(pa.array(order)).combine_chunks()}
    return KnowledgeGraph(schema, nodes, edges, repeats)


def _renamed(values: Any, ids: Sequence[str], names: Sequence[str], *, iri: bool) -> Any:
    """An attribute of users with the new names in place of their ids."""
    kind = values.type
    if iri:
        return pa.nulls(len(values), kind)
    if pa.types.is_string(kind):
        return pa.array(
            [_put(value, old, new) for value, old, new in zip(values.to_pylist(), ids, names, strict=True)], type=kind
        )
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pa.array(
            [
                None if value is None else [_put(text, old, new) for text in value]
                for value, old, new in zip(values.to_pylist(), ids, names, strict=True)
            ],
            type=kind,
        )
    if pa.types.is_integer(kind):
        same = pc.equal(values.cast(pa.string()), pa.array(list(ids), type=pa.string()))
        return pc.if_else(pc.fill_null(same, False), pa.scalar(None, type=kind), values)
    return values


def _put(value: str | None, old: str, new: str) -> str | None:
    """A text with an id replaced where it stands as a word."""
    if value is None or old not in value:
        return value
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, value)
