"""Pieces of Cypher in the names of a schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kg.cypher.query import quote
from kg.cypher.walk.rules import Way
from kg.schema import RelationKey, Schema

# Neo4j's log() is natural, Ladybug's is to the base of 10: only a ratio of two logarithms is the same in both.
NATURAL = "log($e)"


class Words:
    """Nodes, edges and conditions in the names of a schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.user, self.item = schema.user_type, schema.item_type

    def node(self, name: str, node_type: str, key: str | None = None) -> str:
        """A node of a type, `(j:Movie)`, or the one with a key, `(j:Movie {id: start.id})`."""
        kind = self.schema.node_types[node_type]
        inner = "" if key is None else f" {{{quote(kind.key)}: {key}}}"
        return f"({name}:{quote(kind.label)}{inner})"

    def key(self, name: str, node_type: str) -> str:
        """The property of a node that its type is told apart by."""
        return f"{name}.{quote(self.schema.node_types[node_type].key)}"

    def id(self, name: str, node_type: str) -> str:
        """The external id, always text."""
        text = self.key(name, node_type)
        return text if self.schema.node_types[node_type].key_type == "string" else f"toString({text})"

    def value(self, node_type: str, id: str) -> Any:
        """What the property `key` holds for an external id."""
        return self.schema.node_types[node_type].key_value(id)

    def edge(self, name: str, key: RelationKey, forward: bool) -> str:
        """An edge between two nodes of a pattern."""
        text = f"-[{name}:{quote(self.schema.relations[key].cypher_type)}]-"
        return f"{text}>" if forward else f"<{text}"

    def liked(self, name: str, *, backwards: bool = False) -> str:
        """An interaction from a user to an item, or read from the item on."""
        return self.edge(name, self.schema.interaction_key, not backwards)

    def positive(self, *names: str) -> str:
        """WHERE these interactions count as liked; nothing where all do."""
        column = self.schema.positive.column
        if column is None:
            return ""
        text = quote(self.schema.relations[self.schema.interaction_key].properties.get(column, column))
        return "WHERE " + " AND ".join(f"{name}.{text} >= $minimum" for name in names)

    def fans(self, item: str) -> str:
        """The users who like an item, as `fan`."""
        return (
            f"{item}{self.liked('like', backwards=True)}{self.node('fan', self.user)} {self.positive('like')}".strip()
        )

    def way(self, start: str, way: Way, names: Sequence[str]) -> str:
        """From a node of the pattern along a way; names of the nodes on it."""
        text = start
        for number, ((key, forward), name) in enumerate(zip(way, names, strict=True)):
            text += self.edge(f"{name}_{number}", key, forward) + self.node(name, key.target if forward else key.source)
        return text

    def ends(self, way: Way) -> tuple[str, ...]:
        """The types of the nodes on a way, without its start."""
        return tuple(key.target if forward else key.source for key, forward in way)

    def parameters(self) -> dict[str, Any]:
        """The values that the pieces need."""
        values: dict[str, Any] = {"e": 2.718281828459045}
        if self.schema.positive.column is not None:
            values["minimum"] = self.schema.positive.minimum
        return values
