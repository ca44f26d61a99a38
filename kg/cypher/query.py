"""Cypher that finds the paths of this package again, in Neo4j or in the embedded store.

Values travel as parameters; only labels, relationship types and property names are part of a query's text, and they
are quoted. Nodes are found by the property that the schema names (`key` of their type). Results are lists of ids, so
that no internal id is compared.

The two stores read one pattern differently: Neo4j never binds one relationship twice in a pattern, Ladybug does. The
queries state what they mean: different relationships, different nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from kg.errors import InvalidDataError
from kg.graph import KnowledgeGraph
from kg.schema import RelationKey, Schema
from kg.topology.adjacency import Numbering
from kg.topology.paths import Path

ID = "id"


@dataclass(frozen=True, slots=True)
class CypherQuery:
    """A query and the values of its parameters.

    Attributes:
        text: Cypher with `$name` in place of every value.
        parameters: what a driver takes beside the text.
    """

    text: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def quote(name: str) -> str:
    r"""A label, relationship type or property name between backticks, backticks inside doubled.

    Neo4j reads `\uXXXX` as a character before it looks for quotes, so `\u0060` would end them, and nothing escapes
    it: a name with `\u` is refused. So are control characters, which no store shows and some cut a name at, and the
    empty name.

    Raises:
        InvalidDataError: the name cannot be quoted safely.
    """
    if not name:
        raise InvalidDataError("an empty name cannot be a Cypher label, type or property: give it one in the schema")
    if re.search(r"\\u", name, flags=re.IGNORECASE):
        raise InvalidDataError(
            rf"the name {name!r} holds \u, which Neo4j reads as a character: rename it in the schema"
        )
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", name):
        raise InvalidDataError(f"the name {name!r} holds a control character: rename it in the schema")
    return "`" + name.replace("`", "``") + "`"


def path_query(graph: KnowledgeGraph, path: Path) -> CypherQuery:
    """A query that returns one row, the ids along the path as `ids`, if a store holds exactly this path.

    Args:
        graph: where the path was found; gives ids, labels and types.
        path: at least one step.
    """
    numbering = Numbering.of(graph)
    located = [numbering.locate(node) for node in path.nodes]
    parameters: dict[str, Any] = {
        f"id{number}": graph.schema.node_types[node_type].key_value(graph.vocabulary(node_type).ids[position].as_py())
        for number, (node_type, position) in enumerate(located)
    }
    pattern, conditions = _pattern(graph.schema, path.shape, {n: f"id{n}" for n in range(len(located))})
    text = f"MATCH {pattern}\n{_where(conditions)}RETURN DISTINCT {_ids(graph.schema, path.shape)} AS ids"
    return CypherQuery(text, parameters | _rule_parameters(graph.schema, [path.shape]))


def pair_query(
    graph: KnowledgeGraph, user_id: str, item_id: str, shapes: Iterable[Sequence[tuple[RelationKey, bool]]]
) -> CypherQuery:
    """A query for all paths of some shapes between two ids.

    Each row is `shape`, the position in `shapes`, and `ids`, the ids along the path: together they name one path.

    Args:
        graph: gives labels and types; its edges are not looked at.
        user_id: external id of the first end.
        item_id: external id of the last end.
        shapes: for each wanted kind of path the relation and direction of every step; duplicates count once.

    Raises:
        InvalidDataError: there are no shapes, or the steps of one do not fit together.
    """
    wanted = list(dict.fromkeys(tuple((RelationKey(*key), forward) for key, forward in shape) for shape in shapes))
    if not wanted:
        raise InvalidDataError("a pair query needs at least one shape of paths")
    parts = []
    for number, shape in enumerate(wanted):
        pattern, conditions = _pattern(graph.schema, shape, {0: "user_id", len(shape): "item_id"})
        columns = f"{number} AS shape, {_ids(graph.schema, shape)} AS ids"
        parts.append(f"MATCH {pattern}\n{_where(conditions)}RETURN DISTINCT {columns}")
    parameters = _pair(graph.schema, user_id, item_id) | _rule_parameters(graph.schema, wanted)
    return CypherQuery("\nUNION ALL\n".join(parts), parameters)


def shared_users_query(
    graph: KnowledgeGraph, user_id: str, item_id: str, *, history_id: str | None = None
) -> CypherQuery:
    """A query that counts the other users who liked both a history item of a user and another item.

    It holds and returns no id of another user. Each row is `history_id` and `users`, most users first.

    Args:
        graph: gives labels, types and the positive rule of the interactions.
        user_id: external id of the first end.
        item_id: external id of the last end.
        history_id: external id of one history item, or None for every one that has such users.

    Raises:
        InvalidDataError: the graph has no interactions.
    """
    key = graph.schema.interaction_key
    parameters = _pair(graph.schema, user_id, item_id)
    known = {0: "user_id", 3: "item_id"}
    if history_id is not None:
        known[1] = "history_id"
        parameters["history_id"] = graph.schema.node_types[graph.schema.item_type].key_value(history_id)
    shape = ((key, True), (key, False), (key, True))
    pattern, conditions = _pattern(graph.schema, shape, known)
    text = (
        f"MATCH {pattern}\n{_where(conditions)}RETURN {_id(graph.schema, key.target, 1)} AS history_id, "
        f"count(DISTINCT {_id(graph.schema, key.source, 2)}) AS users\nORDER BY users DESC, history_id"
    )
    return CypherQuery(text, parameters | _rule_parameters(graph.schema, [shape]))


def _pattern(
    schema: Schema, shape: Sequence[tuple[RelationKey, bool]], known: Mapping[int, str]
) -> tuple[str, list[str]]:
    """The pattern of a shape, with parameters for the known nodes, and the conditions that go with it."""
    types = _node_types(schema, shape)

    def node(number: int) -> str:
        node_type = schema.node_types[types[number]]
        inner = f" {{{quote(node_type.key)}: ${known[number]}}}" if number in known else ""
        return f"(n{number}:{quote(node_type.label)}{inner})"

    pattern, column = node(0), schema.positive.column
    for number, (key, forward) in enumerate(shape):
        relationship = f"-[r{number}:{quote(schema.relations[key].cypher_type)}]-"
        pattern += (relationship + ">" if forward else "<" + relationship) + node(number + 1)
    conditions = [
        f"r{number}.{quote(schema.relations[key].properties.get(column, column))} >= $minimum"
        for number, (key, _) in enumerate(shape)
        if key == schema.interaction and column is not None
    ]
    # Relationships of different types, or nodes of different types, differ anyway, and Ladybug does not compare them.
    conditions += [f"r{a} <> r{b}" for a, b in combinations(range(len(shape)), 2) if shape[a][0] == shape[b][0]]
    conditions += [
        f"n{a}.{quote(schema.node_types[types[a]].key)} <> n{b}.{quote(schema.node_types[types[b]].key)}"
        for a, b in combinations(range(len(types)), 2)
        if types[a] == types[b]
    ]
    return pattern, conditions


def _node_types(schema: Schema, shape: Sequence[tuple[RelationKey, bool]]) -> list[str]:
    if not shape:
        raise InvalidDataError("a shape of paths needs at least one step")
    types: list[str] = []
    for key, forward in shape:
        if key not in schema.relations:
            raise InvalidDataError(f"the schema has no relation {key}")
        start, end = (key.source, key.target) if forward else (key.target, key.source)
        if types and types[-1] != start:
            raise InvalidDataError(f"a shape goes from {types[-1]!r} on with {key}, which starts at {start!r}")
        types = [*types, end] if types else [start, end]
    return types


def _rule_parameters(schema: Schema, shapes: Iterable[Sequence[tuple[RelationKey, bool]]]) -> dict[str, Any]:
    if schema.positive.column is None or not any(key == schema.interaction for shape in shapes for key, _ in shape):
        return {}
    return {"minimum": schema.positive.minimum}


def _ids(schema: Schema, shape: Sequence[tuple[RelationKey, bool]]) -> str:
    types = _node_types(schema, shape)
    return "[" + ", ".join(_id(schema, node_type, number) for number, node_type in enumerate(types)) + "]"


def _id(schema: Schema, node_type: str, number: int) -> str:
    """The external id, always text, of a node of the pattern."""
    text = f"n{number}.{quote(schema.node_types[node_type].key)}"
    return text if schema.node_types[node_type].key_type == "string" else f"toString({text})"


def _pair(schema: Schema, user_id: str, item_id: str) -> dict[str, Any]:
    return {
        "user_id": schema.node_types[schema.user_type].key_value(user_id),
        "item_id": schema.node_types[schema.item_type].key_value(item_id),
    }


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}\n" if conditions else ""
