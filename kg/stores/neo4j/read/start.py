"""Where a reading of a Neo4j database begins: anew, or with what an interrupted one of the same plan left."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import ArtifactError, InvalidDataError
from kg.io.files import read_json, write_json
from kg.io.removal import remove_trees
from kg.stores.neo4j.read.catalog import Catalog, discover, identity, label_pattern, type_pattern
from kg.stores.neo4j.read.pages import bounds
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.snapshot import FORMAT_VERSION, PLAN, ReadPlan, near
from kg.stores.neo4j.read.watermarks import highest

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What held when a reading began.

    Attributes:
        catalog: what the database held.
        read_at: UTC seconds.
        mark: identifies the last transaction (`kg.stores.neo4j.read.reader.Reader`).
        spans: "nodes" and "relationships" -> range of internal ids.
        watermarks: the highest ones (`kg.stores.neo4j.read.watermarks.highest`).
    """

    catalog: Catalog
    read_at: float
    mark: str | None
    spans: Mapping[str, tuple[int, int]]
    watermarks: Mapping[str, Mapping[str, Any]]


def begin(
    store: Neo4jStore, reader: Reader, folder: Path, plan: ReadPlan, catalog: Catalog | None, *, max_age: float
) -> Start:
    """Go on with what is in the folder, or start anew."""
    wanted = _wanted(store, plan)
    reader.run("RETURN 1 AS one", {})
    if (folder / PLAN).exists():
        try:
            kept = read_json(folder / PLAN)
            same = {key: kept[key] for key in wanted} == wanted and kept["catalog"]["database"] == identity(store)
            age = time.time() - kept["read_at"]
            spans = {name: (low, end) for name, (low, end) in kept["spans"].items()}
            if same and 0 <= age < max_age:
                return Start(
                    Catalog.from_json(kept["catalog"]), kept["read_at"], kept["mark"], spans, kept["watermarks"]
                )
        except (ArtifactError, KeyError, TypeError, ValueError):
            logger.warning("%s is damaged: reading starts anew", folder / PLAN)
    read_at, mark = time.time(), reader.mark
    catalog = discover(store) if catalog is None else catalog
    for names, present, noun in (
        (plan.labels, catalog.labels, "label"),
        (plan.types, catalog.types, "relationship type"),
    ):
        for name in names:
            if name not in present:
                raise InvalidDataError(f"{store.name} has no {noun} {name!r}{near(name, list(present))}")
    # Before anything is read: what is written meanwhile is above them and comes again with the next reading.
    watermarks = highest(reader, plan, catalog)
    spans = {
        "nodes": bounds(reader, [(label_pattern(name), {"name": name}) for name in plan.labels]),
        "relationships": bounds(reader, [(type_pattern(name), {"name": name}) for name in plan.types]),
    }
    # The plan is removed first and written last: pages without a plan are never gone on with.
    (folder / PLAN).unlink(missing_ok=True)
    remove_trees([folder], inside=folder.parent)
    folder.mkdir(parents=True)
    start = Start(catalog, read_at, mark, spans, watermarks)
    write_plan(store, folder, plan, start)
    return start


def is_begun(folder: Path, *, max_age: float) -> bool:
    """Whether a folder holds a reading, finished or not, that is young enough to go on with."""
    try:
        return 0 <= time.time() - float(read_json(folder / PLAN)["read_at"]) < max_age
    except (ArtifactError, KeyError, TypeError, ValueError):
        return False


def write_plan(store: Neo4jStore, folder: Path, plan: ReadPlan, start: Start) -> None:
    """Write the file by which a reading of the same plan finds what is in a folder."""
    facts = {
        "read_at": start.read_at,
        "mark": start.mark,
        "spans": start.spans,
        "watermarks": start.watermarks,
        "catalog": start.catalog.to_json(),
    }
    write_json(folder / PLAN, {**_wanted(store, plan), **facts})


def _wanted(store: Neo4jStore, plan: ReadPlan) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, "store": store.name, "plan": plan.to_json()}
