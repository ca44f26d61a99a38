"""Reading a Neo4j database into Parquet pages: constant memory, and resumable page by page.

    with connection.open() as store:
        catalog = discover(store)
        plan = ReadPlan(labels=tuple(catalog.labels), types=tuple(catalog.types))
        snapshot = read_snapshot(store, folder, plan)
    movies = snapshot.nodes("Movie")

A database may change while it is read. Nodes come first, then relationships, then the nodes are looked at once more:
nodes that are gone, or whose internal id belongs to another node by now, are left out with their relationships, so no
relationship of a snapshot has an end that is not in it. `Snapshot.moved` says how much was left out.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kg.cypher.guard import check_read_only
from kg.errors import ArtifactError, InvalidDataError
from kg.io.files import atomic_path, read_json, remove_trees, write_json
from kg.progress import SILENT, Progress
from kg.stores.neo4j.read.catalog import Catalog, count, discover, identity, label_pattern, type_pattern
from kg.stores.neo4j.read.columns import cast, column
from kg.stores.neo4j.read.page_tables import NAMING, Keys, Piece, above_zero, keep_table, pieces_of, table_of
from kg.stores.neo4j.read.pages import IDENTITIES, NODES, RELATIONSHIPS, Pages, Reader, bounds
from kg.stores.neo4j.read.snapshot import (
    FORMAT_VERSION,
    GONE,
    INDEX,
    PLAN,
    PROPERTY,
    Content,
    Moved,
    ReadPlan,
    Snapshot,
    among,
    flat,
    load_page,
    near,
    page_groups,
    page_records,
)
from kg.stores.neo4j.read.watermarks import highest

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

logger = logging.getLogger(__name__)

# Enough to keep a server of two cores busy while a page is written; more would only hold more pages in memory.
SESSIONS = 2
_QUERY_ROWS = 20_000


def read_snapshot(
    store: Neo4jStore,
    folder: Path,
    plan: ReadPlan,
    *,
    catalog: Catalog | None = None,
    progress: Progress = SILENT,
    max_age: float = 3600.0,
    patience: float = 60.0,
    why: str = "",
) -> Snapshot:
    """Read a database into a folder; what an interrupted reading of the same plan left there is gone on with.

    Args:
        store: the database.
        folder: for the pages; nobody else may write there.
        plan: what to read.
        catalog: what `discover` has just found there; default: it is asked again.
        progress: who listens.
        max_age: seconds after which what is in the folder is too old to go on with, finished or not.
        patience: seconds in which to try again when the server does not answer.
        why: what is kept with the snapshot as the reason to read the whole database.

    Raises:
        InvalidDataError: the database has no such label or relationship type, or a query returns what is no value.
        QueryRefusedError: a query of the user's own does more than read.
        StoreUnavailableError: the server does not answer; the pages stay for the next try.
        QueryTimeoutError, StoreError: see `kg.stores.base.Store.query`.
    """
    for text in plan.queries.values():
        check_read_only(text)
    readers = [Reader(store, patience=patience) for _ in range(SESSIONS)]
    reader = readers[0]
    try:
        start = _begin(store, reader, folder, plan, catalog, max_age=max_age)
        if (folder / INDEX).exists():
            return Snapshot.open(folder)
        total = sum(start.catalog.labels[name].count for name in plan.labels)
        with progress.task("read nodes", total=total) as task:
            for rows in _read(readers, folder, "nodes", start, plan):
                task.advance(rows)
        total = sum(start.catalog.types[name].count for name in plan.types)
        with progress.task("read relationships", total=total) as task:
            for rows in _read(readers, folder, "relationships", start, plan):
                task.advance(rows)
        for number, (name, text) in enumerate(plan.queries.items()):
            with progress.task(f"read query {name}") as task:
                for rows in read_query(reader, folder, number, name, text):
                    task.advance(rows)
        with progress.task("check nodes") as task:
            moved = _check_again(store, readers, folder, plan, start)
            task.advance()
        with progress.task("close snapshot") as task:
            found = {what: sum(group["rows"] for group in groups) for what, groups in page_groups(folder).items()}
            read = {"how": "whole", "why": why, "nodes": found["nodes"], "relationships": found["relationships"]}
            finish(folder, plan, start, moved, read)
            task.advance()
    finally:
        for reader in readers:
            reader.close()
    return Snapshot.open(folder)


def is_begun(folder: Path, *, max_age: float) -> bool:
    """Whether a folder holds a reading, finished or not, that is young enough to go on with."""
    try:
        return 0 <= time.time() - float(read_json(folder / PLAN)["read_at"]) < max_age
    except (ArtifactError, KeyError, TypeError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Start:
    """What was known when reading began.

    Attributes:
        catalog: what the database held.
        read_at: UTC seconds.
        mark: stands for the last transaction (`kg.stores.neo4j.read.pages.Reader`).
        spans: "nodes" and "relationships" -> range of internal ids.
        watermarks: the highest ones (`kg.stores.neo4j.read.watermarks.highest`).
    """

    catalog: Catalog
    read_at: float
    mark: str | None
    spans: Mapping[str, tuple[int, int]]
    watermarks: Mapping[str, Mapping[str, Any]]


def _begin(
    store: Neo4jStore, reader: Reader, folder: Path, plan: ReadPlan, catalog: Catalog | None, *, max_age: float
) -> Start:
    """Go on with what is in the folder, or start anew."""
    wanted = _wanted(store, plan)
    reader.run("RETURN 1 AS one", {})
    if (folder / PLAN).exists():
        try:
            found = read_json(folder / PLAN)
            same = {key: found[key] for key in wanted} == wanted and found["catalog"]["database"] == identity(store)
            age = time.time() - found["read_at"]
            spans = {name: (low, end) for name, (low, end) in found["spans"].items()}
            if same and 0 <= age < max_age:
                return Start(
                    Catalog.from_json(found["catalog"]), found["read_at"], found["mark"], spans, found["watermarks"]
                )
        except (ArtifactError, KeyError, TypeError, ValueError):
            logger.warning("%s is damaged: reading starts anew", folder / PLAN)
    read_at, mark = time.time(), reader.mark
    catalog = discover(store) if catalog is None else catalog
    for names, there, what in (
        (plan.labels, catalog.labels, "label"),
        (plan.types, catalog.types, "relationship type"),
    ):
        for name in names:
            if name not in there:
                raise InvalidDataError(f"{store.name} has no {what} {name!r}{near(name, list(there))}")
    # Before anything is read: what is written meanwhile is above them and comes again with the next reading.
    watermarks = highest(reader, plan, catalog)
    spans = {
        "nodes": bounds(reader, [(label_pattern(name), {"name": name}) for name in plan.labels]),
        "relationships": bounds(reader, [(type_pattern(name), {"name": name}) for name in plan.types]),
    }
    # The plan goes first and comes last: pages without a plan are nobody's.
    (folder / PLAN).unlink(missing_ok=True)
    remove_trees([folder])
    folder.mkdir(parents=True)
    start = Start(catalog, read_at, mark, spans, watermarks)
    write_plan(store, folder, plan, start)
    return start


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


def _read(readers: Sequence[Reader], folder: Path, what: str, start: Start, plan: ReadPlan) -> Iterator[int]:
    """Read the pages of nodes or relationships that are not there yet; yields rows done, those found first."""
    low, end = start.spans[what]
    number = 0
    for record in page_records(folder, what):
        low, number = record["end"], number + 1
        yield sum(group["rows"] for group in record["groups"])
    names, facts = (plan.labels, start.catalog.labels) if what == "nodes" else (plan.types, start.catalog.types)
    query, parameter = (NODES, "labels") if what == "nodes" else (RELATIONSHIPS, "types")
    keys = Keys.of({name: facts[name].properties for name in names})
    parameters = {parameter: list(names), **keys.parameters()}
    total = sum(facts[name].count for name in names)
    pages = Pages(readers, query, parameters, low=low, end=end, limit=plan.page, total=total)
    for page in pages:
        pieces = pieces_of(page, keys)
        # An empty page is nothing to keep, but for the last one, which says that all is read.
        if pieces or page.end >= end:
            size = _write(folder, what, number, pieces, names, keys, low=low, end=page.end)
            number, low = number + 1, page.end
            if page.size:
                # A page of few rows says little about those that come.
                pages.bytes_a_row = max(size / page.size, pages.bytes_a_row / 2)
        yield page.size


def _write(
    folder: Path,
    what: str,
    number: int,
    pieces: Mapping[str, Piece],
    names: Sequence[str],
    keys: Keys,
    *,
    low: int,
    end: int,
) -> int:
    """Write the tables of a page, then the record that makes them count; returns their bytes in memory."""
    groups = []
    size = 0
    for name, piece in pieces.items():
        table = table_of(piece, keys.kinds[name], sort=what == "nodes")
        file = f"{what}-{number:08d}-{names.index(name):04d}.parquet"
        groups.append(keep_table(folder, file, name, table, piece.byte_arrays))
        size += table.nbytes
    write_json(folder / f"{what}-{number:08d}.json", {"low": low, "end": end, "groups": groups})
    return size


def read_query(reader: Reader, folder: Path, number: int, name: str, text: str) -> Iterator[int]:
    """Read the rows of a query of the user's own; one that was cut off begins again."""
    if (folder / f"query-{number:08d}.json").exists():
        return
    groups: list[dict[str, Any]] = []
    waiting: dict[str, list[Any]] = {}
    for row in reader.stream(text, {}):
        for key, value in row.items():
            waiting.setdefault(key, []).append(value)
        if len(next(iter(waiting.values()))) >= _QUERY_ROWS:
            yield _keep_rows(folder, number, name, waiting, groups)
    if waiting or not groups:
        for key in reader.columns:
            waiting.setdefault(key, [])
        yield _keep_rows(folder, number, name, waiting, groups)
    write_json(folder / f"query-{number:08d}.json", {"groups": groups})


