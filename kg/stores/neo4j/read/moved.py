"""What moved in a Neo4j database while it was read: nodes that are gone, and internal ids given to new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kg.io.files import atomic_path
from kg.stores.neo4j.read.catalog import Catalog, count, label_pattern
from kg.stores.neo4j.read.columns import cast, column
from kg.stores.neo4j.read.page_tables import NAMING, above_zero
from kg.stores.neo4j.read.pages import IDENTITIES, Pages, bounds
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.snapshot import (
    GONE,
    PROPERTY,
    Content,
    Moved,
    ReadPlan,
    among,
    flat,
    load_page,
    page_groups,
    page_records,
)
from kg.stores.neo4j.read.start import Start

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore


def check_again(store: Neo4jStore, readers: Sequence[Reader], folder: Path, plan: ReadPlan, start: Start) -> Moved:
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
        present = now(record["low"], record["end"], sum(group["rows"] for group in record["groups"]))
        for group in record["groups"]:
            name = group["name"]
            nodes, before = _before(folder, group, keys.get(name))
            ids, after = present.pop(name, (np.empty(0, np.int64), pa.nulls(0, pa.string())))
            same = among(nodes, ids)
            counters["gone"][name] += int((~same).sum())
            at = np.searchsorted(ids, nodes[same])
            other = _differ(before.filter(pa.array(same)), after.take(pa.array(at)))
            counters["reused"][name] += int(other.sum())
            lost += [nodes[~same], nodes[same][other]]
            fresh = ids[~among(ids, nodes)]
            counters["new"][name] += len(fresh)
            late.append(fresh)
        for name, (ids, _) in present.items():
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
    parts_of: dict[str, list[tuple[Any, Any]]] = {}
    parameters = {"labels": list(plan.labels), "keys": wanted}
    for page in Pages(readers, IDENTITIES, parameters, low=low, end=end, limit=plan.page, total=total):
        for row in page.rows:
            ids = np.array(row["ids"], np.int64)
            named = [cast(column(values)[0], "text") for values in row["columns"]]
            parts_of.setdefault(row["name"], []).append((ids, named[0] if named else pa.nulls(len(ids), pa.string())))
    return {
        name: (np.concatenate([ids for ids, _ in parts]), pa.concat_arrays([named for _, named in parts]))
        for name, parts in parts_of.items()
    }


def _differ(before: Any, now: Any) -> Any:
    """Where two arrays of texts differ, null being a value."""
    equal = pc.fill_null(pc.equal(before, now), False)
    both_null = pc.and_(before.is_null(), now.is_null())
    return ~pc.or_(equal, both_null).to_numpy(zero_copy_only=False)


def left_out(folder: Path, plan: ReadPlan, moved: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Relationships by type without both ends: because a node moved, and because an end has no label that was read."""
    present = Content(folder, plan, page_groups(folder)).there()
    moving: dict[str, int] = Counter()
    outside: dict[str, int] = Counter()
    for group in page_groups(folder)["relationships"]:
        ends = load_page(folder / group["file"], ["source", "target"])
        ends = [ends[name].to_numpy() for name in ("source", "target")]
        missing = ~(among(ends[0], present) & among(ends[1], present))
        because = missing & (among(ends[0], moved) | among(ends[1], moved))
        moving[group["name"]] += int(because.sum())
        outside[group["name"]] += int((missing & ~because).sum())
    return above_zero(moving), above_zero(outside)
