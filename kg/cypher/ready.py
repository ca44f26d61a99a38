"""Ready Cypher for common questions, made for the names of a schema; the same on Neo4j and on the embedded store.

The queries lie in `kg/cypher/queries/*.cypher`. Their first line, a comment, is the help; blank lines part the pieces,
which are joined by UNION ALL. A piece that goes over a hop is there once for each relation between items and something
else that is not the users. Between `<` and `>` stands what the schema fills in:

    <user> <item> <other>               label; `other` is what the hop leads to
    <user.key> <item.key> <other.key>   the property that holds the id
    <user.id x> <item.id x>             the id of the node x as text
    <liked>                             type of the interactions
    <positive r>                        whether the interaction r counts as liked
    <hop r> <back s>                    relationship from an item to the other node, and from there to an item
    <direct r>                          relationship from one item to another, in either direction
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from kg.cypher.query import CypherQuery, quote
from kg.errors import ConfigError, InvalidDataError
from kg.schema import NodeType, RelationKey, Schema

ROWS = 20
_PLACEHOLDER = re.compile(r"<(?P<what>[a-z]+)(?:\.(?P<part>[a-z]+))?(?: (?P<name>\w+))?>")


@dataclass(frozen=True, slots=True)
class ReadyQuery:
    """A query without its values.

    Attributes:
        name: "why_this_item".
        help: one line.
        text: Cypher for one schema.
        parameters: names of the values that have to be given; they are external ids.
        defaults: other values, which may be given: `k`, how many rows a relation gives at most.
        fixed: values that the schema gives.
    """

    name: str
    help: str
    text: str
    parameters: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    _keys: Mapping[str, NodeType] = field(default_factory=dict, repr=False)

    def query(self, **values: Any) -> CypherQuery:
        """The query with its values, for `Store.query` or `Recommender.cypher`.

        Raises:
            ConfigError: a value is missing, or the query has no such parameter.
        """
        if missing := [name for name in self.parameters if name not in values]:
            raise ConfigError(f"{self.name} needs {', '.join(missing)}: {self.help}")
        names = (*self.parameters, *self.defaults)
        if unknown := [name for name in values if name not in names]:
            raise ConfigError(f"{self.name} has no parameter {unknown[0]!r}; it takes {', '.join(names)}")
        for name in self.defaults:
            if type(values.get(name, 0)) is not int:
                raise ConfigError(f"{self.name} needs a whole number for {name}; on the command line --param {name}:=5")
        parameters = {
            name: self._keys[name].key_value(value) if name in self._keys and isinstance(value, str) else value
            for name, value in values.items()
        }
        return CypherQuery(self.text, {**self.defaults, **parameters, **self.fixed})


def ready_queries(schema: Schema) -> dict[str, ReadyQuery]:
    """The queries that make sense for a schema, by name, for both stores.

    Raises:
        InvalidDataError: a name of the schema cannot be quoted.
    """
    return _read("", schema)


def neo4j_queries(schema: Schema) -> dict[str, ReadyQuery]:
    """The queries over what a run wrote back into Neo4j (`kg.stores.neo4j.write.write_back`), by name."""
    return _read("neo4j", schema)


def _read(folder: str, schema: Schema) -> dict[str, ReadyQuery]:
    queries = {}
    place = files("kg.cypher").joinpath("queries")
    place = place.joinpath(folder) if folder else place
    for file in sorted(place.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".cypher"):
            made = _made(file.name.removesuffix(".cypher"), file.read_text(encoding="utf-8"), schema)
            if made is not None:
                queries[made.name] = made
    return queries


def _made(name: str, source: str, schema: Schema) -> ReadyQuery | None:
    """The query of one file for a schema; None where the schema has nothing to ask for."""
    first, _, body = source.partition("\n")
    pieces = [made for piece in re.split(r"\n[ \t]*\n", body.strip()) for made in _pieces(piece, schema)]
    if not pieces:
        return None
    text = "\nUNION ALL\n".join(pieces)
    used = dict.fromkeys(re.findall(r"\$(\w+)", text))
    fixed = {"minimum": schema.positive.minimum} if "minimum" in used else {}
    defaults = {"k": ROWS} if "k" in used else {}
    parameters = tuple(
        sorted(set(used) - set(fixed) - set(defaults), key=lambda name: (not name.startswith("user"), name))
    )
    ends = {"user_id": schema.node_types[schema.user_type], "item_id": schema.node_types[schema.item_type]}
    keys = {name: node_type for name in parameters for end, node_type in ends.items() if name.endswith(end)}
    return ReadyQuery(name, first.removeprefix("//").strip(), text, parameters, defaults, fixed, keys)


def _pieces(piece: str, schema: Schema) -> list[str]:
    """A piece filled in: once, or once for each hop."""
    wanted = {match["what"] for match in _PLACEHOLDER.finditer(piece)}
    if "liked" in wanted and schema.interaction is None:
        return []
    if "direct" in wanted:
        return [_filled(piece, schema, hop) for hop in _hops(schema) if hop.other == schema.item_type]
    if wanted & {"hop", "back", "other"}:
        return [_filled(piece, schema, hop) for hop in _hops(schema)]
    return [_filled(piece, schema, None)]


@dataclass(frozen=True, slots=True)
class _Hop:
    """One relation, walked from an item."""

    relation: str
    forward: bool
    other: str

    def arrow(self, name: str, *, back: bool) -> str:
        step = f"-[{name}:{quote(self.relation)}]-"
        return f"{step}>" if self.forward != back else f"<{step}"


def _hops(schema: Schema) -> list[_Hop]:
    """The relations that lead from items to something that is not a user."""
    hops = []
    for key, relation in schema.relations.items():
        ends = RelationKey(*key)
        for forward, item, other in ((True, ends.source, ends.target), (False, ends.target, ends.source)):
            if item == schema.item_type and other != schema.user_type:
                hops.append(_Hop(relation.cypher_type, forward, other))
    return hops


def _filled(piece: str, schema: Schema, hop: _Hop | None) -> str:
    types = {"user": schema.user_type, "item": schema.item_type}
    if hop is not None:
        types["other"] = hop.other

    def fill(match: re.Match[str]) -> str:
        what, part, name = match["what"], match["part"], match["name"] or ""
        if what in types:
            return _node(schema.node_types[types[what]], part, name)
        fillers: dict[str, Callable[[], str]] = {
            "liked": lambda: quote(schema.relations[schema.interaction_key].cypher_type),
            "positive": lambda: _positive(schema, name),
        }
        if hop is not None:
            fillers |= {
                "hop": lambda: hop.arrow(name, back=False),
                "direct": lambda: hop.arrow(name, back=False),
                "back": lambda: hop.arrow(name, back=True),
            }
        if what not in fillers or part:
            raise InvalidDataError(f"a ready query has the placeholder {match.group()}, which does not exist")
        return fillers[what]()

    return _PLACEHOLDER.sub(fill, piece)


def _node(node_type: NodeType, part: str | None, name: str) -> str:
    match part:
        case None:
            return quote(node_type.label)
        case "key":
            return quote(node_type.key)
        case "id":
            text = f"{name}.{quote(node_type.key)}"
            return text if node_type.key_type == "string" else f"toString({text})"
    raise InvalidDataError(f"a ready query asks for {part!r} of a node type")


def _positive(schema: Schema, name: str) -> str:
    column = schema.positive.column
    if column is None:
        return "true"
    return f"{name}.{quote(schema.relations[schema.interaction_key].properties.get(column, column))} >= $minimum"
