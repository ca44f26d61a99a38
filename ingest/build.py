"""The sources of a configuration into one graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.builder import GraphBuilder
from ingest.configured.base import FileSource, Source
from ingest.configured.datasets import Dataset
from ingest.configured.neo4j import Neo4jDatabase
from ingest.configured.rdf import RdfFiles
from ingest.configured.tables import AttributeFiles, EdgeFiles, EventFiles, InteractionFiles
from ingest.people import People
from ingest.report import QualityReport
from ingest.settings import DataSettings, SourcesSettings
from kg.graph import KnowledgeGraph
from kg.progress import SILENT, Progress

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot


def build_graph(
    settings: DataSettings,
    *,
    base: Path,
    progress: Progress = SILENT,
    now: int | None = None,
    snapshot: Snapshot | None = None,
    people: People | None = None,
    memory: Sequence[Source] = (),
) -> tuple[KnowledgeGraph, QualityReport]:
    """Read every source of a configuration and build the graph.

    Args:
        settings: the sections graph, sources, quality and neo4j.
        base: folder that relative paths start from: that of the configuration file.
        progress: listener.
        now: UTC seconds after which a timestamp is in the future; default: the clock.
        snapshot: what `ingest.sources.neo4j.plan.read_source` read of `sources.neo4j` before; default: it is read now.
        people: which users to leave out or rename; default: nobody.
        memory: sources that no configuration names, tables in memory.

    Returns:
        The graph in canonical order, which the order of the facts does not change, and what was found on the way.

    Raises:
        InvalidDataError: a source cannot be used, or too much of it (see `quality`).
        ConfigError: an override names a type, relation or attribute that the sources do not hold.
        StoreError: the database of `sources.neo4j` does not answer, or could not run a query.
    """
    builder = GraphBuilder(settings.graph, quality=settings.quality, progress=progress, now=now, people=people)
    sources: list[Source] = [*file_sources(settings.sources, base=base)]
    if settings.sources.neo4j is not None and settings.neo4j is not None:
        sources.append(
            Neo4jDatabase(
                settings.sources.neo4j,
                settings.neo4j,
                settings.graph,
                base,
                snapshot=snapshot,
                progress=progress,
            )
        )
    for source in [*sources, *memory]:
        source.read(builder)
    return builder.build()


def file_sources(sources: SourcesSettings, *, base: Path) -> list[FileSource]:
    """The sources of a configuration that are files, in the order in which they are read.

    Raises:
        InvalidDataError: a pattern matches nothing.
    """
    return [
        *(RdfFiles(entry, base) for entry in sources.rdf),
        *(InteractionFiles(entry, base) for entry in sources.interactions),
        *(EventFiles(entry, base) for entry in sources.events),
        *(AttributeFiles(entry, base) for entry in sources.attributes),
        *(EdgeFiles(entry, base) for entry in sources.edges),
        *(Dataset(entry, base) for entry in sources.datasets),
    ]
