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
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kg.arrays import IntArray
from kg.cypher.guard import check_read_only
from kg.io.files import atomic_path, fsync, link_or_copy, remove_trees, write_json
from kg.progress import SILENT, Progress
from kg.stores.neo4j.read.catalog import Catalog, LabelFacts, TypeFacts, count, label_pattern, type_pattern
from kg.stores.neo4j.read.columns import TYPES, cast, meet, type_name
from kg.stores.neo4j.read.page_tables import TEMPORAL, Keys, keep_table, pieces_of, table_of
from kg.stores.neo4j.read.pages import NODES, RELATIONSHIPS, Pages, Reader, bounds, by_ids
from kg.stores.neo4j.read.reading import SESSIONS, Start, finish, identities, left_out, read_query, write_plan
from kg.stores.neo4j.read.snapshot import (
    GONE,
    PROPERTY,
    Moved,
    ReadPlan,
    Snapshot,
    among,
    flat,
    load_page,
    page_groups,
    page_records,
)
from kg.stores.neo4j.read.watermarks import all_ids, changed_ids, highest, is_comparable, went_back

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

logger = logging.getLogger(__name__)

# Beyond this share of what is there, and this number, a reading of everything in constant memory is the better one.
LARGEST_SHARE, FEW = 0.5, 20_000
# Ids in a query.
_PART = 10_000
_NODES_AT = """UNWIND $ids AS i
MATCH (n)-[x]-() WHERE id(n) = i AND type(x) IN $types
RETURN collect(DISTINCT id(x)) AS ids"""


class TooMuchChangedError(Exception):
    """An update would read more than a reading of everything should cost; never leaves `update_snapshot`."""


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
    kept: Snapshot,
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
        kept: the old one, for which `why_whole` has no reason.
        plan: what to read.
        catalog: what `discover` has just found there.
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
        update = _Update(store, readers, kept, plan, catalog, progress)
        update.read(compare=compare)
        update.write(staging)
    except TooMuchChangedError:
        remove_trees([staging])
        return None
    finally:
        for reader in readers:
            reader.close()
    staging.rename(folder)
    fsync(folder.parent)
    return Snapshot.open(folder)


@dataclass(slots=True)
class _Side:
    """The nodes or the relationships of an update.

    Attributes:
        what: "nodes" or "relationships".
        own: the column of their internal ids.
        query, parameters: read them by id.
        names: labels or types.
        marks: name -> property of its watermark.
        keys: how the server sends their properties.
        replaced: ids that were asked for again, ascending: what the kept pages have of them does not count any more.
        fresh: name -> what came for these.
        byte_arrays: name -> property -> how many of those were left out.
    """

    what: str
    own: str
    query: str
    parameters: dict[str, Any]
    names: tuple[str, ...]
    marks: Mapping[str, str]
    keys: Keys
    replaced: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    fresh: dict[str, Any] = field(default_factory=dict)
    byte_arrays: dict[str, Counter[str]] = field(default_factory=dict)


