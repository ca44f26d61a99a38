"""The published data sets that a configuration names, as sources."""

from __future__ import annotations

from pathlib import Path

from ingest.builder import GraphBuilder
from ingest.configured.base import FileSource, list_files
from ingest.settings import DatasetSource
from ingest.sources.formats import READERS, AttributesPart, DatasetFiles, EdgesPart, InteractionsPart, Roles


class Dataset(FileSource):
    """A data set in a format of its own: one entry of `sources.datasets`."""

    def __init__(self, settings: DatasetSource, base: Path) -> None:
        self.settings = settings
        self.files = list_files(settings.files, base)

    def read(self, builder: GraphBuilder) -> None:
        """Add the tables of every file; those that the format does not know are named in the report."""
        settings, graph = self.settings, builder.settings
        files = DatasetFiles({file.name: file.path for file in self.files}, settings.format)
        roles = Roles(user=graph.user, item=graph.item, relation=settings.relation)
        with builder.progress.task(f"reading {settings.format} data set"):
            for part in READERS[settings.format](files, roles):
                if isinstance(part, InteractionsPart):
                    builder.add_interactions(
                        part.rows, relation=settings.relation, columns=part.columns, part=part.part
                    )
                elif isinstance(part, AttributesPart):
                    builder.add_attributes(
                        part.rows, node=part.node, id=part.id, columns=part.columns, lists=part.lists
                    )
                elif isinstance(part, EdgesPart):
                    builder.add_edges(
                        part.rows,
                        source=part.source,
                        relation=part.relation,
                        target=part.target,
                        columns=part.columns,
                        split=part.split,
                    )
                else:
                    builder.add_events(
                        part.rows,
                        relation=part.relation,
                        columns=part.columns,
                        value_type=part.value_type,
                        value_relation=part.value_relation,
                    )
        builder.report.add(
            "files that are not read",
            len(files.unused),
            f"no files of the format {settings.format} by their names",
            files.unused,
        )
