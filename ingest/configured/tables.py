"""The tables that a configuration names, as sources: interactions, events, attributes and edges."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

from ingest.builder import GraphBuilder
from ingest.configured.base import FileSource, list_files
from ingest.settings import AttributesSource, EdgesSource, EventsSource, InteractionColumns, InteractionsSource
from ingest.sources.tables import Rows, read_lists, read_table

PARTS = (None, "train", "valid", "test")
Settings = TypeVar("Settings", EventsSource, AttributesSource, EdgesSource)


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
                        rows = read_lists(file.path, name=file.name, encoding=settings.encoding)
                        columns = InteractionColumns()
                    else:
                        rows = read_table(file.path, name=file.name, settings=settings)
                        columns = settings.columns
                    builder.add_interactions(
                        rows, relation=settings.relation, columns=columns, part=part, unit=settings.unit
                    )


class _Tables(FileSource, Generic[Settings]):
    """Files with a header, read one after the other; a subclass says what their rows are."""

    def __init__(self, settings: Settings, base: Path) -> None:
        self.settings: Settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the rows of every file."""
        settings = self.settings
        for file in self.files:
            with builder.progress.task(f"reading {file.name}"):
                self.add(builder, read_table(file.path, name=file.name, settings=settings))

    @abstractmethod
    def add(self, builder: GraphBuilder, rows: Rows) -> None:
        """Add the rows of one file."""


class EventFiles(_Tables[EventsSource]):
    """Further traces of users on items: one entry of `sources.events`."""

    def add(self, builder: GraphBuilder, rows: Rows) -> None:
        """Add events."""
        builder.add_events(
            rows,
            relation=self.settings.relation,
            columns=self.settings.columns,
            value_type=self.settings.value_type,
            value_relation=self.settings.value_relation,
            unit=self.settings.unit,
        )


class AttributeFiles(_Tables[AttributesSource]):
    """Attributes of nodes: one entry of `sources.attributes`."""

    def add(self, builder: GraphBuilder, rows: Rows) -> None:
        """Add attributes."""
        settings = self.settings
        builder.add_attributes(rows, node=settings.node, id=settings.id, columns=settings.columns, lists=settings.lists)


class EdgeFiles(_Tables[EdgesSource]):
    """Knowledge edges: one entry of `sources.edges`."""

    def add(self, builder: GraphBuilder, rows: Rows) -> None:
        """Add edges."""
        builder.add_edges(
            rows,
            source=self.settings.source,
            relation=self.settings.relation,
            target=self.settings.target,
            columns=self.settings.columns,
            split=self.settings.split,
            relations=self.settings.relations,
            unit=self.settings.unit,
        )
