"""The Neo4j database that a configuration names, as a source."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ingest.builder import GraphBuilder
from ingest.settings import GraphSettings, Neo4jSource
from ingest.sources.neo4j.plan import read_source
from kg.progress import SILENT, Progress
from kg.stores.neo4j.connection import Neo4jConnection

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot


class Neo4jDatabase:
    """A database, read once: `sources.neo4j`.

    Args:
        settings: what to read.
        connection: where it is.
        graph: names and keys.
        base: folder of the configuration.
        snapshot: what was read before; default: it is read when it is needed first.
        progress: listener.
    """

    def __init__(
        self,
        settings: Neo4jSource,
        connection: Neo4jConnection,
        graph: GraphSettings,
        base: Path,
        *,
        snapshot: Snapshot | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.graph = graph
        self.base = base
        self.progress = progress
        self._snapshot = snapshot
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def name(self) -> str:
        """Its URI."""
        return self.connection.uri

    def fingerprint(self) -> str:
        """The digest of what was read.

        Raises:
            StoreError: the database does not answer, or could not run a query.
        """
        return self._read().digest

    def read(self, builder: GraphBuilder) -> None:
        """Add the nodes and relationships.

        Raises:
            ConfigError: a label, type, property or key is named that the database lacks.
            StoreError: the database does not answer, or could not run a query.
        """
        builder.add_neo4j(self._read(), source=self.settings, name=self.name)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._snapshot = None

    def _read(self) -> Snapshot:
        if self._snapshot is None:
            self._folder = TemporaryDirectory(prefix="graphrecall-")
            with self.connection.open(base=self.base) as store:
                pages = Path(self._folder.name) / "pages"
                self._snapshot = read_source(store, self.settings, self.graph, pages, progress=self.progress)
        return self._snapshot
