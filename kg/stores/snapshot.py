"""A Neo4j database read into Parquet pages: constant memory, resumable, and closed in itself.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kg.errors import ArtifactError, InvalidDataError
from kg.files import atomic_path, digest, read_json, remove_trees, write_json
from kg.progress import SILENT, Progress
from kg.stores.catalog import Catalog, count, discover, identity, label_pattern, type_pattern
from kg.stores.columns import TYPES, ContentDigest, cast, column, meet, temporal_column, type_name
from kg.stores.guard import check_read_only
from kg.stores.own_names import is_own
from kg.stores.pages import IDENTITIES, NODES, RELATIONSHIPS, Page, Pages, Reader, bounds

if TYPE_CHECKING:
    from kg.stores.neo4j import Neo4jStore

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
PLAN, INDEX, GONE = "plan.json", "snapshot.json", "gone.parquet"
PROPERTY = "p."
# Enough to keep a server of two cores busy while a page is written; more would only hold more pages in memory.
SESSIONS = 2
_QUERY_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """What to read.

    Attributes:
        labels: a node is read once, under the first of these that it has.
        types: relationship types.
        queries: name -> Cypher of the user's own whose rows become a table.
        keys: label -> property that names a node, to tell a node from another one that got its internal id; default:
            the property of the only constraint, else `id` where the nodes have one, else the labels must do.
        page: most nodes or relationships in a page.
    """

    labels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    queries: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    page: int = 50_000

    def __post_init__(self) -> None:
        if self.page < 1:
            raise InvalidDataError(f"page = {self.page} must be 1 or more")
        for names, what in ((self.labels, "label"), (self.types, "relationship type")):
            for name, times in Counter(names).items():
                if times > 1:
                    raise InvalidDataError(f"the {what} {name!r} is to be read twice: name it once")
                if is_own(name):
                    raise InvalidDataError(f"the {what} {name!r} is graphrecall's own: it is never read")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "labels": list(self.labels),
            "types": list(self.types),
            "queries": dict(self.queries),
            "keys": dict(self.keys),
            "page": self.page,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReadPlan:
        """What `to_json` gave."""
        return cls(
            labels=tuple(data["labels"]),
            types=tuple(data["types"]),
            queries=data["queries"],
            keys=data["keys"],
            page=data["page"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How much a database moved while it was read.

    Attributes:
        gone: label -> nodes that were read and are deleted by now, or have other labels; they are left out.
        reused: label -> nodes that were read and whose internal id belongs to another node by now; they are left out.
        new: label -> nodes that came too late to be read.
        relationships: type -> relationships left out because an end of theirs is gone, re-used or new.
        outside: type -> relationships left out because an end has none of the labels that were read; the database need
            not have moved for that.
        labels: label -> nodes that have it, at the start and at the end.
        types: type -> relationships at the start and at the end.
    """

    gone: Mapping[str, int] = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)
    new: Mapping[str, int] = field(default_factory=dict)
    relationships: Mapping[str, int] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    types: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything moved, as far as can be told."""
        changed = any(start != end for counts in (self.labels, self.types) for start, end in counts.values())
        return changed or bool(self.gone or self.reused or self.new or self.relationships)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Moved:
        """What `to_json` gave."""
        pairs = {name: {key: (start, end) for key, (start, end) in data[name].items()} for name in ("labels", "types")}
        return cls(**{**data, **pairs})


class Snapshot:
    """What `read_snapshot` left in a folder; tables are loaded when they are asked for.

    Attributes:
        folder: where it is.
        plan: what was read.
        catalog: what the database held when reading began.
        read_at: when reading began, UTC seconds.
        digest: of the content, hex; the same for the same content of the database read by the same plan.
        moved: how much the database moved meanwhile.
        byte_arrays: "label.property" or "type.property" -> byte arrays, which are left out.
    """

    def __init__(self, folder: Path, index: Mapping[str, Any]) -> None:
        """Take what the index says; `Snapshot.open` reads it."""
        self.folder = folder
        self.plan = ReadPlan.from_json(index["plan"])
        self.catalog = Catalog.from_json(index["catalog"])
        self.read_at: float = index["read_at"]
        self.digest: str = index["digest"]
        self.moved = Moved.from_json(index["moved"])
        self.byte_arrays: Mapping[str, int] = index["byte_arrays"]
        self._content = _Content(folder, self.plan, _groups(folder))
        self._kept: Any = None

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Open a finished snapshot.

        Raises:
            ArtifactError: the folder holds none, or one of another format version.
        """
        index = read_json(folder / INDEX)
        if not isinstance(index, dict) or index.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(f"{folder} holds no snapshot of format version {FORMAT_VERSION}: read it again")
        return cls(folder, index)

    def nodes(self, label: str) -> Any:
        """The nodes read under a label, as an Arrow table.

        Returns:
            `node` (internal id, ascending), `labels` (all labels of the node, sorted), and `p.KEY` for each property.

        Raises:
            InvalidDataError: the label was not read.
        """
        self._check(label, self.plan.labels, "label")
        return self._content.table("nodes", label, self._ids())

    def relationships(self, type: str) -> Any:
        """The relationships of a type, as an Arrow table.

        Returns:
            `relationship` (internal id, ascending), `source`, `target` (internal ids of nodes that were read), and
            `p.KEY` for each property.

        Raises:
            InvalidDataError: the type was not read.
        """
        self._check(type, self.plan.types, "relationship type")
        return self._content.table("relationships", type, self._ids())

    def query(self, name: str) -> Any:
        """The rows of a query of the user's own, as an Arrow table.

        Raises:
            InvalidDataError: there was no such query.
        """
        self._check(name, tuple(self.plan.queries), "query")
        return self._content.table("query", name, None)

    def _ids(self) -> Any:
        if self._kept is None:
            self._kept = self._content.kept()
        return self._kept

    def _check(self, name: str, names: Sequence[str], what: str) -> None:
        if name not in names:
            raise InvalidDataError(f"the snapshot {self.folder} holds no {what} {name!r}{_near(name, names)}")

    def __repr__(self) -> str:
        return f"Snapshot({str(self.folder)!r}, digest={self.digest[:12]!r})"


