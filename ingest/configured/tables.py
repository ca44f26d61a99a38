"""The tables that a configuration names, as sources: interactions, events, attributes and edges."""

from __future__ import annotations

from pathlib import Path

from ingest.builder import GraphBuilder
from ingest.configured.base import FileSource, list_files
from ingest.settings import AttributesSource, EdgesSource, EventsSource, InteractionColumns, InteractionsSource
from ingest.sources.tables.files import read_file, read_lists

PARTS = (None, "train", "valid", "test")


class InteractionFiles(FileSource):
    """What users did to items: one entry of `sources.interactions`."""

    def __init__(self, settings: InteractionsSource, base: Path) -> None:
        self.settings = settings
        self.parts = {part: list_files(getattr(settings, part or "files"), base) for part in PARTS}
        self.files = [file for files in self.parts.values() for file in files]

    def read(self, builder: GraphBuilder) -> None:
        """Add the interactions of every file."""
        settings = self.settings
        for part, files in self.parts.items():
            for file in files:
                with builder.progress.task(f"reading {file.name}"):
                    if settings.format == "lists":
                        rows, columns = read_lists(file.path, name=file.name), InteractionColumns()
                    else:
                        rows = read_file(
                            file.path, name=file.name, separator=settings.separator, header=settings.header
                        )
                        columns = settings.columns
                    builder.add_interactions(rows, relation=settings.relation, columns=columns, part=part)


class EventFiles(FileSource):
    """Further traces of users on items: one entry of `sources.events`."""

    def __init__(self, settings: EventsSource, base: Path) -> None:
        self.settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the events of every file."""
        settings = self.settings
        for file in self.files:
            with builder.progress.task(f"reading {file.name}"):
                builder.add_events(
                    read_file(file.path, name=file.name, separator=settings.separator, header=settings.header),
                    relation=settings.relation,
                    columns=settings.columns,
                    value_type=settings.value_type,
                    value_relation=settings.value_relation,
                )


class AttributeFiles(FileSource):
    """Attributes of nodes: one entry of `sources.attributes`."""

    def __init__(self, settings: AttributesSource, base: Path) -> None:
        self.settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the attributes of every file."""
        settings = self.settings
        for file in self.files:
            with builder.progress.task(f"reading {file.name}"):
                builder.add_attributes(
                    read_file(file.path, name=file.name, separator=settings.separator, header=settings.header),
                    node=settings.node,
                    id=settings.id,
                    columns=settings.columns,
                    lists=settings.lists,
                )


class EdgeFiles(FileSource):
    """Knowledge edges: one entry of `sources.edges`."""

    def __init__(self, settings: EdgesSource, base: Path) -> None:
        self.settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the edges of every file."""
        settings = self.settings
        for file in self.files:
            with builder.progress.task(f"reading {file.name}"):
                builder.add_edges(
                    read_file(file.path, name=file.name, separator=settings.separator, header=settings.header),
                    source=settings.source,
                    relation=settings.relation,
                    target=settings.target,
                    columns=settings.columns,
                    split=settings.split,
                )
