"""The section `graph`: roles of the node types, and overrides of what is inferred about types and relations."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from kg.schema import PositiveRule, template_names
from kg.settings import Settings

_NAME = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=_NAME)]
"""Name of a node type or relation, lower_snake_case."""


class NodeSettings(Settings):
    """Overrides of what is inferred about one node type."""

    rdf_class: str | None = Field(default=None, description="IRI of the class whose instances the node type holds.")
    key: str = Field(
        default="id",
        description='What the ids are: "id" (the IRI is the id; in Neo4j the property `id`), the IRI of a property '
        "whose value is the id, an IRI template with `{id}`, or the name of a property in Neo4j, such as movieId.",
    )
    text: str | None = Field(
        default=None,
        description="Template of the text that the text model reads, such as `{title} ({year})`. Names are attributes, "
        "or knowledge relations, which stand for the titles of their targets.",
    )
    title: str | None = Field(default=None, description="The attribute that names a node to a person.")
    noun: str | None = Field(default=None, description="English noun for one node of the type.")
    label: str | None = Field(
        default=None,
        description="Label in Neo4j. Nodes read from `sources.neo4j` with this label get the name of this node type.",
    )

    event: bool | None = Field(
        default=None,
        description="Whether each node is something that a user did with items, such as a review or an order, and so "
        "follows the split of the interactions; default: told from the data, which the report says.",
    )

    @field_validator("text")
    @classmethod
    def _text_is_a_template(cls, value: str | None) -> str | None:
        template_names(value or "")
        return value


class RelationSettings(Settings):
    """Overrides of what is inferred about the relations of one name."""

    phrase: str | None = Field(default=None, description='English from source to target, such as "stars".')
    cypher_type: str | None = Field(
        default=None,
        description="Relationship type in Neo4j. One read from `sources.neo4j` gets the name of this relation.",
    )


class GraphSettings(Settings):
    """Roles of node types, and overrides."""

    section: ClassVar[str] = "graph"

    user: Name = Field(default="user", description="Node type that is recommended to.")
    item: Name = Field(default="item", description="Node type that is recommended.")
    positive: str = Field(
        default="all", description='Which interactions count as positive: "all", or a rule such as "rating >= 4".'
    )
    interaction: Name | None = Field(
        default=None,
        description="The relation from users to items that is learned; default: that of the first "
        "`sources.interactions`, else the only relation from users to items.",
    )
    nodes: dict[str, NodeSettings] = Field(default_factory=dict, description="Overrides by name of the node type.")
    relations: dict[str, RelationSettings] = Field(
        default_factory=dict, description="Overrides by name of the relation."
    )
    drop: list[str] = Field(default_factory=list, description="IRIs of RDF predicates that are left out.")

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
    def _user_is_not_item(self) -> Self:
        if self.user == self.item:
            raise ValueError(f"user and item are both {self.user!r}: they are two node types")
        return self