def read_snapshot(
    store: Neo4jStore,
    folder: Path,
    plan: ReadPlan,
    *,
    catalog: Catalog | None = None,
    progress: Progress = SILENT,
    max_age: float = 3600.0,
    patience: float = 60.0,
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
                for rows in _read_query(reader, folder, number, name, text):
                    task.advance(rows)
        with progress.task("check nodes") as task:
            moved = _check_again(store, readers, folder, plan, start)
            task.advance()
        with progress.task("close snapshot") as task:
            _finish(folder, plan, start, moved)
            task.advance()
    finally:
        for reader in readers:
            reader.close()
    return Snapshot.open(folder)


@dataclass(frozen=True, slots=True)
class _Start:
    """What was known when reading began."""

    catalog: Catalog
    read_at: float
    mark: str | None
    spans: Mapping[str, tuple[int, int]]


def _begin(
    store: Neo4jStore, reader: Reader, folder: Path, plan: ReadPlan, catalog: Catalog | None, *, max_age: float
) -> _Start:
    """Go on with what is in the folder, or start anew."""
    wanted = {"format_version": FORMAT_VERSION, "store": store.name, "plan": plan.to_json()}
    reader.run("RETURN 1 AS one", {})
    if (folder / PLAN).exists():
        try:
            found = read_json(folder / PLAN)
            same = {key: found[key] for key in wanted} == wanted and found["catalog"]["database"] == identity(store)
            age = time.time() - found["read_at"]
            spans = {name: (low, end) for name, (low, end) in found["spans"].items()}
            if same and 0 <= age < max_age:
                return _Start(Catalog.from_json(found["catalog"]), found["read_at"], found["mark"], spans)
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
                raise InvalidDataError(f"{store.name} has no {what} {name!r}{_near(name, list(there))}")
    spans = {
        "nodes": bounds(reader, [(label_pattern(name), {"name": name}) for name in plan.labels]),
        "relationships": bounds(reader, [(type_pattern(name), {"name": name}) for name in plan.types]),
    }
    # The plan goes first and comes last: pages without a plan are nobody's.
    (folder / PLAN).unlink(missing_ok=True)
    remove_trees([folder])
    folder.mkdir(parents=True)
    write_json(
        folder / PLAN, {**wanted, "read_at": read_at, "mark": mark, "spans": spans, "catalog": catalog.to_json()}
    )
    return _Start(catalog, read_at, mark, spans)


def _near(name: str, names: Iterable[str]) -> str:
    names = sorted(names)
    if close := get_close_matches(name, names, n=1):
        return f": is {close[0]!r} meant?"
    return f"; there are {', '.join(map(repr, names[:20]))}{' ...' if len(names) > 20 else ''}" if names else ""


def _read(readers: Sequence[Reader], folder: Path, what: str, start: _Start, plan: ReadPlan) -> Iterator[int]:
    """Read the pages of nodes or relationships that are not there yet; yields rows done, those found first."""
    low, end = start.spans[what]
    number = 0
    for record in _records(folder, what):
        low, number = record["end"], number + 1
        yield sum(group["rows"] for group in record["groups"])
    names, facts = (plan.labels, start.catalog.labels) if what == "nodes" else (plan.types, start.catalog.types)
    query, parameter = (NODES, "labels") if what == "nodes" else (RELATIONSHIPS, "types")
    keys = _Keys.of({name: facts[name].properties for name in names})
    parameters = {parameter: list(names), **keys.parameters()}
    total = sum(facts[name].count for name in names)
    pages = Pages(readers, query, parameters, low=low, end=end, limit=plan.page, total=total)
    for page in pages:
        pieces = _pieces(page, keys)
        # An empty page is nothing to keep, but for the last one, which says that all is read.
        if pieces or page.end >= end:
            size = _write(folder, what, number, pieces, names, keys, low=low, end=page.end)
            number, low = number + 1, page.end
            if page.size:
                # A page of few rows says little about those that come.
                pages.bytes_a_row = max(size / page.size, pages.bytes_a_row / 2)
        yield page.size


_TEMPORAL = ("Date", "DateTime", "LocalDateTime", "Time", "LocalTime", "Duration")
_NAMING = {"String", "Long", "Integer", "Double", "Float", "Boolean"}
_AS_TEXT = {*_TEMPORAL, *_NAMING, "Point"}


@dataclass(frozen=True, slots=True)
class _Keys:
    """The properties of each label or type, by the way in which the server sends them.

    Attributes:
        plain: as they are.
        texts: temporal values, as text.
        lists: lists of temporal values, as lists of text.
        bytes: byte arrays; only their number comes.
        kinds: what the texts of a property are, "date", "datetime" or "text".
    """

    plain: dict[str, list[str]]
    texts: dict[str, list[str]]
    lists: dict[str, list[str]]
    bytes: dict[str, list[str]]
    kinds: dict[str, dict[str, str]]

    @classmethod
    def of(cls, properties: Mapping[str, Mapping[str, Sequence[str]]]) -> _Keys:
        """Sort the properties of each name by the types of their values."""
        found = cls({}, {}, {}, {}, {})
        for name, facts in properties.items():
            for ways in (found.plain, found.texts, found.lists, found.bytes):
                ways[name] = []
            found.kinds[name] = {}
            for key, types in facts.items():
                scalars = {kind.removesuffix("Array") for kind in types}
                arrays = sum(kind.endswith("Array") for kind in types)
                if scalars == {"Byte"}:
                    found.bytes[name].append(key)
                elif scalars.isdisjoint(_TEMPORAL) or not scalars <= _AS_TEXT or arrays not in (0, len(types)):
                    found.plain[name].append(key)
                else:
                    (found.lists if arrays else found.texts)[name].append(key)
                    dates, times = scalars == {"Date"}, scalars <= {"DateTime", "LocalDateTime"}
                    found.kinds[name][key] = "date" if dates else "datetime" if times else "text"
        return found

    def parameters(self) -> dict[str, Any]:
        """Of the queries in `kg.stores.pages`."""
        return {"keys": self.plain, "texts": self.texts, "lists": self.lists, "bytes": self.bytes}

    def columns(self, row: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The lists of a record by property; of a byte array there are only nulls."""
        name = row["name"]
        found: dict[str, list[Any]] = {}
        for ways, columns in ((self.plain, "columns"), (self.texts, "texts"), (self.lists, "lists")):
            found.update(zip(ways[name], row[columns], strict=True))
        return found | {key: [None] * len(row["ids"]) for key in self.bytes[name]}


@dataclass(slots=True)
class _Piece:
    """Rows of one label or type in a page: lists by column, and the number of byte arrays by property."""

    columns: dict[str, list[Any]]
    byte_arrays: Counter[str] = field(default_factory=Counter)


def _pieces(page: Page, keys: _Keys) -> dict[str, _Piece]:
    """The content of a page by label or type; nodes come in one record a set of labels."""
    pieces: dict[str, _Piece] = {}
    for row in page.rows:
        name, ids = row["name"], row["ids"]
        if "labels" in row:
            labels = sorted(label for label in row["labels"] if not is_own(label))
            columns = {"node": ids, "labels": [labels] * len(ids)}
        else:
            columns = {"relationship": ids, "source": row["sources"], "target": row["targets"]}
        columns |= {PROPERTY + key: values for key, values in keys.columns(row).items()}
        if name in pieces:
            for column_name, values in columns.items():
                pieces[name].columns[column_name].extend(values)
        else:
            pieces[name] = _Piece(columns)
        pieces[name].byte_arrays.update(dict(zip(keys.bytes[name], row["bytes"], strict=True)))
    return pieces


def _write(
    folder: Path,
    what: str,
    number: int,
    pieces: Mapping[str, _Piece],
    names: Sequence[str],
    keys: _Keys,
    *,
    low: int,
    end: int,
) -> int:
    """Write the tables of a page, then the record that makes them count; returns their bytes in memory."""
    groups = []
    size = 0
    for name, piece in pieces.items():
        table = _table(piece, keys.kinds[name], sort=what == "nodes")
        file = f"{what}-{number:08d}-{names.index(name):04d}.parquet"
        groups.append(_keep(folder, file, name, table, piece.byte_arrays))
        size += table.nbytes
    write_json(folder / f"{what}-{number:08d}.json", {"low": low, "end": end, "groups": groups})
    return size


def _table(piece: _Piece, kinds: Mapping[str, str], *, sort: bool) -> Any:
    """The Arrow table of a piece; counts byte arrays that come where the catalog knew none."""
    arrays: dict[str, Any] = {}
    for name, values in piece.columns.items():
        key = name.removeprefix(PROPERTY)
        if not name.startswith(PROPERTY):
            arrays[name] = pa.array(values, pa.list_(pa.string()) if name == "labels" else pa.int64())
        elif key in kinds:
            arrays[name] = temporal_column(values, kinds[key])
        else:
            arrays[name], byte_arrays = column(values)
            piece.byte_arrays[key] += byte_arrays
    table = pa.table(arrays)
    return table.sort_by("node") if sort else table


def _keep(folder: Path, file: str, name: str, table: Any, left_out: Mapping[str, int]) -> dict[str, Any]:
    with atomic_path(folder / file) as temporary:
        pq.write_table(table, temporary, compression="lz4", use_dictionary=False, write_statistics=False)
    types = {column: type_name(table.schema.field(column).type) for column in table.column_names}
    return {"name": name, "file": file, "rows": table.num_rows, "types": types, "byte_arrays": _there(left_out)}


def _read_query(reader: Reader, folder: Path, number: int, name: str, text: str) -> Iterator[int]:
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
    groups.append(_keep(folder, f"query-{number:08d}-{len(groups):08d}.parquet", name, table, left_out))
    waiting.clear()
    return int(table.num_rows)


def _check_again(store: Neo4jStore, readers: Sequence[Reader], folder: Path, plan: ReadPlan, start: _Start) -> Moved:
    """Look at all nodes once more, if anything was written meanwhile; ids gone or re-used are kept in a file."""
    keys = _identities(plan, start.catalog)
    counters: dict[str, Counter[str]] = {"gone": Counter(), "reused": Counter(), "new": Counter()}
    lost: list[Any] = [np.empty(0, np.int64)]
    late: list[Any] = [np.empty(0, np.int64)]

    def now(low: int, end: int, total: int) -> dict[str, tuple[Any, Any]]:
        return _now(readers, plan, keys, low, end, total)

    readers[0].run("RETURN 1 AS one", {})
    still = readers[0].mark is not None and readers[0].mark == start.mark
    for record in () if still else _records(folder, "nodes"):
        there = now(record["low"], record["end"], sum(group["rows"] for group in record["groups"]))
        for group in record["groups"]:
            name = group["name"]
            nodes, before = _before(folder, group, keys.get(name))
            ids, after = there.pop(name, (np.empty(0, np.int64), pa.nulls(0, pa.string())))
            same = _among(nodes, ids)
            counters["gone"][name] += int((~same).sum())
            at = np.searchsorted(ids, nodes[same])
            other = _differ(before.filter(pa.array(same)), after.take(pa.array(at)))
            counters["reused"][name] += int(other.sum())
            lost += [nodes[~same], nodes[same][other]]
            fresh = ids[~_among(ids, nodes)]
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
    relationships, outside = _left_out(folder, plan, np.unique(np.concatenate([gone, *late])))
    counts = count(store, plan.labels, plan.types)
    return Moved(
        **{name: _there(numbers) for name, numbers in counters.items()},
        relationships=relationships,
        outside=outside,
        labels={name: (start.catalog.labels[name].count, counts.labels[name]) for name in plan.labels},
        types={name: (start.catalog.types[name].count, counts.types[name]) for name in plan.types},
    )


def _identities(plan: ReadPlan, catalog: Catalog) -> dict[str, str]:
    """The property of each label that tells one node from another, where there is one."""
    keys = {}
    for name in plan.labels:
        facts = catalog.labels[name]
        key = plan.keys.get(name) or (facts.unique[0] if len(facts.unique) == 1 else "id")
        if facts.properties.get(key) and set(facts.properties[key]) <= _NAMING:
            keys[name] = key
    return keys


def _before(folder: Path, group: Mapping[str, Any], key: str | None) -> tuple[Any, Any]:
    """Ids of the nodes of a page as they were read, and what names them, as text."""
    columns = ["node", *([PROPERTY + key] if key is not None and PROPERTY + key in group["types"] else [])]
    table = _load(folder / group["file"], columns)
    named = pa.nulls(len(table), pa.string()) if len(columns) == 1 else cast(_array(table[columns[1]]), "text")
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


def _there(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in sorted(counts.items()) if number}


def _left_out(folder: Path, plan: ReadPlan, moved: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Relationships by type without both ends: because a node moved, and because an end has no label that was read."""
    kept = _Content(folder, plan, _groups(folder)).kept()
    moving: dict[str, int] = Counter()
    outside: dict[str, int] = Counter()
    for group in _groups(folder)["relationships"]:
        ends = _load(folder / group["file"], ["source", "target"])
        ends = [ends[name].to_numpy() for name in ("source", "target")]
        missing = ~(_among(ends[0], kept) & _among(ends[1], kept))
        because = missing & (_among(ends[0], moved) | _among(ends[1], moved))
        moving[group["name"]] += int(because.sum())
        outside[group["name"]] += int((missing & ~because).sum())
    return _there(moving), _there(outside)


def _finish(folder: Path, plan: ReadPlan, start: _Start, moved: Moved) -> None:
    groups = _groups(folder)
    content = _Content(folder, plan, groups)
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
            "byte_arrays": _there(byte_arrays),
        },
    )


