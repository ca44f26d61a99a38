"""The sections `sources.rdf`, `.interactions`, `.events`, `.attributes` and `.edges`: files to read."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ingest.settings.graph import Name
from kg.settings import Settings

RdfFormat = Literal["ntriples", "turtle", "rdfxml", "nquads", "trig"]
Separator = Annotated[str, Field(min_length=1, max_length=1)]

_FILES = "Paths or patterns such as `data/*.csv`, relative to the configuration file; may be compressed (.gz)."
_SEPARATOR = "Separator of the columns of a CSV file; default: comma, or tab in a .tsv."
_HEADER = "Names of the columns of a CSV file that has no header line."


class RdfSource(Settings):
    """RDF files."""

    files: list[str] = Field(min_length=1, description=_FILES)
    format: RdfFormat | None = Field(default=None, description="Format; default: by the name of the file.")
    languages: list[str] = Field(
        default=["en", ""],
        description="Languages of texts in order of preference; one is kept of each text. The empty string is a text "
        "without a language.",
    )


class InteractionColumns(Settings):
    """Names of the columns; `rating`, `timestamp` and `weight` are optional in the file unless named here."""

    user: str = Field(default="user_id", description="Column with the user's id.")
    item: str = Field(default="item_id", description="Column with the item's id.")
    rating: str | None = Field(default=None, description="Column with the rating, a number.")
    timestamp: str | None = Field(default=None, description="Column with the time, seconds since 1970 or a date.")
    weight: str | None = Field(default=None, description="Column with the weight, a number.")


class InteractionsSource(Settings):
    """A table of what users did to items."""

    relation: Name = Field(default="rated", description="Name of the relation from users to items.")
    files: list[str] = Field(default_factory=list, description=_FILES)
    train: list[str] = Field(default_factory=list, description="Files of the training part of a published split.")
    valid: list[str] = Field(default_factory=list, description="Files of its validation part.")
    test: list[str] = Field(default_factory=list, description="Files of its test part.")
    format: Literal["table", "lists"] = Field(
        default="table",
        description='"table" (CSV, TSV, Parquet), or "lists" (a line for each user: user id, then item ids).',
    )
    columns: InteractionColumns = Field(default_factory=InteractionColumns, description="Names of the columns.")
    separator: Separator | None = Field(default=None, description=_SEPARATOR)
    header: list[str] | None = Field(default=None, description=_HEADER)

    @model_validator(mode="after")
    def _files_or_parts(self) -> Self:
        if bool(self.files) == bool(self.train or self.valid or self.test):
            raise ValueError("give either files, or train with test (and perhaps valid)")
        if not self.files and not (self.train and self.test):
            raise ValueError("a split given by files needs both train and test")
        return self


class EventColumns(InteractionColumns):
    """Columns of further events."""

    value: str | None = Field(default=None, description="Column whose values become nodes, such as tags.")


class EventsSource(Settings):
    """A table of further traces of users on items, which follow the split of the interactions."""

    relation: Name = Field(description="Name of the relation from users to items.")
    files: list[str] = Field(min_length=1, description=_FILES)
    columns: EventColumns = Field(default_factory=EventColumns, description="Names of the columns.")
    value_type: Name | None = Field(default=None, description="Node type made of the values.")
    value_relation: Name | None = Field(default=None, description="Name of the relation from items to values.")
    separator: Separator | None = Field(default=None, description=_SEPARATOR)
    header: list[str] | None = Field(default=None, description=_HEADER)

    @model_validator(mode="after")
    def _value_is_whole(self) -> Self:
        keys = [self.columns.value, self.value_type, self.value_relation]
        if any(keys) and not all(keys):
            raise ValueError("columns.value, value_type and value_relation belong together: give all three or none")
        return self


class AttributesSource(Settings):
    """A table of node attributes."""

    node: Name = Field(description="Node type.")
    files: list[str] = Field(min_length=1, description=_FILES)
    id: str = Field(default="id", description="Column with the node's id.")
    columns: dict[str, str] | None = Field(
        default=None, description="Attribute -> column; default: all other columns under their own names."
    )
    lists: dict[str, str] = Field(
        default_factory=dict, description='Attribute -> separator of the values in one cell, such as "|".'
    )
    separator: Separator | None = Field(default=None, description=_SEPARATOR)
    header: list[str] | None = Field(default=None, description=_HEADER)


class EdgeColumns(Settings):
    """Names of the columns of an edge table."""

    source: str = Field(default="source", description="Column with the id of the source.")
    target: str = Field(default="target", description="Column with the id of the target.")
    weight: str | None = Field(default=None, description="Column with the weight, a number.")
    timestamp: str | None = Field(default=None, description="Column with the time, seconds since 1970 or a date.")


class EdgesSource(Settings):
    """A table of knowledge edges."""

    source: Name = Field(description="Node type of the source.")
    relation: Name = Field(description="Name of the relation.")
    target: Name = Field(description="Node type of the target.")
    files: list[str] = Field(min_length=1, description=_FILES)
    columns: EdgeColumns = Field(default_factory=EdgeColumns, description="Names of the columns.")
    split: str | None = Field(
        default=None, min_length=1, description='Separator of several targets in one cell, such as "|".'
    )
    separator: Separator | None = Field(default=None, description=_SEPARATOR)
    header: list[str] | None = Field(default=None, description=_HEADER)