def _keep_rows(
    folder: Path, number: int, name: str, waiting: dict[str, list[Any]], groups: list[dict[str, Any]]
) -> int:
    arrays: dict[str, Any] = {}
    left_out = {}
    for key, values in waiting.items():
        arrays[key], bytes_there = column(values)
        if bytes_there:
            left_out[key] = bytes_there
    table = pa.table(arrays)
    groups.append(keep_table(folder, f"query-{number:08d}-{len(groups):08d}.parquet", name, table, left_out))
    waiting.clear()
    return int(table.num_rows)


def _check_again(store: Neo4jStore, readers: Sequence[Reader], folder: Path, plan: ReadPlan, start: Start) -> Moved:
    """Look at all nodes once more, if anything was written meanwhile; ids gone or re-used are kept in a file."""
    keys = identities(plan, start.catalog)
    counters: dict[str, Counter[str]] = {"gone": Counter(), "reused": Counter(), "new": Counter()}
    lost: list[Any] = [np.empty(0, np.int64)]
    late: list[Any] = [np.empty(0, np.int64)]

    def now(low: int, end: int, total: int) -> dict[str, tuple[Any, Any]]:
        return _now(readers, plan, keys, low, end, total)

    readers[0].run("RETURN 1 AS one", {})
    still = readers[0].mark is not None and readers[0].mark == start.mark
    for record in () if still else page_records(folder, "nodes"):
        there = now(record["low"], record["end"], sum(group["rows"] for group in record["groups"]))
        for group in record["groups"]:
            name = group["name"]
            nodes, before = _before(folder, group, keys.get(name))
            ids, after = there.pop(name, (np.empty(0, np.int64), pa.nulls(0, pa.string())))
            same = among(nodes, ids)
            counters["gone"][name] += int((~same).sum())
            at = np.searchsorted(ids, nodes[same])
            other = _differ(before.filter(pa.array(same)), after.take(pa.array(at)))
            counters["reused"][name] += int(other.sum())
            lost += [nodes[~same], nodes[same][other]]
            fresh = ids[~among(ids, nodes)]
            counters["new"][name] += len(fresh)
            late.append(fresh)
        for name, (ids, _) in there.items():
            counters["new"][name] += len(ids)
            late.append(ids)
    first, last = start.spans["nodes"]
    low, end = first, last
    if not still:
        low, end = bounds(readers[0], [(label_pattern(name), {"name": name}) for name in plan.labels])
    for begin, stop in ((low, min(first, end)), (max(last, low), end)):
        for name, (ids, _) in now(begin, stop, 0).items():
            counters["new"][name] += len(ids)
            late.append(ids)
    gone = np.unique(np.concatenate(lost))
    with atomic_path(folder / GONE) as temporary:
        pq.write_table(pa.table({"node": pa.array(gone, pa.int64())}), temporary)
    relationships, outside = left_out(folder, plan, np.unique(np.concatenate([gone, *late])))
    counts = count(store, plan.labels, plan.types)
    return Moved(
        **{name: above_zero(numbers) for name, numbers in counters.items()},
        relationships=relationships,
        outside=outside,
        labels={name: (start.catalog.labels[name].count, counts.labels[name]) for name in plan.labels},
        types={name: (start.catalog.types[name].count, counts.types[name]) for name in plan.types},
    )


