"""A snapshot of a Neo4j database brought up to date: only what is new or changed comes over the wire.

What is at or above the highest watermark of the last reading is read, equal ones included, and put in the place of what
had its internal id; so a row that is read twice is there once. Of labels and types without a watermark everything is
read. A watermark cannot see what was deleted, nor what a long transaction or a clock that was turned back stamped with
an older time. Therefore the numbers of nodes and relationships are compared with the server's after every update;
where they differ, where a highest watermark went back, and every so many updates, the keys and watermarks of all nodes
and relationships are compared, without their other properties, and what differs is read or dropped.

Internal ids of deleted nodes are given to new ones. A node whose key is another one than that of its id before is
therefore taken with the relationships that it has now, and with none of those before.

The result is what a reading of the whole database would give: the same tables, the same digest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kg.cypher.guard import check_read_only
from kg.io.files import atomic_path, fsync
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from kg.stores.neo4j.read.catalog import Catalog, LabelFacts, TypeFacts, count
from kg.stores.neo4j.read.changes import Changes, TooMuchChangedError
from kg.stores.neo4j.read.comparison import read_differing, why_compare
from kg.stores.neo4j.read.moved import left_out
from kg.stores.neo4j.read.new_pages import write_pages
from kg.stores.neo4j.read.page_tables import TEMPORAL
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.reading import SESSIONS, finish, read_query
from kg.stores.neo4j.read.snapshot import GONE, Moved, ReadPlan, Snapshot
from kg.stores.neo4j.read.start import write_plan

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

logger = logging.getLogger(__name__)


def why_whole(kept: Snapshot, plan: ReadPlan, catalog: Catalog) -> str | None:
    """Why a snapshot cannot be brought up to date, or None when it can.

    Args:
        kept: of an earlier reading.
        plan: what is to be read now.
        catalog: what the database holds now.
    """
    if kept.catalog.database != catalog.database:
        return "it is another database than at the last reading"
    if kept.plan.to_json() != plan.to_json():
        return "other labels, types or keys are to be read than at the last reading"
    if not plan.label_watermarks and not plan.type_watermarks:
        return "no label and no type has a watermark"
    sides: tuple[tuple[Sequence[str], Mapping[str, LabelFacts | TypeFacts], Mapping[str, LabelFacts | TypeFacts]], ...]
    sides = (
        (plan.labels, kept.catalog.labels, catalog.labels),
        (plan.types, kept.catalog.types, catalog.types),
    )
    for names, before, now in sides:
        for name in names:
            for key, types in before[name].properties.items():
                if key in (*plan.hidden, plan.tombstone):
                    continue
                after = set(now[name].properties.get(key, ()))
                # Pages that were read keep the wider type; and how dates and times are written depends on all of them.
                scalars = {kind.removesuffix("Array") for kind in {*types, *after}}
                if set(types) - after or (set(types) != after and not scalars.isdisjoint(TEMPORAL)):
                    return f"the values of {name}.{key} are of other types than at the last reading"
    return None


def update_snapshot(
    store: Neo4jStore,
    folder: Path,
    old: Snapshot,
    plan: ReadPlan,
    *,
    catalog: Catalog,
    compare: bool = False,
    patience: float = 60.0,
    progress: Progress = SILENT,
) -> Snapshot | None:
    """Bring a snapshot up to date in a new folder; the old one stays as it is.

    Args:
        store: the database.
        folder: for the new snapshot, whole or not at all: it must not exist.
        old: the one to bring up to date, for which `why_whole` has no reason.
        plan: what to read.
        catalog: what `discover` has just returned.
        compare: compare all keys and watermarks, also where no number differs.
        patience: seconds in which to try again when the server does not answer.
        progress: who listens.

    Returns:
        The new snapshot, or None when so much changed that everything should be read.

    Raises:
        ArtifactError: the old snapshot is damaged.
        QueryRefusedError: a query of the user's own does more than read.
        StoreUnavailableError, QueryTimeoutError, StoreError: see `kg.stores.base.Store.query`.
    """
    for text in plan.queries.values():
        check_read_only(text)
    readers = [Reader(store, patience=patience) for _ in range(SESSIONS)]
    staging = folder.with_name(f"{folder.name}.update")
    remove_trees([staging])
    staging.mkdir(parents=True)
    try:
        changes = Changes(readers, old, plan, catalog, progress)
        changes.read()
        compared = "it is time to" if compare else why_compare(changes, store)
        if compared:
            logger.info("all keys of %s are compared: %s", store.name, compared)
            with progress.task("compare all keys"):
                read_differing(changes)
        _write(store, staging, changes, compared, progress)
    except TooMuchChangedError:
        remove_trees([staging])
        return None
    finally:
        for reader in readers:
            reader.close()
    staging.rename(folder)
    fsync(folder.parent)
    return Snapshot.open(folder)


def _write(store: Neo4jStore, folder: Path, changes: Changes, compared: str, progress: Progress) -> None:
    """Write the new snapshot; `compared` is why all keys were compared, or empty."""
    plan, catalog, old = changes.plan, changes.catalog, changes.old
    with progress.task("write changed pages"):
        for side in (changes.nodes, changes.relationships):
            write_pages(changes, folder, side)
    for number, (name, text) in enumerate(plan.queries.items()):
        with progress.task(f"read query {name}") as task:
            for rows in read_query(changes.reader, folder, number, name, text):
                task.advance(rows)
    with progress.task("close snapshot"):
        with atomic_path(folder / GONE) as temporary:
            pq.write_table(pa.table({"node": pa.array([], pa.int64())}), temporary)
        moved, outside = left_out(folder, plan, np.empty(0, np.int64))
        counts = count(store, plan.labels, plan.types)
        facts = Moved(
            relationships=moved,
            outside=outside,
            labels={name: (catalog.labels[name].count, counts.labels[name]) for name in plan.labels},
            types={name: (catalog.types[name].count, counts.types[name]) for name in plan.types},
        )
        read = {
            "how": "changes",
            "why": compared,
            "nodes": sum(len(table) for table in changes.nodes.fresh.values()),
            "relationships": sum(len(table) for table in changes.relationships.fresh.values()),
            "compared": bool(compared),
            "since_compared": 0 if compared else old.read.get("since_compared", 0) + 1,
        }
        write_plan(store, folder, plan, changes.start)
        finish(folder, plan, changes.start, facts, read)
