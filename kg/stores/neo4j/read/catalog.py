"""What a Neo4j database holds: labels, relationship types, their properties, counts and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neo4j.exceptions import Forbidden

from kg.cypher.query import quote
from kg.errors import InvalidDataError, StoreError
from kg.stores.neo4j.own_names import is_own

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

# Planning time of one query grows with its branches.
_BRANCHES = 20
# The scans for properties may take so many times the timeout of a query: they look at everything.
_SCAN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """The nodes of one label.

    Attributes:
        count: nodes that have it.
        properties: property key -> names of the types of its values, as Neo4j calls them ("String", "LongArray").
        unique: properties that a constraint makes unique, one by one; constraints over several are left out.
    """

    count: int
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unique: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFacts:
    """The relationships of one type.

    Attributes:
        count: relationships of it.
        properties: property key -> names of the types of its values.
        sources: label -> relationships that start at a node with it; a node with two labels counts under both.
        targets: label -> relationships that end at a node with it.
    """

    count: int
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The content of a database, without what graphrecall keeps there for itself.

    Attributes:
        labels: label -> facts, in alphabetical order.
        types: relationship type -> facts, in alphabetical order.
        database: identity that Neo4j gave to this database; None when it does not say.
    """

    labels: Mapping[str, LabelFacts]
    types: Mapping[str, TypeFacts]
    database: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "database": self.database,
            "labels": {
                name: {"count": facts.count, "properties": _lists(facts.properties), "unique": list(facts.unique)}
                for name, facts in self.labels.items()
            },
            "types": {
                name: {
                    "count": facts.count,
                    "properties": _lists(facts.properties),
                    "sources": dict(facts.sources),
                    "targets": dict(facts.targets),
                }
                for name, facts in self.types.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Catalog:
        """What `to_json` gave."""
        return cls(
            database=data["database"],
            labels={
                name: LabelFacts(
                    count=facts["count"], properties=_tuples(facts["properties"]), unique=tuple(facts["unique"])
                )
                for name, facts in data["labels"].items()
            },
            types={
                name: TypeFacts(
                    count=facts["count"],
                    properties=_tuples(facts["properties"]),
                    sources=facts["sources"],
                    targets=facts["targets"],
                )
                for name, facts in data["types"].items()
            },
        )


def discover(store: Neo4jStore) -> Catalog:
    """Ask a database what it holds.

    Counts come from its count store, whatever the size; the properties are found by one scan inside the server, some
    million entities a second.

    Raises:
        StoreUnavailableError, QueryTimeoutError, StoreError: see `kg.stores.base.Store.query`.
    """
    labels = [row["label"] for row in store.read("CALL db.labels() YIELD label RETURN label ORDER BY label")]
    types = [
        row["type"]
        for row in store.read("CALL db.relationshipTypes() YIELD relationshipType AS type RETURN type ORDER BY type")
    ]
    labels = [name for name in labels if not is_own(name)]
    types = [name for name in types if not is_own(name)]
    counted = count(store, labels, types)
    # Labels and types stay in Neo4j's lists after the last node or relationship is gone.
    labels = [name for name in labels if counted.labels[name]]
    types = [name for name in types if counted.types[name]]
    keys = _properties_of_labels(store, labels)
    unique = _unique(store)
    type_keys = _properties_of_types(store, types)
    sources, targets = _ends(store, labels, types)
    return Catalog(
        labels={
            name: LabelFacts(count=counted.labels[name], properties=keys[name], unique=unique.get(name, ()))
            for name in labels
        },
        types={
            name: TypeFacts(
                count=counted.types[name],
                properties=type_keys[name],
                sources=sources.get(name, {}),
                targets=targets.get(name, {}),
            )
            for name in types
        },
        database=identity(store),
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of nodes by label and of relationships by type."""

    labels: Mapping[str, int]
    types: Mapping[str, int]


def count(store: Neo4jStore, labels: Sequence[str], types: Sequence[str]) -> Counts:
    """Exact counts from the count store; a label or type that is not there counts 0."""
    label_counts = _count(store, [(label_pattern(name, f"name{at}"), name) for at, name in enumerate(labels)])
    type_counts = _count(store, [(type_pattern(name, f"name{at}"), name) for at, name in enumerate(types)])
    return Counts(
        dict(zip(labels, label_counts, strict=True)),
        dict(zip(types, type_counts, strict=True)),
    )


def label_pattern(name: str, parameter: str = "name") -> str:
    """What matches the nodes `x` of a label after MATCH; the name is to be given as a parameter, too."""
    quoted = _quoted(name)
    return f"(x:{quoted})" if quoted else f"(x) WHERE ${parameter} IN labels(x)"


def type_pattern(name: str, parameter: str = "name") -> str:
    """What matches the relationships `x` of a type after MATCH; the name is to be given as a parameter, too."""
    quoted = _quoted(name)
    return f"()-[x:{quoted}]->()" if quoted else f"()-[x]->() WHERE type(x) = ${parameter}"


def _quoted(name: str) -> str | None:
    """The name in backticks, or None where no text of a query can hold it safely: then it travels as a value."""
    try:
        return quote(name)
    except InvalidDataError:
        return None


def _count(store: Neo4jStore, patterns: Sequence[tuple[str, str]]) -> list[int]:
    """How many `x` each pattern has; the name beside it is the value of its parameter `$name` plus its place."""
    counts: dict[int, int] = {}
    for start in range(0, len(patterns), _BRANCHES):
        part = list(enumerate(patterns))[start : start + _BRANCHES]
        # An aggregate alone is answered from the count store; one beside a constant is not.
        branches = [f"MATCH {pattern} WITH count(x) AS n RETURN {at} AS at, n" for at, (pattern, _) in part]
        parameters = {f"name{at}": name for at, (_, name) in part}
        counts.update((row["at"], row["n"]) for row in store.read(" UNION ALL ".join(branches), parameters))
    return [counts[at] for at in range(len(patterns))]


def _properties_of_labels(store: Neo4jStore, labels: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    properties: dict[str, dict[str, set[str]]] = {name: {} for name in labels}
    query = "CALL db.schema.nodeTypeProperties() YIELD nodeLabels, propertyName, propertyTypes"
    for row in store.read(
        f"{query} RETURN nodeLabels AS names, propertyName AS key, propertyTypes AS types",
        timeout=_SCAN * store.timeout,
    ):
        _note_types(properties, row["names"], row["key"], row["types"])
    return _sorted(properties)


def _properties_of_types(store: Neo4jStore, types: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    properties: dict[str, dict[str, set[str]]] = {name: {} for name in types}
    by_text = {f":`{name}`": name for name in types}
    query = "CALL db.schema.relTypeProperties() YIELD relType, propertyName, propertyTypes"
    for row in store.read(
        f"{query} RETURN relType AS name, propertyName AS key, propertyTypes AS types", timeout=_SCAN * store.timeout
    ):
        _note_types(properties, [by_text.get(row["name"], "")], row["key"], row["types"])
    return _sorted(properties)


def _note_types(
    properties: dict[str, dict[str, set[str]]], names: Sequence[str], key: str | None, types: Sequence[str] | None
) -> None:
    if key is None or is_own(key):
        return
    for name in names:
        if name in properties:
            properties[name].setdefault(key, set()).update(types or ())


def _sorted(properties: dict[str, dict[str, set[str]]]) -> dict[str, dict[str, tuple[str, ...]]]:
    return {name: {key: tuple(sorted(keys[key])) for key in sorted(keys)} for name, keys in properties.items()}


def _unique(store: Neo4jStore) -> dict[str, tuple[str, ...]]:
    unique: dict[str, list[str]] = {}
    query = "SHOW CONSTRAINTS YIELD type, entityType, labelsOrTypes, properties"
    try:
        rows = store.read(query)
    except StoreError as error:
        # An account that may read the data need not be allowed to see the constraints.
        if isinstance(error.__cause__, Forbidden):
            return {}
        raise
    for row in rows:
        # "UNIQUENESS" or "NODE_PROPERTY_UNIQUENESS", by version; node keys are unique too.
        is_unique = "UNIQUENESS" in row["type"] or row["type"] == "NODE_KEY"
        if row["entityType"] == "NODE" and is_unique and len(row["properties"]) == 1:
            unique.setdefault(row["labelsOrTypes"][0], []).append(row["properties"][0])
    return {label: tuple(sorted(set(keys))) for label, keys in unique.items()}


def _ends(
    store: Neo4jStore, labels: Sequence[str], types: Sequence[str]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """Relationships by type and label of their start and of their end, from the count store."""
    sources: set[tuple[str, str]] = set()
    targets: set[tuple[str, str]] = set()
    # The server knows which pairs there are at all. Without the nodes the ends of a relationship have no labels.
    for row in store.read("CALL db.schema.visualization() YIELD nodes, relationships RETURN nodes, relationships"):
        for relationship in row["relationships"]:
            sources.update((relationship.type, label) for label in relationship.start_node.labels)
            targets.update((relationship.type, label) for label in relationship.end_node.labels)
    counted = []
    for pairs, starts in ((sources, True), (targets, False)):
        wanted = []
        for name, label in sorted(pairs):
            quoted_type, quoted_label = _quoted(name), _quoted(label)
            if name in types and label in labels and quoted_type and quoted_label:
                start, end = (f":{quoted_label}", "") if starts else ("", f":{quoted_label}")
                wanted.append((name, label, f"({start})-[x:{quoted_type}]->({end})"))
        counts = _count(store, [(text, name) for name, _, text in wanted])
        ends: dict[str, dict[str, int]] = {}
        for (name, label, _), number in zip(wanted, counts, strict=True):
            if number:
                ends.setdefault(name, {})[label] = number
        counted.append(ends)
    return counted[0], counted[1]


def identity(store: Neo4jStore) -> str | None:
    """The identity that Neo4j gives to this database, or None where this account may not see it."""
    try:
        rows = store.read("CALL db.info() YIELD id RETURN id")
    except StoreError as error:
        if isinstance(error.__cause__, Forbidden):
            return None
        raise
    return str(rows[0]["id"]) if rows else None


def _lists(properties: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {key: list(types) for key, types in properties.items()}


def _tuples(properties: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(types) for key, types in properties.items()}
