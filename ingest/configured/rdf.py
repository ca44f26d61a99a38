"""The RDF files that a configuration names, as a source."""

from __future__ import annotations

from pathlib import Path

from ingest.builder import GraphBuilder
from ingest.configured.base import FileSource, list_files
from ingest.settings import RdfSource


class RdfFiles(FileSource):
    """RDF files: one entry of `sources.rdf`."""

    def __init__(self, settings: RdfSource, base: Path) -> None:
        self.settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the triples of every file."""
        settings = self.settings
        for file in self.files:
            builder.add_rdf(
                file.path,
                name=file.name,
                format=settings.format,
                languages=settings.languages,
                base=settings.base,
            )
