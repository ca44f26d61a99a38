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

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kg.cypher.guard import check_read_only
from kg.io.files import write_json
from kg.progress import SILENT, Progress
from kg.stores.neo4j.read.catalog import Catalog
from kg.stores.neo4j.read.columns import column
from kg.stores.neo4j.read.moved import check_again
from kg.stores.neo4j.read.page_tables import Keys, Piece, above_zero, keep_table, pieces_of, table_of
from kg.stores.neo4j.read.pages import NODES, RELATIONSHIPS, Pages
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.snapshot import (
    FORMAT_VERSION,
    INDEX,
    Content,
    Moved,
    ReadPlan,
    Snapshot,
    page_groups,
    page_records,
)
from kg.stores.neo4j.read.start import Start, begin

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

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
        catalog: what `discover` has just returned; default: it is called.
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
        start = begin(store, reader, folder, plan, catalog, max_age=max_age)
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
            moved = check_again(store, readers, folder, plan, start)
            task.advance()
        with progress.task("close snapshot") as task:
            rows_of = {kind: sum(group["rows"] for group in groups) for kind, groups in page_groups(folder).items()}
            read = {"how": "whole", "why": why, "nodes": rows_of["nodes"], "relationships": rows_of["relationships"]}
            finish(folder, plan, start, moved, read)
            task.advance()
    finally:
        for reader in readers:
            reader.close()
    return Snapshot.open(folder)


def _read(readers: Sequence[Reader], folder: Path, element: str, start: Start, plan: ReadPlan) -> Iterator[int]:
    """Read the pages of nodes or relationships that are not there yet; yields rows done, first those that are there."""
    low, end = start.spans[element]
    number = 0
    for record in page_records(folder, element):
        low, number = record["end"], number + 1
        yield sum(group["rows"] for group in record["groups"])
    names, facts = (plan.labels, start.catalog.labels) if element == "nodes" else (plan.types, start.catalog.types)
    query, parameter = (NODES, "labels") if element == "nodes" else (RELATIONSHIPS, "types")
    keys = Keys.of({name: facts[name].properties for name in names})
    parameters = {parameter: list(names), **keys.parameters()}
    total = sum(facts[name].count for name in names)
    pages = Pages(readers, query, parameters, low=low, end=end, limit=plan.page, total=total)
    for page in pages:
        pieces = pieces_of(page, keys)
        # An empty page is nothing to keep, but for the last one, which says that all is read.
        if pieces or page.end >= end:
            size = _write(folder, element, number, pieces, names, keys, low=low, end=page.end)
            number, low = number + 1, page.end
            if page.size:
                # A page of few rows says little about those that come.
                pages.bytes_a_row = max(size / page.size, pages.bytes_a_row / 2)
        yield page.size


def _write(
    folder: Path,
    element: str,
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
        table = table_of(piece, keys.kinds[name], sort=element == "nodes")
        file = f"{element}-{number:08d}-{names.index(name):04d}.parquet"
        groups.append(keep_table(folder, file, name, table, piece.byte_arrays))
        size += table.nbytes
    write_json(folder / f"{element}-{number:08d}.json", {"low": low, "end": end, "groups": groups})
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


def finish(folder: Path, plan: ReadPlan, start: Start, moved: Moved, read: Mapping[str, Any]) -> None:
    """Write the file that makes a snapshot of the pages; `read` says how they were read."""
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