def _records(folder: Path, what: str) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted(folder.glob(f"{what}-????????.json"))]


def _groups(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        what: [group for record in _records(folder, what) for group in record["groups"]]
        for what in ("nodes", "relationships", "query")
    }


class _Content:
    """The tables that the pages of a snapshot make together."""

    def __init__(self, folder: Path, plan: ReadPlan, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.folder, self.plan, self.groups = folder, plan, groups

    def kept(self) -> Any:
        """Internal ids of the nodes that were read and are not gone, ascending."""
        tables = [_load(self.folder / group["file"], ["node"]) for group in self.groups["nodes"]]
        nodes = np.sort(np.concatenate([np.empty(0, np.int64), *(table["node"].to_numpy() for table in tables)]))
        gone = _load(self.folder / GONE)["node"].to_numpy()
        return nodes[~_among(nodes, gone)]

    def schema(self, what: str, name: str) -> dict[str, str]:
        """Column -> type that holds the values of all pages; properties in alphabetical order."""
        types: dict[str, str] = {}
        for group in self._pages(what, name):
            for column_name, kind in group["types"].items():
                types[column_name] = meet(types.get(column_name, "null"), kind)
        if not types:
            types = dict(_FIXED[what])
        fixed = [column_name for column_name in types if what == "query" or not column_name.startswith(PROPERTY)]
        return {column_name: types[column_name] for column_name in [*fixed, *sorted(set(types) - set(fixed))]}

    def pieces(self, what: str, name: str, kept: Any) -> Iterator[Any]:
        """The pages, each with all columns, without what is left out."""
        schema = self.schema(what, name)
        for group in self._pages(what, name):
            table = _load(self.folder / group["file"])
            mask = np.ones(len(table), bool)
            for end in ("node",) if what == "nodes" else ("source", "target") if what == "relationships" else ():
                mask &= _among(table[end].to_numpy(), kept)
            if not mask.all():
                table = table.filter(pa.array(mask))
            arrays = {
                column_name: cast(_array(table[column_name]), kind)
                if column_name in group["types"]
                else pa.nulls(len(table), TYPES[kind])
                for column_name, kind in schema.items()
            }
            yield pa.table(arrays)

    def table(self, what: str, name: str, kept: Any) -> Any:
        """All pages as one table."""
        empty = pa.schema([(column_name, TYPES[kind]) for column_name, kind in self.schema(what, name).items()])
        return pa.concat_tables([empty.empty_table(), *self.pieces(what, name, kept)])

    def digest(self) -> str:
        """Of all tables, whatever the pages."""
        content = ContentDigest()
        kept = self.kept()
        names = [("nodes", name) for name in self.plan.labels]
        names += [("relationships", name) for name in self.plan.types]
        names += [("query", name) for name in self.plan.queries]
        for number, (what, name) in enumerate(names):
            for piece in self.pieces(what, name, kept):
                content.feed(str(number), ((key, _array(piece[key])) for key in piece.column_names))
        return digest({"names": [list(name) for name in names], "content": content.hexdigest()})

    def _pages(self, what: str, name: str) -> list[Mapping[str, Any]]:
        return [group for group in self.groups[what] if group["name"] == name]


_FIXED = {
    "nodes": {"node": "int", "labels": "list of text"},
    "relationships": {"relationship": "int", "source": "int", "target": "int"},
    "query": {},
}


def _load(path: Path, columns: Sequence[str] | None = None) -> Any:
    try:
        # Handed over as a file: a folder named key=value above it would become a column.
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} cannot be read: {error}; remove {path.parent}, and read it anew") from error


def _among(values: Any, ids: Any) -> Any:
    """Which of the values are among some ascending ids; costs nothing for ids that no value is near to."""
    if not len(ids):
        return np.zeros(len(values), bool)
    return ids[np.minimum(np.searchsorted(ids, values), len(ids) - 1)] == values


def _array(chunked: Any) -> Any:
    return chunked.combine_chunks() if isinstance(chunked, pa.ChunkedArray) else chunked