def identities(plan: ReadPlan, catalog: Catalog) -> dict[str, str]:
    """The property of each label that tells one node from another, where there is one."""
    keys = {}
    for name in plan.labels:
        facts = catalog.labels[name]
        key = plan.keys.get(name) or (facts.unique[0] if len(facts.unique) == 1 else "id")
        if facts.properties.get(key) and set(facts.properties[key]) <= NAMING:
            keys[name] = key
    return keys


def _before(folder: Path, group: Mapping[str, Any], key: str | None) -> tuple[Any, Any]:
    """Ids of the nodes of a page as they were read, and what names them, as text."""
    columns = ["node", *([PROPERTY + key] if key is not None and PROPERTY + key in group["types"] else [])]
    table = load_page(folder / group["file"], columns)
    named = pa.nulls(len(table), pa.string()) if len(columns) == 1 else cast(flat(table[columns[1]]), "text")
    return table["node"].to_numpy(), named


def _now(
    readers: Sequence[Reader], plan: ReadPlan, keys: Mapping[str, str], low: int, end: int, total: int
) -> dict[str, tuple[Any, Any]]:
    """By label, the ids of the nodes that are there now, ascending, and what names them, as text."""
    wanted = {name: [keys[name]] if name in keys else [] for name in plan.labels}
    found: dict[str, list[tuple[Any, Any]]] = {}
    parameters = {"labels": list(plan.labels), "keys": wanted}
    for page in Pages(readers, IDENTITIES, parameters, low=low, end=end, limit=plan.page, total=total):
        for row in page.rows:
            ids = np.array(row["ids"], np.int64)
            named = [cast(column(values)[0], "text") for values in row["columns"]]
            found.setdefault(row["name"], []).append((ids, named[0] if named else pa.nulls(len(ids), pa.string())))
    return {
        name: (np.concatenate([ids for ids, _ in parts]), pa.concat_arrays([named for _, named in parts]))
        for name, parts in found.items()
    }


