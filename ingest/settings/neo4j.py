"""The section `sources.neo4j`: what to read from the database of the section `neo4j`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from ingest.settings.files import TimeUnit
from ingest.settings.graph import Name
from kg.settings import Settings

Text = Annotated[str, Field(min_length=1)]

_WHERE = (
    "Property of the relationship (with `through`: of the node in between, or of the relationship to the item), or "
    "column of `query`. Default: the one named {name!r}, where there is one."
)
_UNIT = (
    'What whole numbers that are times count since 1970: "s", "ms", "us" or "ns"; default: guessed by their size, '
    "which the report says. Neo4j's own dates and times need none."
)
_OPTIONAL = "Its property with the {name}. Default: the one named {name!r}, where there is one."


class Neo4jInteractions(Settings):
    """What users did to items: give one of `type`, `through` (with `user_type` and `item_type`) or `query`."""

    type: Text | None = Field(default=None, description="Relationship type between users and items, such as RATED.")
    through: Text | None = Field(default=None, description="Label of nodes between users and items, such as Review.")
    user_type: Text | None = Field(
        default=None, description="Relationship type that joins the nodes in between to the user."
    )
    item_type: Text | None = Field(
        default=None, description="Relationship type that joins the nodes in between to the item."
    )
    query: Text | None = Field(
        default=None,
        description="Cypher that returns the columns `user` and `item` (ids), and perhaps `rating`, `timestamp` and "
        "`weight`.",
    )
    relation: Name | None = Field(
        default=None, description='Name in the graph; default: "rated", with `type` the name that the type has.'
    )
    rating: str | None = Field(default=None, description=_WHERE.format(name="rating"))
    timestamp: str | None = Field(default=None, description=_WHERE.format(name="timestamp"))
    weight: str | None = Field(default=None, description=_WHERE.format(name="weight"))
    unit: TimeUnit | None = Field(default=None, description=_UNIT)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.type, self.through, self.query)) != 1:
            raise ValueError("give one of type, through (with user_type and item_type) or query")
        if (self.through is None) != (self.user_type is None) or (self.through is None) != (self.item_type is None):
            raise ValueError("through, user_type and item_type belong together: give all three or none")
        if self.through is not None and self.user_type == self.item_type:
            raise ValueError("user_type and item_type are the same: nothing tells who did it and to which item")
        return self


class Neo4jEvents(Settings):
    """Relationships of items that are traces of a user, such as tags."""

    type: Text = Field(description="Relationship type with an item at one end.")
    user: Text = Field(description="Its property that holds the user's id.")
    timestamp: str | None = Field(default=None, description=_OPTIONAL.format(name="timestamp"))
    weight: str | None = Field(default=None, description=_OPTIONAL.format(name="weight"))
    unit: TimeUnit | None = Field(default=None, description=_UNIT)


class Neo4jNodes(Settings):
    """Nodes by a query."""

    node: Name = Field(description="Node type.")
    query: Text = Field(description="Cypher that returns the column `id` and attributes.")


class Neo4jEdges(Settings):
    """Knowledge edges by a query."""

    source: Name = Field(description="Node type of the source.")
    relation: Name = Field(description="Name of the relation.")
    target: Name = Field(description="Node type of the target.")
    query: Text = Field(
        description="Cypher that returns the columns `source` and `target` (ids), and perhaps `weight` and `timestamp`."
    )
    unit: TimeUnit | None = Field(default=None, description=_UNIT)


class Neo4jSource(Settings):
    """What to read from the database."""

    labels: list[str] | None = Field(
        default=None,
        description="Labels of the nodes to read; default: all that the database has. With an empty list only the "
        "queries are read.",
    )
    relationships: list[str] | None = Field(
        default=None, description="Relationship types to read; default: all that the database has."
    )
    interactions: list[Neo4jInteractions] = Field(
        default_factory=list,
        description="Which of them say what users did to items. The first one is learned; relationships between users "
        "and items that are not listed are further traces of users.",
    )
    events: list[Neo4jEvents] = Field(
        default_factory=list, description="Relationships of items that are traces of users."
    )
    nodes: list[Neo4jNodes] = Field(default_factory=list, description="More nodes, by queries.")
    edges: list[Neo4jEdges] = Field(default_factory=list, description="More knowledge edges, by queries.")
    watermark: str | dict[str, str] | None = Field(
        default=None,
        description="Property that grows whenever a node or relationship is made or changed, such as updated_at, taken "
        "where it exists; or the property of each label and relationship type. With it a refresh reads what is new or "
        "changed, and of labels and types without one everything. The documentation of "
        "`kg.stores.neo4j.read.update` says what it cannot see.",
    )
    tombstone: Text | None = Field(
        default=None,
        description="Property that marks what is deleted, such as deleted_at. Nodes and relationships that have it, "
        "unless it is false, count as not there, with the relationships of such nodes.",
    )
    compare_keys_every: int = Field(
        default=10,
        ge=1,
        description="With a watermark: the refreshes after which all keys and watermarks are compared although no "
        "number of nodes or relationships says that something was deleted.",
    )
    page: int = Field(default=50_000, ge=1, description="Nodes or relationships asked for at once, at most.")
    max_age: float = Field(
        default=3600.0, ge=0, description="Age in seconds up to which a reading that was killed is continued."
    )
    patience: float = Field(
        default=60.0, ge=0, description="Seconds in which a server that stopped answering is asked again."
    )

    @field_validator("labels", "relationships")
    @classmethod
    def _once_each(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a name is there twice")
        return value

    @model_validator(mode="after")
    def _each_type_once(self) -> Self:
        types = [entry.type for entry in self.interactions if entry.type is not None]
        types += [entry.type for entry in self.events]
        if twice := sorted({name for name in types if types.count(name) > 1}):
            raise ValueError(f"interactions and events name {', '.join(twice)} more than once")
        return self
