"""The sections `sources.rdf`, `.interactions`, `.events`, `.attributes`, `.edges` and `.datasets`: files to read."""

from __future__ import annotations

import io
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ingest.settings.graph import Name
from kg.settings import Settings

RdfFormat = Literal["ntriples", "turtle", "rdfxml", "nquads", "trig"]
DatasetFormat = Literal["recbole", "kgat", "movielens", "lastfm", "amazon"]
Quotes = Literal["doubled", "backslash", "none"]
TimeUnit = Literal["s", "ms", "us", "ns"]
Separator = Annotated[str, Field(min_length=1, max_length=4)]

_FILES = "Paths or patterns such as `data/*.csv`, relative to the configuration file; may be compressed (.gz)."
_TABLES = f"{_FILES} CSV, TSV, Parquet, or JSON lines (.json, .jsonl, .ndjson)."
_UNIT = (
    'What numbers in the column of times count since 1970: "s", "ms", "us" or "ns"; default: guessed by their size, '
    "which the report says. Times as text are ISO 8601."
)
_TIMESTAMP = "Column with the time, a number since 1970 (see `unit`) or a date."


class CsvForm(Settings):
    """How the CSV files of a source are written."""

    separator: Separator | None = Field(
        default=None,
        description="Separator of the columns of a CSV file; default: comma, or tab in a .tsv. Several characters, "
        'such as `::`, need `quotes = "none"`.',
    )
    header: list[str] | None = Field(
        default=None, description="Names of the columns of a CSV file that has no header line."
    )
    encoding: str = Field(
        default="utf-8", description="Encoding of a text file, such as latin-1, cp1252 or utf-16: any that Python has."
    )
    quotes: Quotes = Field(
        default="doubled",
        description='How a CSV file writes a quote in a quoted cell: "doubled" (`""`, RFC 4180), "backslash" (`\\"`), '
        'or "none": a quote is a character like any other, and every line is a row, as in most .tsv and .dat files. '
        "With the last two `\\N` is an empty cell.",
    )

    @field_validator("encoding")
    @classmethod
    def _python_knows_it(cls, value: str) -> str:
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=value)  # refuses what is no codec, and codecs of bytes such as hex
        except LookupError:
            raise ValueError(f"{value!r} is no encoding: write one such as utf-8, latin-1 or cp1252") from None
        return value

    @model_validator(mode="after")
    def _long_separators_are_unquoted(self) -> Self:
        if self.separator is not None and len(self.separator) > 1 and self.quotes != "none":
            raise ValueError(f'separator {self.separator!r} has several characters: add quotes = "none"')
        return self


class TableSource(CsvForm):
    """Files of a table, and what is read of them."""

    sql: str | None = Field(
        default=None,
        min_length=1,
        description="A SELECT of DuckDB over each file, which is the table `file`: its rows are read in place of those "
        "of the file. Cells of CSV and JSON lines are text. It can reach nothing but that table: no other file, no "
        "network.",
    )


class RdfSource(Settings):
    """RDF files."""

    files: list[str] = Field(min_length=1, description=_FILES)
    format: RdfFormat | None = Field(default=None, description="Format; default: by the name of the file.")
    languages: list[str] = Field(
        default=["en", ""],
        description="Languages of texts in order of preference; one is kept of each text. The empty string is a text "
        "without a language.",
    )
    base: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$",
        description="IRI that relative IRIs in Turtle, TriG and RDF/XML are resolved against where the file states no "
        "base; default: `file:///` and the path of the file as it stands here, so that no folder of the machine gets "
        "into ids.",
    )


class InteractionColumns(Settings):
    """Names of the columns; `rating`, `timestamp` and `weight` are optional in the file unless named here."""

    user: str = Field(default="user_id", description="Column with the user's id.")
    item: str = Field(default="item_id", description="Column with the item's id.")
    rating: str | None = Field(default=None, description="Column with the rating, a number.")
    timestamp: str | None = Field(default=None, description=_TIMESTAMP)
    weight: str | None = Field(default=None, description="Column with the weight, a number.")


