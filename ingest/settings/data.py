"""The sections together: which sources there are, how good they must be, and what fits together."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ingest.settings.files import (
    AttributesSource,
    DatasetSource,
    EdgesSource,
    EventsSource,
    InteractionsSource,
    RdfSource,
)
from ingest.settings.graph import GraphSettings
from ingest.settings.neo4j import Neo4jSource
from kg.settings import Settings
from kg.stores.neo4j.connection import Neo4jConnection


class SourcesSettings(Settings):
    """Where the data come from."""

    section: ClassVar[str] = "sources"

    rdf: list[RdfSource] = Field(default_factory=list, description="RDF files.")
    interactions: list[InteractionsSource] = Field(
        default_factory=list, description="Tables of what users did to items; the first one is learned."
    )
    events: list[EventsSource] = Field(
        default_factory=list,
        description="Tables of further traces of users on items, such as tags; they follow the split of the "
        "interactions.",
    )
    attributes: list[AttributesSource] = Field(default_factory=list, description="Tables of node attributes.")
    edges: list[EdgesSource] = Field(default_factory=list, description="Tables of knowledge edges.")
    datasets: list[DatasetSource] = Field(
        default_factory=list, description="Published data sets in the formats in which they are passed around."
    )
    neo4j: Neo4jSource | None = Field(
        default=None, description="What to read from the database of the section `neo4j`."
    )


class QualitySettings(Settings):
    """Which quality of the sources is enough."""

    section: ClassVar[str] = "quality"

    max_set_aside: float = Field(
        default=0.1, ge=0, le=1, description="Share of the rows of a source that may be set aside as unusable."
    )
    min_match: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of its ids that a source must have in common with the interactions, counted in the smaller "
        "of the two; a source that shares less means other nodes or writes their ids in another way. 0 switches it "
        "off.",
    )
    strict: bool = Field(default=False, description="Refuse the first bad line, and items that the graph lacks.")


class DataSettings(Settings):
    """The sections that say which graph to build."""

    graph: GraphSettings = Field(default_factory=GraphSettings, description="Roles of node types, and overrides.")
    sources: SourcesSettings = Field(default_factory=SourcesSettings, description="Where the data come from.")
    quality: QualitySettings = Field(
        default_factory=QualitySettings, description="Which quality of the sources is enough."
    )
    neo4j: Neo4jConnection | None = Field(default=None, description="The server that `sources.neo4j` is read from.")

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
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