class _Update:
    def __init__(
        self,
        store: Neo4jStore,
        readers: Sequence[Reader],
        kept: Snapshot,
        plan: ReadPlan,
        catalog: Catalog,
        progress: Progress,
    ) -> None:
        self.store, self.readers, self.reader = store, readers, readers[0]
        self.kept, self.plan, self.catalog, self.progress = kept, plan, catalog, progress
        self.groups = page_groups(kept.folder)
        self.identities = identities(plan, catalog)
        self.compared = ""
        node_keys = Keys.of({name: catalog.labels[name].properties for name in plan.labels})
        self.nodes = _Side(
            "nodes",
            "node",
            NODES,
            {"labels": list(plan.labels), **node_keys.parameters()},
            plan.labels,
            plan.label_watermarks,
            node_keys,
        )
        type_keys = Keys.of({name: catalog.types[name].properties for name in plan.types})
        self.relationships = _Side(
            "relationships",
            "relationship",
            RELATIONSHIPS,
            {"types": list(plan.types), **type_keys.parameters()},
            plan.types,
            plan.type_watermarks,
            type_keys,
        )

    # What is read

    def read(self, *, compare: bool) -> None:
        """Find and read what changed."""
        self.reader.run("RETURN 1 AS one", {})
        read_at, mark = time.time(), self.reader.mark
        now = highest(self.reader, self.plan, self.catalog)
        self.start = Start(self.catalog, read_at, mark, {"nodes": (0, 0), "relationships": (0, 0)}, now)
        before = self.kept.watermarks
        with self.progress.task("look for changed nodes"):
            ids = self._listed(self.nodes, label_pattern, before["labels"], now["labels"])
            gone = load_page(self.kept.folder / GONE)["node"].to_numpy()
        with self.progress.task("read changed nodes", total=len(ids)) as task:
            for rows in self._fetch(self.nodes, np.union1d(ids, gone)):
                task.advance(rows)
        with self.progress.task("look for changed relationships"):
            ids = self._listed(self.relationships, type_pattern, before["types"], now["types"])
            ids = np.union1d(ids, self._of_strangers(gone))
        with self.progress.task("read changed relationships", total=len(ids)) as task:
            for rows in self._fetch(self.relationships, ids):
                task.advance(rows)
        self.compared = "it is time to" if compare else self._why_compare(before, now)
        if self.compared:
            logger.info("all keys of %s are compared: %s", self.store.name, self.compared)
            with self.progress.task("compare all keys"):
                self._compare()

    def _listed(self, side: _Side, pattern: Any, before: Mapping[str, Any], now: Mapping[str, Any]) -> IntArray:
        """Ids at or above the watermark, and all, those of the last reading too, where there is none."""
        found = [np.empty(0, np.int64)]
        for name in side.names:
            if name in side.marks and is_comparable(before.get(name), now.get(name)):
                found.append(changed_ids(self.reader, pattern(name), name, side.marks[name], before[name]))
            else:
                found += [all_ids(self.reader, pattern(name), name), self._kept_ids(side, name)]
        return np.unique(np.concatenate(found))

    def _kept_ids(self, side: _Side, name: str) -> IntArray:
        return np.concatenate(
            [
                np.empty(0, np.int64),
                *(
                    load_page(self.kept.folder / group["file"], [side.own])[side.own].to_numpy()
                    for group in self.groups[side.what]
                    if group["name"] == name
                ),
            ]
        )

    def _fetch(self, side: _Side, ids: IntArray) -> Iterator[int]:
        """Read some ids; from now on what was known of them does not count, whether they are there or not."""
        total = sum(group["rows"] for group in self.groups[side.what])
        if len(side.replaced) + len(ids) > max(FEW, LARGEST_SHARE * total):
            raise TooMuchChangedError
        found: dict[str, list[Any]] = {
            name: [table.filter(pa.array(~among(table[side.own].to_numpy(), ids)))]
            for name, table in side.fresh.items()
        }
        for page in by_ids(self.reader, side.query, side.parameters, ids, limit=min(self.plan.page, _PART)):
            for name, piece in pieces_of(page, side.keys).items():
                table = table_of(piece, side.keys.kinds[name], sort=False)
                found.setdefault(name, []).append(table)
                side.byte_arrays.setdefault(name, Counter()).update(piece.byte_arrays)
            yield page.size
        side.fresh = {name: _joined(tables).sort_by(side.own) for name, tables in found.items()}
        side.replaced = np.union1d(side.replaced, ids)

    def _of_strangers(self, gone: Any) -> IntArray:
        """Ids of the relationships of nodes whose internal id is, or was, that of another one: of now and of before."""
        strangers = np.union1d(gone, self._strangers())
        if not len(strangers):
            return np.empty(0, np.int64)
        found = []
        for start in range(0, len(strangers), _PART):
            parameters = {"ids": strangers[start : start + _PART].tolist(), "types": list(self.plan.types)}
            found += [np.array(row["ids"], np.int64) for row in self.reader.run(_NODES_AT, parameters)]
        for _, table in self._rows(self.relationships, ["source", "target"]):
            ends = [among(table[end].to_numpy(), strangers) for end in ("source", "target")]
            found.append(table["relationship"].to_numpy()[ends[0] | ends[1]])
        return np.unique(np.concatenate(found))

    def _strangers(self) -> IntArray:
        """Nodes that are gone, and those that are there under another label or key than before."""
        asked = self.nodes.replaced
        now = {name: table for name, table in self.nodes.fresh.items() if len(table)}
        same = [np.empty(0, np.int64)]
        known = [np.empty(0, np.int64)]
        for group in self.groups["nodes"]:
            name = group["name"]
            key = self.identities.get(name)
            column = PROPERTY + str(key)
            columns = ["node", *([column] if column in group["types"] else [])]
            old = load_page(self.kept.folder / group["file"], columns)
            old = old.filter(pa.array(among(old["node"].to_numpy(), asked)))
            known.append(old["node"].to_numpy())
            if key is None or name not in now or not len(old):
                continue
            new = now[name]
            old = old.filter(pa.array(among(old["node"].to_numpy(), new["node"].to_numpy())))
            at = np.searchsorted(new["node"].to_numpy(), old["node"].to_numpy())
            equal = pc.equal(_text(old, column), _text(new, column).take(pa.array(at)))
            same.append(old["node"].to_numpy()[pc.fill_null(equal, False).to_numpy(zero_copy_only=False)])
        return np.setdiff1d(np.concatenate(known), np.concatenate(same))

    # What a watermark does not see

    def _why_compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
        for side in ("labels", "types"):
            for name, mark in now[side].items():
                if went_back(self.reader, before[side][name], mark):
                    return f"the highest watermark of {name} went back"
        there = count(self.store, self.plan.labels, self.plan.types)
        labels: Counter[str] = Counter()
        for _, table in self._rows(self.nodes, ["labels"]):
            counts = pc.value_counts(flat(table["labels"]).flatten())
            labels.update(
                dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
            )
        types: Counter[str] = Counter()
        for name, table in self._rows(self.relationships, []):
            types[name] += len(table)
        for found, counted in ((labels, there.labels), (types, there.types)):
            for name, number in counted.items():
                if found[name] != number:
                    return f"{found[name]} {name} are known, and {number} are there"
        return ""

    def _compare(self) -> None:
        """Read what is there and not known, or known with another key or watermark; forget what is not there."""
        wanted: dict[str, dict[str, Any]] = {}
        for name in self.plan.labels:
            properties = self.catalog.labels[name].properties
            keys = {named[name] for named in (self.identities, self.nodes.marks) if name in named}
            wanted[name] = {key: properties[key] for key in sorted(keys) if key in properties}
        different = self._differing(self.nodes, label_pattern, wanted, ["labels"])
        for _ in self._fetch(self.nodes, different):
            pass
        wanted = {}
        for name in self.plan.types:
            properties = self.catalog.types[name].properties
            wanted[name] = {
                key: kinds for key, kinds in properties.items() if key == self.relationships.marks.get(name)
            }
        different = self._differing(self.relationships, type_pattern, wanted, ["source", "target"])
        # Strangers found by the comparison have relationships like those found before it.
        different = np.union1d(different, self._of_strangers(np.empty(0, np.int64)))
        for _ in self._fetch(self.relationships, different):
            pass

    def _differing(
        self, side: _Side, pattern: Any, wanted: Mapping[str, Mapping[str, Any]], fixed: Sequence[str]
    ) -> IntArray:
        keys = Keys.of(wanted)
        low, end = bounds(self.reader, [(pattern(name), {"name": name}) for name in side.names])
        first = next(iter(side.parameters))
        parameters = {first: side.parameters[first], **keys.parameters()}
        total = sum(group["rows"] for group in self.groups[side.what])
        now: dict[str, list[tuple[Any, Any]]] = {}
        pages = Pages(self.readers, side.query, parameters, low=low, end=end, limit=self.plan.page, total=total)
        for page in pages:
            for name, piece in pieces_of(page, keys).items():
                table = table_of(piece, keys.kinds[name], sort=False)
                now.setdefault(name, []).append((table[side.own].to_numpy(), _signature(table, fixed, wanted[name])))
        known: dict[str, list[tuple[Any, Any]]] = {}
        columns = [PROPERTY + key for key in {key for keys_of in wanted.values() for key in keys_of}]
        for name, table in self._rows(side, [*fixed, *columns]):
            known.setdefault(name, []).append((table[side.own].to_numpy(), _signature(table, fixed, wanted[name])))
        found = [np.empty(0, np.int64)]
        for name in side.names:
            (ids, signature), (old_ids, old_signature) = _by_id(now.get(name, [])), _by_id(known.get(name, []))
            found += [ids[~among(ids, old_ids)], old_ids[~among(old_ids, ids)]]
            both = among(ids, old_ids)
            old = old_signature.take(pa.array(np.searchsorted(old_ids, ids[both])))
            found.append(ids[both][pc.not_equal(signature.filter(pa.array(both)), old).to_numpy(zero_copy_only=False)])
        return np.unique(np.concatenate(found))

    def _rows(self, side: _Side, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """What is known by now: ids and some columns of the kept pages and of what came; missing ones are null."""
        for group in self.groups[side.what]:
            there = [name for name in columns if name in group["types"]]
            table = load_page(self.kept.folder / group["file"], [side.own, *there])
            yield group["name"], table.filter(pa.array(~among(table[side.own].to_numpy(), side.replaced)))
        for name, table in side.fresh.items():
            yield name, table

    # What is written

    def write(self, folder: Path) -> None:
        """Write the pages of the new snapshot: those in which nothing changed are linked, not copied."""
        with self.progress.task("write changed pages"):
            for side in (self.nodes, self.relationships):
                self._write(folder, side)
        for number, (name, text) in enumerate(self.plan.queries.items()):
            with self.progress.task(f"read query {name}") as task:
                for rows in read_query(self.reader, folder, number, name, text):
                    task.advance(rows)
        with self.progress.task("close snapshot"):
            with atomic_path(folder / GONE) as temporary:
                pq.write_table(pa.table({"node": pa.array([], pa.int64())}), temporary)
            moved, outside = left_out(folder, self.plan, np.empty(0, np.int64))
            counts = count(self.store, self.plan.labels, self.plan.types)
            facts = Moved(
                relationships=moved,
                outside=outside,
                labels={name: (self.catalog.labels[name].count, counts.labels[name]) for name in self.plan.labels},
                types={name: (self.catalog.types[name].count, counts.types[name]) for name in self.plan.types},
            )
            read = {
                "how": "changes",
                "why": self.compared,
                "nodes": sum(len(table) for table in self.nodes.fresh.values()),
                "relationships": sum(len(table) for table in self.relationships.fresh.values()),
                "compared": bool(self.compared),
                "since_compared": 0 if self.compared else self.kept.read.get("since_compared", 0) + 1,
            }
            write_plan(self.store, folder, self.plan, self.start)
            finish(folder, self.plan, self.start, facts, read)

    def _write(self, folder: Path, side: _Side) -> None:
        low, number = np.iinfo(np.int64).min, 0
        for record in page_records(self.kept.folder, side.what):
            self._write_page(folder, side, number, record["groups"], low, record["end"])
            low, number = record["end"], number + 1
        rest = np.sort(np.concatenate([np.empty(0, np.int64), *(t[side.own].to_numpy() for t in side.fresh.values())]))
        rest = rest[rest >= low]
        ends = [*rest[self.plan.page :: self.plan.page].tolist(), int(rest[-1]) + 1] if len(rest) else []
        for end in ends:
            self._write_page(folder, side, number, [], low, end)
            low, number = end, number + 1

    def _write_page(
        self, folder: Path, side: _Side, number: int, groups: Sequence[Mapping[str, Any]], low: int, end: int
    ) -> None:
        """One page: what is kept of it, and what came for ids from `low` to before `end`."""
        old = {group["name"]: group for group in groups}
        written, linked = [], 0
        for place, name in enumerate(side.names):
            fresh = side.fresh.get(name)
            if fresh is not None:
                first, last = np.searchsorted(fresh[side.own].to_numpy(), [low, end])
                fresh = fresh.slice(first, last - first) if last > first else None
            group = old.get(name)
            stays: Any = None
            if group is not None:
                path = self.kept.folder / group["file"]
                stays = ~among(load_page(path, [side.own])[side.own].to_numpy(), side.replaced)
            file = f"{side.what}-{number:08d}-{place:04d}.parquet"
            if group is not None and fresh is None and stays.all():
                link_or_copy(self.kept.folder / group["file"], folder / file)
                written.append({**group, "file": file})
                linked += 1
                continue
            parts = [] if group is None else [load_page(self.kept.folder / group["file"]).filter(pa.array(stays))]
            parts += [] if fresh is None else [fresh]
            table = _joined(parts).sort_by(side.own) if parts else None
            if table is not None and len(table):
                counted = Counter({} if group is None else group["byte_arrays"])
                counted.update({} if fresh is None else side.byte_arrays.pop(name, {}))
                written.append(keep_table(folder, file, name, _narrow(table), counted))
        record = f"{side.what}-{number:08d}.json"
        if groups and linked == len(groups) == len(written):
            link_or_copy(self.kept.folder / record, folder / record)
        else:
            write_json(folder / record, {"low": max(low, 0), "end": end, "groups": written})


def _joined(tables: Sequence[Any]) -> Any:
    """Tables of one label or type as one, each column of the type that holds all its values."""
    types: dict[str, str] = {}
    for table in tables:
        for column in table.column_names:
            types[column] = meet(types.get(column, "null"), type_name(table.schema.field(column).type))
    return pa.concat_tables(
        pa.table(
            {
                column: cast(flat(table[column]), kind)
                if column in table.column_names
                else pa.nulls(len(table), TYPES[kind])
                for column, kind in types.items()
            }
        )
        for table in tables
    )


def _narrow(table: Any) -> Any:
    """A page's table in which a column without any value has no type, as if it had been read so."""
    for at, column in enumerate(table.column_names):
        if table[column].null_count == len(table):
            table = table.set_column(at, column, pa.nulls(len(table)))
    return table


def _text(table: Any, column: str) -> Any:
    """A column as text, fast; what two kinds write differently only looks changed, and is read once more."""
    if column not in table.column_names:
        return pa.nulls(len(table), pa.string())
    values = flat(table[column])
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    return cast(values, "text") if pa.types.is_list(values.type) else values.cast(pa.string())


def _signature(table: Any, fixed: Sequence[str], keys: Mapping[str, Any]) -> Any:
    """One text a row of what is compared."""
    parts = []
    for column in [*fixed, *(PROPERTY + key for key in keys)]:
        values = flat(table[column]) if column == "labels" else _text(table, column)
        parts.append(pc.binary_join(values, "\x1f") if column == "labels" else values)
    if not parts:
        return pa.repeat("", len(table))
    return pc.binary_join_element_wise(*parts, "\x1e", null_handling="replace", null_replacement="\x00")


def _by_id(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Ids, ascending, and the text of each."""
    ids = np.concatenate([np.empty(0, np.int64), *(one for one, _ in parts)])
    texts = pa.concat_arrays([pa.array([], pa.string()), *(flat(text) for _, text in parts)])
    order = np.argsort(ids, kind="stable")
    return ids[order], texts.take(pa.array(order))