def _differ(one: Any, other: Any) -> Any:
    """Where two arrays of texts differ, null being a value."""
    equal = pc.fill_null(pc.equal(one, other), False)
    both_null = pc.and_(one.is_null(), other.is_null())
    return ~pc.or_(equal, both_null).to_numpy(zero_copy_only=False)


def left_out(folder: Path, plan: ReadPlan, moved: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Relationships by type without both ends: because a node moved, and because an end has no label that was read."""
    there = Content(folder, plan, page_groups(folder)).there()
    moving: dict[str, int] = Counter()
    outside: dict[str, int] = Counter()
    for group in page_groups(folder)["relationships"]:
        ends = load_page(folder / group["file"], ["source", "target"])
        ends = [ends[name].to_numpy() for name in ("source", "target")]
        missing = ~(among(ends[0], there) & among(ends[1], there))
        because = missing & (among(ends[0], moved) | among(ends[1], moved))
        moving[group["name"]] += int(because.sum())
        outside[group["name"]] += int((missing & ~because).sum())
    return above_zero(moving), above_zero(outside)


def finish(folder: Path, plan: ReadPlan, start: Start, moved: Moved, read: Mapping[str, Any]) -> None:
    """Write the file that makes a snapshot of the pages; `read` tells how they were read."""
    groups = page_groups(folder)
    content = Content(folder, plan, groups)
    byte_arrays: dict[str, int] = Counter()
    for group in (group for kind in groups.values() for group in kind):
        for key, number in group["byte_arrays"].items():
            byte_arrays[f"{group['name']}.{key}"] += number
    write_json(
        folder / INDEX,
        {
            "format_version": FORMAT_VERSION,
            "plan": plan.to_json(),
            "catalog": start.catalog.to_json(),
            "read_at": start.read_at,
            "digest": content.digest(),
            "moved": moved.to_json(),
            "byte_arrays": above_zero(byte_arrays),
            "read": {**read, "tombstones": content.tombstones()},
            "watermarks": start.watermarks,
        },
    )
