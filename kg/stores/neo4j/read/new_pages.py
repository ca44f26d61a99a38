"""The pages of an updated snapshot: those in which nothing changed are linked to the old ones, not copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kg.io.files import link_or_copy, write_json
from kg.stores.neo4j.read.changes import Changes, Side
from kg.stores.neo4j.read.page_tables import joined, keep_table
from kg.stores.neo4j.read.snapshot import among, load_page, page_records


def write_pages(changes: Changes, folder: Path, side: Side) -> None:
    """Write the nodes or the relationships of the new snapshot, page by page."""
    low, number = np.iinfo(np.int64).min, 0
    for record in page_records(changes.old.folder, side.element):
        _write_page(changes, folder, side, number, record["groups"], low, record["end"])
        low, number = record["end"], number + 1
    rest = np.sort(
        np.concatenate([np.empty(0, np.int64), *(t[side.id_column].to_numpy() for t in side.fresh.values())])
    )
    rest = rest[rest >= low]
    ends = [*rest[changes.plan.page :: changes.plan.page].tolist(), int(rest[-1]) + 1] if len(rest) else []
    for end in ends:
        _write_page(changes, folder, side, number, [], low, end)
        low, number = end, number + 1


def _write_page(
    changes: Changes, folder: Path, side: Side, number: int, groups: Sequence[Mapping[str, Any]], low: int, end: int
) -> None:
    """One page: what is kept of it, and what came for ids from `low` to before `end`."""
    old = {group["name"]: group for group in groups}
    written, linked = [], 0
    for place, name in enumerate(side.names):
        fresh = side.fresh.get(name)
        if fresh is not None:
            first, last = np.searchsorted(fresh[side.id_column].to_numpy(), [low, end])
            fresh = fresh.slice(first, last - first) if last > first else None
        group = old.get(name)
        stays: Any = None
        if group is not None:
            path = changes.old.folder / group["file"]
            stays = ~among(load_page(path, [side.id_column])[side.id_column].to_numpy(), side.replaced)
        file = f"{side.element}-{number:08d}-{place:04d}.parquet"
        if group is not None and fresh is None and stays.all():
            link_or_copy(changes.old.folder / group["file"], folder / file)
            written.append({**group, "file": file})
            linked += 1
            continue
        parts = [] if group is None else [load_page(changes.old.folder / group["file"]).filter(pa.array(stays))]
        parts += [] if fresh is None else [fresh]
        table = joined(parts).sort_by(side.id_column) if parts else None
        if table is not None and len(table):
            counted = Counter({} if group is None else group["byte_arrays"])
            counted.update({} if fresh is None else side.byte_arrays.pop(name, {}))
            written.append(keep_table(folder, file, name, _narrow(table), counted))
    record = f"{side.element}-{number:08d}.json"
    if groups and linked == len(groups) == len(written):
        link_or_copy(changes.old.folder / record, folder / record)
    else:
        write_json(folder / record, {"low": max(low, 0), "end": end, "groups": written})


def _narrow(table: Any) -> Any:
    """A page's table in which a column without any value has no type, as if it had been read so."""
    for at, column in enumerate(table.column_names):
        if table[column].null_count == len(table):
            table = table.set_column(at, column, pa.nulls(len(table)))
    return table
