"""The nodes and relationships of a database that changed since a snapshot of it was made."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.progress import Progress
from kg.stores.neo4j.read.catalog import Catalog, label_pattern, type_pattern
from kg.stores.neo4j.read.moved import identities
from kg.stores.neo4j.read.page_tables import Keys, as_text, joined, pieces_of, table_of
from kg.stores.neo4j.read.pages import NODES, RELATIONSHIPS, by_ids
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.snapshot import GONE, PROPERTY, ReadPlan, Snapshot, among, load_page, page_groups
from kg.stores.neo4j.read.start import Start
from kg.stores.neo4j.read.watermarks import all_ids, changed_ids, highest, is_comparable

# Beyond this share of what is there, and this number, a reading of everything in constant memory is the better one.
LARGEST_SHARE, FEW = 0.5, 20_000
# Ids in a query.
IDS_A_QUERY = 10_000
_RELATIONSHIPS_OF_NODES = """UNWIND $ids AS i
MATCH (n)-[x]-() WHERE id(n) = i AND type(x) IN $types
RETURN collect(DISTINCT id(x)) AS ids"""


class TooMuchChangedError(Exception):
    """An update would read more than a reading of everything should cost; never leaves `update_snapshot`."""


@dataclass(slots=True)
class Side:
    """The nodes or the relationships of an update.

    Attributes:
        element: "nodes" or "relationships".
        id_column: the column of their internal ids.
        query, parameters: read them by id.
        names: labels or types.
        watermarks: name -> property of its watermark.
        keys: how the server sends their properties.
        replaced: ids that were read again, ascending: their rows in the pages of the old snapshot are out of date.
        fresh: name -> the rows that were read for these.
        byte_arrays: name -> property -> how many of those were left out.
    """

    element: str
    id_column: str
    query: str
    parameters: dict[str, Any]
    names: tuple[str, ...]
    watermarks: Mapping[str, str]
    keys: Keys
    replaced: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    fresh: dict[str, Any] = field(default_factory=dict)
    byte_arrays: dict[str, Counter[str]] = field(default_factory=dict)


class Changes:
    """What an update reads.

    Attributes:
        old: the snapshot that is brought up to date.
        plan: what to read.
        catalog: what the database holds now.
        readers: run the queries.
        groups: the Parquet files of the old snapshot.
        identities: label -> property that tells its nodes apart.
        nodes, relationships: what was read of each.
        start: what held when the update began; there after `read`.
    """

    start: Start

    def __init__(
        self, readers: Sequence[Reader], old: Snapshot, plan: ReadPlan, catalog: Catalog, progress: Progress
    ) -> None:
        self.readers, self.reader = readers, readers[0]
        self.old, self.plan, self.catalog, self.progress = old, plan, catalog, progress
        self.groups = page_groups(old.folder)
        self.identities = identities(plan, catalog)
        node_keys = Keys.of({name: catalog.labels[name].properties for name in plan.labels})
        self.nodes = Side(
            "nodes",
            "node",
            NODES,
            {"labels": list(plan.labels), **node_keys.parameters()},
            plan.labels,
            plan.label_watermarks,
            node_keys,
        )
        type_keys = Keys.of({name: catalog.types[name].properties for name in plan.types})
        self.relationships = Side(
            "relationships",
            "relationship",
            RELATIONSHIPS,
            {"types": list(plan.types), **type_keys.parameters()},
            plan.types,
            plan.type_watermarks,
            type_keys,
        )

    def read(self) -> None:
        """Find and read what is at or above the watermarks, and all of what has none."""
        self.reader.run("RETURN 1 AS one", {})
        read_at, mark = time.time(), self.reader.mark
        now = highest(self.reader, self.plan, self.catalog)
        self.start = Start(self.catalog, read_at, mark, {"nodes": (0, 0), "relationships": (0, 0)}, now)
        before = self.old.watermarks
        with self.progress.task("look for changed nodes"):
            ids = self._listed(self.nodes, label_pattern, before["labels"], now["labels"])
            gone = load_page(self.old.folder / GONE)["node"].to_numpy()
        with self.progress.task("read changed nodes", total=len(ids)) as task:
            for rows in self.fetch(self.nodes, np.union1d(ids, gone)):
                task.advance(rows)
        with self.progress.task("look for changed relationships"):
            ids = self._listed(self.relationships, type_pattern, before["types"], now["types"])
            ids = np.union1d(ids, self.ids_at_replaced_nodes(gone))
        with self.progress.task("read changed relationships", total=len(ids)) as task:
            for rows in self.fetch(self.relationships, ids):
                task.advance(rows)

    def _listed(self, side: Side, pattern: Any, before: Mapping[str, Any], now: Mapping[str, Any]) -> IntArray:
        """Ids at or above the watermark, and all, those of the last reading too, where there is none."""
        ids = [np.empty(0, np.int64)]
        for name in side.names:
            if name in side.watermarks and is_comparable(before.get(name), now.get(name)):
                ids.append(changed_ids(self.reader, pattern(name), name, side.watermarks[name], before[name]))
            else:
                ids += [all_ids(self.reader, pattern(name), name), self._old_ids(side, name)]
        return np.unique(np.concatenate(ids))

    def _old_ids(self, side: Side, name: str) -> IntArray:
        return np.concatenate(
            [
                np.empty(0, np.int64),
                *(
                    load_page(self.old.folder / group["file"], [side.id_column])[side.id_column].to_numpy()
                    for group in self.groups[side.element]
                    if group["name"] == name
                ),
            ]
        )

    def fetch(self, side: Side, ids: IntArray) -> Iterator[int]:
        """Read some ids again, whether they are there or not; yields the number of rows that came, page by page."""
        total = sum(group["rows"] for group in self.groups[side.element])
        if len(side.replaced) + len(ids) > max(FEW, LARGEST_SHARE * total):
            raise TooMuchChangedError
        tables_of: dict[str, list[Any]] = {
            name: [table.filter(pa.array(~among(table[side.id_column].to_numpy(), ids)))]
            for name, table in side.fresh.items()
        }
        for page in by_ids(self.reader, side.query, side.parameters, ids, limit=min(self.plan.page, IDS_A_QUERY)):
            for name, piece in pieces_of(page, side.keys).items():
                table = table_of(piece, side.keys.kinds[name], sort=False)
                tables_of.setdefault(name, []).append(table)
                side.byte_arrays.setdefault(name, Counter()).update(piece.byte_arrays)
            yield page.size
        side.fresh = {name: joined(tables).sort_by(side.id_column) for name, tables in tables_of.items()}
        side.replaced = np.union1d(side.replaced, ids)

    def ids_at_replaced_nodes(self, gone: Any) -> IntArray:
        """Ids of the relationships, of now and of before, of nodes whose internal id belongs to another node now.

        Args:
            gone: internal ids of the nodes that the old snapshot left out because they moved while it was read.
        """
        nodes = np.union1d(gone, self._replaced_nodes())
        if not len(nodes):
            return np.empty(0, np.int64)
        ids = []
        for start in range(0, len(nodes), IDS_A_QUERY):
            parameters = {"ids": nodes[start : start + IDS_A_QUERY].tolist(), "types": list(self.plan.types)}
            ids += [np.array(row["ids"], np.int64) for row in self.reader.run(_RELATIONSHIPS_OF_NODES, parameters)]
        for _, table in self.rows(self.relationships, ["source", "target"]):
            ends = [among(table[end].to_numpy(), nodes) for end in ("source", "target")]
            ids.append(table["relationship"].to_numpy()[ends[0] | ends[1]])
        return np.unique(np.concatenate(ids))

    def _replaced_nodes(self) -> IntArray:
        """Nodes that are gone, and those that are there under another label or key than before."""
        read_again = self.nodes.replaced
        now = {name: table for name, table in self.nodes.fresh.items() if len(table)}
        same = [np.empty(0, np.int64)]
        before = [np.empty(0, np.int64)]
        for group in self.groups["nodes"]:
            name = group["name"]
            key = self.identities.get(name)
            column = PROPERTY + str(key)
            columns = ["node", *([column] if column in group["types"] else [])]
            old = load_page(self.old.folder / group["file"], columns)
            old = old.filter(pa.array(among(old["node"].to_numpy(), read_again)))
            before.append(old["node"].to_numpy())
            if key is None or name not in now or not len(old):
                continue
            new = now[name]
            old = old.filter(pa.array(among(old["node"].to_numpy(), new["node"].to_numpy())))
            at = np.searchsorted(new["node"].to_numpy(), old["node"].to_numpy())
            equal = pc.equal(as_text(old, column), as_text(new, column).take(pa.array(at)))
            same.append(old["node"].to_numpy()[pc.fill_null(equal, False).to_numpy(zero_copy_only=False)])
        return np.setdiff1d(np.concatenate(before), np.concatenate(same))

    def rows(self, side: Side, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """By name, ids and some columns of all rows: those of the old snapshot that stay, and those that were read."""
        for group in self.groups[side.element]:
            present = [name for name in columns if name in group["types"]]
            table = load_page(self.old.folder / group["file"], [side.id_column, *present])
            yield group["name"], table.filter(pa.array(~among(table[side.id_column].to_numpy(), side.replaced)))
        for name, table in side.fresh.items():
            yield name, table