class InteractionsSource(TableSource):
    """A table of what users did to items."""

    relation: Name = Field(default="rated", description="Name of the relation from users to items.")
    files: list[str] = Field(default_factory=list, description=_TABLES)
    train: list[str] = Field(default_factory=list, description="Files of the training part of a published split.")
    valid: list[str] = Field(default_factory=list, description="Files of its validation part.")
    test: list[str] = Field(default_factory=list, description="Files of its test part.")
    format: Literal["table", "lists"] = Field(
        default="table",
        description='"table" (CSV, TSV, Parquet, JSON lines), or "lists" (a line for each user: user id, then item '
        "ids).",
    )
    columns: InteractionColumns = Field(default_factory=InteractionColumns, description="Names of the columns.")
    unit: TimeUnit | None = Field(default=None, description=_UNIT)

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


class EventsSource(TableSource):
    """A table of further traces of users on items, which follow the split of the interactions."""

    relation: Name = Field(description="Name of the relation from users to items.")
    files: list[str] = Field(min_length=1, description=_TABLES)
    columns: EventColumns = Field(default_factory=EventColumns, description="Names of the columns.")
    value_type: Name | None = Field(default=None, description="Node type made of the values.")
    value_relation: Name | None = Field(default=None, description="Name of the relation from items to values.")
    unit: TimeUnit | None = Field(default=None, description=_UNIT)

    @model_validator(mode="after")
    def _value_is_whole(self) -> Self:
        keys = [self.columns.value, self.value_type, self.value_relation]
        if any(keys) and not all(keys):
            raise ValueError("columns.value, value_type and value_relation belong together: give all three or none")
        return self


class AttributesSource(TableSource):
    """A table of node attributes."""

    node: Name = Field(description="Node type.")
    files: list[str] = Field(min_length=1, description=_TABLES)
    id: str = Field(default="id", description="Column with the node's id.")
    columns: dict[str, str] | None = Field(
        default=None, description="Attribute -> column; default: all other columns under their own names."
    )
    lists: dict[str, str] = Field(
        default_factory=dict,
        description='Attribute -> separator of the values in one cell, such as "|". Lists of Parquet and JSON need '
        "none.",
    )


class EdgeColumns(Settings):
    """Names of the columns of an edge table."""

    source: str = Field(default="source", description="Column with the id of the source.")
    target: str = Field(default="target", description="Column with the id of the target.")
    relation: str | None = Field(
        default=None, description="Column that names the relation of each row; then `relation` gives none."
    )
    weight: str | None = Field(default=None, description="Column with the weight, a number.")
    timestamp: str | None = Field(default=None, description=_TIMESTAMP)


class EdgesSource(TableSource):
    """A table of knowledge edges, of one relation or of many."""

    source: Name = Field(description="Node type of the source.")
    relation: Name | None = Field(
        default=None, description="Name of the relation, unless the column `columns.relation` names it."
    )
    relations: dict[str, Name] = Field(
        default_factory=dict,
        description="Value of the column `columns.relation` -> name of the relation. Others are named after their "
        "value: the last part of an IRI, in lower_snake_case, with `relation_` before a number.",
    )
    target: Name = Field(description="Node type of the target.")
    files: list[str] = Field(min_length=1, description=_TABLES)
    columns: EdgeColumns = Field(default_factory=EdgeColumns, description="Names of the columns.")
    split: str | None = Field(
        default=None,
        min_length=1,
        description='Separator of several targets in one cell, such as "|". Lists of Parquet and JSON need none.',
    )
    unit: TimeUnit | None = Field(default=None, description=_UNIT)

    @model_validator(mode="after")
    def _relation_is_named_once(self) -> Self:
        if (self.relation is None) == (self.columns.relation is None):
            raise ValueError("give either relation, or columns.relation for a column that names it row by row")
        if self.relations and self.columns.relation is None:
            raise ValueError("relations maps the values of the column columns.relation: name that column")
        return self


class DatasetSource(Settings):
    """The files of a published data set, whose names say what each of them holds."""

    format: DatasetFormat = Field(
        description='"recbole" (atomic files), "kgat" (train.txt, test.txt, kg_final.txt), "movielens", "lastfm" '
        '(HetRec 2011), or "amazon" (reviews and metadata as JSON lines).'
    )
    files: list[str] = Field(min_length=1, description=_FILES)
    relation: Name = Field(default="rated", description="Name of the relation from users to items.")
