"""The sections `graph`, `sources`, `quality` and `neo4j` of a configuration file, validated before any work."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kg.schema import PositiveRule, template_names
from kg.settings import Settings
from kg.stores.neo4j.connection import Neo4jConnection

RdfFormat = Literal["ntriples", "turtle", "rdfxml", "nquads", "trig"]
_NAME = r"^[a-z][a-z0-9_]*$"


class NodeSettings(Settings):
    """Overrides of what is inferred about one node type.

    Attributes:
        rdf_class: IRI of the class whose instances it holds.
        key: "id" (the IRI is the id, in Neo4j the property `id`), the IRI of a property whose value is the id, an IRI
            template with `{id}`, or the name of a property in Neo4j, "movieId".
        text: template of the text feature; names are attributes, or knowledge relations (their targets' titles).
        title: the attribute that names a node to a person.
        noun: English for one of them.
        label: Neo4j label; nodes read from `sources.neo4j` with this label get this type's name.
    """

    rdf_class: str | None = None
    key: str = "id"
    text: str | None = None
    title: str | None = None
    noun: str | None = None
    label: str | None = None

    @field_validator("text")
    @classmethod
    def _text_is_a_template(cls, value: str | None) -> str | None:
        template_names(value or "")
        return value


class RelationSettings(Settings):
    """Overrides of what is inferred about the relations of one name.

    Attributes:
        phrase: English from source to target, "stars".
        cypher_type: Neo4j relationship type; one read from `sources.neo4j` gets this relation's name.
    """

    phrase: str | None = None
    cypher_type: str | None = None


class GraphSettings(Settings):
    """Roles and overrides.

    Attributes:
        user, item: node types that are recommended to, and recommended.
        positive: "all", or "rating >= 4".
        interaction: the relation that is learned; default: that of the first `sources.interactions`, else the only
            relation from users to items.
        nodes, relations: overrides by name.
        drop: IRIs of predicates left out.
    """

    user: str = Field(default="user", pattern=_NAME)
    item: str = Field(default="item", pattern=_NAME)
    positive: str = "all"
    interaction: str | None = Field(default=None, pattern=_NAME)
    nodes: dict[str, NodeSettings] = Field(default_factory=dict)
    relations: dict[str, RelationSettings] = Field(default_factory=dict)
    drop: list[str] = Field(default_factory=list)

    @field_validator("positive")
    @classmethod
    def _positive_is_a_rule(cls, value: str) -> str:
        PositiveRule.parse(value)
        return value

    @field_validator("nodes", "relations")
    @classmethod
    def _names_are_snake_case(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not re.match(_NAME, name):
                raise ValueError(f"{name!r} is no name of a node type or relation: write lower_snake_case")
        return value

    @model_validator(mode="after")
    def _user_is_not_item(self) -> GraphSettings:
        if self.user == self.item:
            raise ValueError(f"user and item are both {self.user!r}: they are two node types")
        return self


class RdfSource(Settings):
    """RDF files, plain or .gz.

    Attributes:
        files: paths or patterns (`*.nt.gz`).
        format: default: told from the file name.
        languages: order of preference for texts, "" is a text without a language; one language is kept per text.
    """

    files: list[str] = Field(min_length=1)
    format: RdfFormat | None = None
    languages: list[str] = Field(default_factory=lambda: ["en", ""])


class InteractionColumns(Settings):
    """Names of the columns; `rating`, `timestamp` and `weight` are optional in the file unless named here."""

    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = None
    timestamp: str | None = None
    weight: str | None = None


class InteractionsSource(Settings):
    """What users did to items.

    Attributes:
        relation: name of the relation.
        files: or `train`, `valid`, `test` for a published split.
        format: "table" (CSV, TSV, Parquet) or "lists" (a line a user: user id, then item ids).
        columns: names of the columns.
        separator: of a CSV file; default: comma, or tab in a .tsv.
        header: names of the columns of a CSV file that has no header line.
    """

    relation: str = Field(default="rated", pattern=_NAME)
    files: list[str] = Field(default_factory=list)
    train: list[str] = Field(default_factory=list)
    valid: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)
    format: Literal["table", "lists"] = "table"
    columns: InteractionColumns = Field(default_factory=InteractionColumns)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    header: list[str] | None = None

    @model_validator(mode="after")
    def _files_or_parts(self) -> InteractionsSource:
        if bool(self.files) == bool(self.train or self.valid or self.test):
            raise ValueError("give either files, or train with test (and perhaps valid)")
        if not self.files and not (self.train and self.test):
            raise ValueError("a split given by files needs both train and test")
        return self


class EventColumns(InteractionColumns):
    """Columns of further events; `value` names a column whose values become nodes, such as tags."""

    value: str | None = None


class EventsSource(Settings):
    """Further traces of users on items, which follow the split of the interactions.

    Attributes:
        relation: from users to items.
        files, columns, separator, header: as for interactions.
        value_type: node type made of the values.
        value_relation: from items to values.
    """

    relation: str = Field(pattern=_NAME)
    files: list[str] = Field(min_length=1)
    columns: EventColumns = Field(default_factory=EventColumns)
    value_type: str | None = Field(default=None, pattern=_NAME)
    value_relation: str | None = Field(default=None, pattern=_NAME)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    header: list[str] | None = None

    @model_validator(mode="after")
    def _value_is_whole(self) -> EventsSource:
        given = [self.columns.value, self.value_type, self.value_relation]
        if any(given) and not all(given):
            raise ValueError("columns.value, value_type and value_relation belong together: give all three or none")
        return self


class AttributesSource(Settings):
    """A table of node attributes.

    Attributes:
        node: node type.
        id: the column with the node's id.
        columns: attribute -> column; default: all other columns under their own names.
        lists: attribute -> separator of its values, "|".
    """

    node: str = Field(pattern=_NAME)
    files: list[str] = Field(min_length=1)
    id: str = "id"
    columns: dict[str, str] | None = None
    lists: dict[str, str] = Field(default_factory=dict)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    header: list[str] | None = None


class EdgeColumns(Settings):
    """Names of the columns of an edge table."""

    source: str = "source"
    target: str = "target"
    weight: str | None = None
    timestamp: str | None = None


class EdgesSource(Settings):
    """A table of knowledge edges.

    Attributes:
        source, relation, target: node type, name, node type.
        split: separator of several targets in one cell, "|".
    """

    source: str = Field(pattern=_NAME)
    relation: str = Field(pattern=_NAME)
    target: str = Field(pattern=_NAME)
    files: list[str] = Field(min_length=1)
    columns: EdgeColumns = Field(default_factory=EdgeColumns)
    split: str | None = Field(default=None, min_length=1)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    header: list[str] | None = None


class Neo4jInteractions(Settings):
    """What users did to items in a Neo4j database.

    Attributes:
        type: relationship type between users and items, "RATED"; or
        through: label of nodes in between, "Review", with `user_type` and `item_type`, the relationship types that join
            them to the user and to the items; or
        query: Cypher that returns the columns `user` and `item` (ids), perhaps `rating`, `timestamp` and `weight`.
        relation: name in the graph; default: "rated", with `type` the name that the type has.
        rating, timestamp, weight: properties (of the relationship; with `through` of the node in between or of the
            relationship to the item), with `query` columns. Those of these names are taken also when not named here.
    """

    type: str | None = Field(default=None, min_length=1)
    through: str | None = Field(default=None, min_length=1)
    user_type: str | None = Field(default=None, min_length=1)
    item_type: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    relation: str | None = Field(default=None, pattern=_NAME)
    rating: str | None = None
    timestamp: str | None = None
    weight: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Neo4jInteractions:
        if sum(given is not None for given in (self.type, self.through, self.query)) != 1:
            raise ValueError("give one of type, through (with user_type and item_type) or query")
        if (self.through is None) != (self.user_type is None) or (self.through is None) != (self.item_type is None):
            raise ValueError("through, user_type and item_type belong together: give all three or none")
        if self.through is not None and self.user_type == self.item_type:
            raise ValueError("user_type and item_type are the same: nothing tells who did it and to which item")
        return self


class Neo4jEvents(Settings):
    """Relationships of items that are traces of a user, such as tags.

    Attributes:
        type: relationship type with an item at one end.
        user: its property that holds the user's id.
        timestamp, weight: its properties; those of these names are taken also when not named here.
    """

    type: str = Field(min_length=1)
    user: str = Field(min_length=1)
    timestamp: str | None = None
    weight: str | None = None


class Neo4jNodes(Settings):
    """Nodes by a query.

    Attributes:
        node: node type.
        query: Cypher that returns the column `id` and attributes.
    """

    node: str = Field(pattern=_NAME)
    query: str = Field(min_length=1)


class Neo4jEdges(Settings):
    """Knowledge edges by a query.

    Attributes:
        source, relation, target: node type, name, node type.
        query: Cypher that returns the columns `source` and `target` (ids), perhaps `weight` and `timestamp`.
    """

    source: str = Field(pattern=_NAME)
    relation: str = Field(pattern=_NAME)
    target: str = Field(pattern=_NAME)
    query: str = Field(min_length=1)


class Neo4jSource(Settings):
    """What to read from the database of the section `neo4j`.

    Attributes:
        labels: of the nodes; default: all that the database has. With an empty list only the queries are read.
        relationships: types; default: all that the database has.
        interactions: which of them say what users did to items. The first one is learned; relationships between users
            and items that are not listed are further traces of users.
        events: relationships of items that are traces of users.
        nodes, edges: more of both by queries.
        watermark: property that grows whenever a node or relationship is made or changed, "updated_at", taken where it
            is there; or the property of each label and relationship type. With it a refresh reads what is new or
            changed, and of labels and types without one everything. See `kg.stores.neo4j.read.update` for what it
            cannot see.
        tombstone: property that marks what is deleted, "deleted_at": nodes and relationships that have it, unless it is
            false, count as not there, with the relationships of such nodes.
        compare_keys_every: with a watermark, the refreshes after which all keys and watermarks are compared although no
            number of nodes or relationships says that something was deleted.
        page: most nodes or relationships that are asked for at once.
        max_age: seconds that a reading which was killed may be old to be gone on with.
        patience: seconds in which a server that stopped is asked again.
    """

    labels: list[str] | None = None
    relationships: list[str] | None = None
    interactions: list[Neo4jInteractions] = Field(default_factory=list)
    events: list[Neo4jEvents] = Field(default_factory=list)
    nodes: list[Neo4jNodes] = Field(default_factory=list)
    edges: list[Neo4jEdges] = Field(default_factory=list)
    watermark: str | dict[str, str] | None = None
    tombstone: str | None = Field(default=None, min_length=1)
    compare_keys_every: int = Field(default=10, ge=1)
    page: int = Field(default=50_000, ge=1)
    max_age: float = Field(default=3600.0, ge=0)
    patience: float = Field(default=60.0, ge=0)

    @field_validator("labels", "relationships")
    @classmethod
    def _once_each(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a name is there twice")
        return value

    @model_validator(mode="after")
    def _each_type_once(self) -> Neo4jSource:
        types = [entry.type for entry in self.interactions if entry.type is not None]
        types += [entry.type for entry in self.events]
        if twice := sorted({name for name in types if types.count(name) > 1}):
            raise ValueError(f"interactions and events name {', '.join(twice)} more than once")
        return self


class SourcesSettings(Settings):
    """Where the facts come from."""

    rdf: list[RdfSource] = Field(default_factory=list)
    interactions: list[InteractionsSource] = Field(default_factory=list)
    events: list[EventsSource] = Field(default_factory=list)
    attributes: list[AttributesSource] = Field(default_factory=list)
    edges: list[EdgesSource] = Field(default_factory=list)
    neo4j: Neo4jSource | None = None


class QualitySettings(Settings):
    """What is still good enough.

    Attributes:
        max_set_aside: share of a source that may be set aside.
        strict: refuse the first bad line, and items that the graph lacks.
    """

    max_set_aside: float = Field(default=0.1, ge=0, le=1)
    strict: bool = False


class DataSettings(Settings):
    """The sections that say which graph to build."""

    graph: GraphSettings = Field(default_factory=GraphSettings)
    sources: SourcesSettings = Field(default_factory=SourcesSettings)
    quality: QualitySettings = Field(default_factory=QualitySettings)
    neo4j: Neo4jConnection | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> DataSettings:
        check_sections(self.graph, self.sources, self.neo4j)
        return self


def check_sections(graph: GraphSettings, sources: SourcesSettings, neo4j: Neo4jConnection | None) -> None:
    """What no section can see alone.

    Raises:
        ValueError: two sections do not fit together.
    """
    if sources.neo4j is not None:
        if neo4j is None:
            raise ValueError(
                'sources.neo4j needs the section neo4j: say where the server is, [neo4j] uri = "neo4j://host:7687"'
            )
        return
    for name, node in graph.nodes.items():
        if node.key != "id" and ":" not in node.key:
            raise ValueError(
                f'graph.nodes.{name}.key = {node.key!r}: write "id", the IRI of a property, or an IRI template with '
                "{id}; the name of a property is for nodes of sources.neo4j"
            )
