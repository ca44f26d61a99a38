"""Names in the embedded store, which does not look at case and has one namespace for labels and relationship types.

Names that differ in case only are told apart by a number: of labels and types, labels first and each in the order of
the schema, the first stays, the second gets `_2`, and so on; of properties the one in lower case stays, then the first
by name. The map lies in the database. A query may use either name; answers and `type(r)` have the names of the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kg.cypher.guard import Token, tokens
from kg.cypher.query import ID, quote
from kg.graph import KnowledgeGraph, node_columns

MACRO = "graphrecall_names"
_NOT_CODE = ("space", "line_comment", "block_comment")


@dataclass(frozen=True, slots=True)
class StoredNames:
    """Names of a schema that are others in the store.

    Attributes:
        labels, types, properties: name of the schema -> name in the store, where that is another.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> StoredNames:
        """The names of a graph by the rule."""
        schema = graph.schema
        labels = dict.fromkeys(schema.node_types[name].label for name in graph.nodes)
        types = dict.fromkeys(schema.relations[key].cypher_type for key in graph.edges)
        numbered = _numbered([("label", name) for name in labels] + [("type", name) for name in types])
        return cls(
            labels={name: stored for (kind, name), stored in numbered.items() if kind == "label"},
            types={name: stored for (kind, name), stored in numbered.items() if kind == "type"},
            properties=_properties(list(_tables(graph))),
        )

    @classmethod
    def from_json(cls, text: str) -> StoredNames:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError: it is no such map.
        """
        maps = {name: dict(json.loads(text)[name]) for name in ("labels", "types", "properties")}
        if not all(isinstance(name, str) for renamed in maps.values() for pair in renamed.items() for name in pair):
            raise TypeError("names are texts")
        return cls(**maps)

    def to_json(self) -> str:
        """The map as a text."""
        return json.dumps({name: dict(renamed) for name, renamed in asdict(self).items()})

    def __bool__(self) -> bool:
        return bool(self.labels or self.types or self.properties)

    def label(self, name: str) -> str:
        """What the store calls a label."""
        return self.labels.get(name, name)

    def type(self, name: str) -> str:
        """What the store calls a relationship type."""
        return self.types.get(name, name)

    def property(self, name: str) -> str:
        """What the store calls a property."""
        return self.properties.get(name, name)

    def described(self) -> list[str]:
        """What is called otherwise, for a report."""
        kinds = (("label", self.labels), ("type", self.types), ("property", self.properties))
        return [f"{kind} {name} is {stored}" for kind, renamed in kinds for name, stored in renamed.items()]

    def query(self, text: str) -> str:
        """A query in the names of the store; names that it has already stay.

        Args:
            text: that `kg.cypher.guard.check_read_only` has passed.
        """
        if not self:
            return text
        pieces = list(tokens(text))
        code = [at for at, token in enumerate(pieces) if token.kind not in _NOT_CODE]
        result = [token.text for token in pieces]
        brackets: list[str] = []
        for place, at in enumerate(code):
            token = pieces[at]
            before = pieces[code[place - 1]] if place else None
            after = pieces[code[place + 1]] if place + 1 < len(code) else None
            if token.kind in ("word", "quoted"):
                stored = self._stored(token, before, after, brackets)
                if stored is not None:
                    result[at] = quote(stored)
            elif token.text in ("(", "{"):
                brackets.append(token.text)
            elif token.text == "[":
                # After a dash stands a relationship, otherwise a list.
                brackets.append("relationship" if before is not None and before.text == "-" else "[")
            elif token.text in (")", "}", "]") and brackets:
                brackets.pop()
        return "".join(result)

    def _stored(self, token: Token, before: Token | None, after: Token | None, brackets: list[str]) -> str | None:
        """The store's name for a name that stands between two tokens; None where it stays."""
        sign, inside = before.text if before is not None else "", brackets[-1] if brackets else ""
        follows = after.text if after is not None else ""
        if sign == "." and follows != "(":
            return self.properties.get(token.name)
        if inside == "{" and follows == ":":
            return self.properties.get(token.name)
        if inside == "relationship" and sign in (":", "|", "&", "!"):
            return self.types.get(token.name)
        if sign in (":", "&", "!") or (sign == "|" and inside == "("):
            return self.labels.get(token.name) or self.types.get(token.name)
        return None

    def answer(self, value: Any) -> Any:
        """A value of an answer in the names of the schema."""
        return _Originals(self).value(value) if self else value

    def column(self, name: str) -> str:
        """The name of a column of an answer in the names of the schema."""
        for original, stored in self.properties.items():
            for written in (stored, quote(stored)):
                if name.endswith("." + written):
                    return name[: -len(written)] + original
        return name


class _Originals:
    """The names of the schema by those of the store."""

    def __init__(self, names: StoredNames) -> None:
        self._labels, self._types, self._properties = (
            {stored: name for name, stored in renamed.items()}
            for renamed in (names.labels, names.types, names.properties)
        )

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"labels", "properties"}:
            labels = [self._labels.get(label, label) for label in value["labels"]]
            return {"labels": labels, "properties": self._entity(value["properties"])}
        if value.keys() == {"type", "properties"}:
            kind = self._types.get(value["type"], value["type"])
            return {"type": kind, "properties": self._entity(value["properties"])}
        return {key: self.value(entry) for key, entry in value.items()}

    def _entity(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        named = {self._properties.get(name, name): self.value(entry) for name, entry in properties.items()}
        return dict(sorted(named.items()))


def _tables(graph: KnowledgeGraph) -> Iterable[list[str]]:
    """The properties of each table of the store, under the names of the schema."""
    for name, table in graph.nodes.items():
        yield [*dict.fromkeys((graph.schema.node_types[name].key, ID, *table.column_names))]
    of_type: dict[str, dict[str, None]] = {}
    for key, table in graph.edges.items():
        relation = graph.schema.relations[key]
        ends = node_columns(graph.schema, key)
        columns = [column for column in table.column_names if column not in ("src", "dst")]
        names = [relation.properties.get(column, column) for column in (*columns, *(c for c in ends if c in columns))]
        of_type.setdefault(relation.cypher_type, {}).update(dict.fromkeys(names))
    yield from (list(names) for names in of_type.values())


def _properties(tables: list[list[str]]) -> dict[str, str]:
    """Properties that differ in case only somewhere in one table; they get the same other name in every table."""
    groups: dict[str, set[str]] = {}
    for names in tables:
        for name in names:
            alike = {other for other in names if other.lower() == name.lower()}
            if len(alike) > 1:
                groups.setdefault(name.lower(), set()).update(alike)
    everything = {name.lower() for names in tables for name in names}
    result: dict[str, str] = {}
    for alike in groups.values():
        first, *others = sorted(alike, key=lambda name: (name != ID, name != name.lower(), name))
        for name in others:
            result[name] = _free(first, everything)
    return result


def _numbered(names: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Names of a kind each that were there before in another case, and what they are called instead."""
    taken = {name.lower() for _, name in names}
    seen: set[str] = set()
    result = {}
    for kind, name in names:
        if name.lower() in seen:
            result[kind, name] = _free(name, taken)
        seen.add(name.lower())
    return result


def _free(name: str, taken: set[str]) -> str:
    """The name with the lowest number that is free in any case; it is taken from then on."""
    number = 2
    while f"{name}_{number}".lower() in taken:
        number += 1
    taken.add(f"{name}_{number}".lower())
    return f"{name}_{number}"
