"""What is read of a Neo4j database, and where the last reading is kept for the next refresh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.settings import Neo4jSource
from ingest.sources.neo4j.plan import read_source
from kg.errors import ConfigError, InvalidDataError
from kg.io.files import digest, fsync
from kg.io.removal import remove_trees
from kg.progress import Progress
from kg.stores.neo4j.connection import Neo4jConnection
from recall.config.deployment import RefreshConfig

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot


def read_database(
    config: RefreshConfig,
    source: Neo4jSource,
    connection: Neo4jConnection,
    staging: Path,
    progress: Progress,
    *,
    fresh: bool,
) -> Snapshot:
    """Read the database of the sources, going on with what a killed refresh read of the same.

    Args:
        config: of the deployment.
        source: what to read.
        connection: to the database.
        staging: folder for the reading, `neo4j-<digest of what is read>` in it.
        progress: listener.
        fresh: read everything anew.

    Raises:
        ConfigError, InvalidDataError: it cannot be used; nothing of it is left.
        StoreError: the database does not answer; what was read stays for the next refresh.
    """
    wanted = source.model_dump(mode="json", exclude={"compare_keys_every"})
    identity = {"uri": connection.uri, "database": connection.database, "source": wanted}
    folder = staging / f"neo4j-{digest(identity)[:16]}"
    last = None
    if fresh:
        remove_trees([folder], inside=staging)
    elif source.watermark is not None:
        root = config.runs_folder / f".{folder.name}"
        last = (_kept(root) or [root])[-1]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with connection.open(base=config.base) as store:
            return read_source(store, source, config.graph, folder, kept=last, progress=progress)
    except (ConfigError, InvalidDataError):
        remove_trees([folder], inside=staging)
        raise


def keep_reading(snapshot: Snapshot, runs: Path) -> None:
    """Move a reading to where the next refresh looks for it; without a watermark that would be of no use.

    That is `.neo4j-<digest of what is read>/<number>` of the runs folder; the highest number counts, and a rename
    makes it.
    """
    if not (snapshot.plan.label_watermarks or snapshot.plan.type_watermarks):
        return
    root = runs / f".{snapshot.folder.name}"
    before = _kept(root)
    root.mkdir(parents=True, exist_ok=True)
    snapshot.folder.rename(root / f"{int(before[-1].name) + 1 if before else 1:08d}")
    fsync(root)
    remove_trees([*before, *(other for other in runs.glob(".neo4j-*") if other != root)], inside=runs)


def _kept(root: Path) -> list[Path]:
    """Readings that refreshes kept, oldest first; more than one only after a kill."""
    return sorted(path for path in root.iterdir() if path.name.isdigit()) if root.is_dir() else []
