"""What was read from a Neo4j database: Parquet pages in a folder, and what moved while they were read.

A database may change while it is read (`kg.stores.neo4j.read.reading`). Nodes that are gone by the end, or whose
internal id belongs to another node by then, are left out with their relationships, so no relationship of a snapshot has
an end that is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kg.errors import ArtifactError, InvalidDataError
from kg.io.files import digest, read_json
from kg.io.parquet import read_table
from kg.stores.neo4j.own_names import is_own
from kg.stores.neo4j.read.catalog import Catalog
from kg.stores.neo4j.read.columns import TYPES, ContentDigest, cast, meet

FORMAT_VERSION = 2
PLAN, INDEX, GONE = "plan.json", "snapshot.json", "gone.parquet"
PROPERTY = "p."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """What to read.

    Attributes:
        labels: a node is read once, under the first of these that it has.
        types: relationship types.
        queries: name -> Cypher of the user's own whose rows become a table.
        keys: label -> property that names a node, to notice another one with the same internal id; default:
            the property of the only constraint, else `id` where the nodes have one, else the labels must do.
        page: most nodes or relationships in a page.
        label_watermarks: label -> property that only grows as its nodes are made and changed
            (`kg.stores.neo4j.read.update`).
        type_watermarks: relationship type -> the same of its relationships.
        tombstone: property that marks nodes and relationships as deleted when it is there and not false; they are
            read, but are no part of the content, and neither are the relationships of such nodes.
        hidden: properties that are read, but are no part of the content.
    """

    labels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    queries: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    page: int = 50_000
    label_watermarks: Mapping[str, str] = field(default_factory=dict)
    type_watermarks: Mapping[str, str] = field(default_factory=dict)
    tombstone: str | None = None
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.page < 1:
            raise InvalidDataError(f"page = {self.page} must be 1 or more")
        for names, noun in ((self.labels, "label"), (self.types, "relationship type")):
            for name, times in Counter(names).items():
                if times > 1:
                    raise InvalidDataError(f"the {noun} {name!r} is to be read twice: name it once")
                if is_own(name):
                    raise InvalidDataError(f"the {noun} {name!r} is graphrecall's own: it is never read")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "labels": list(self.labels),
            "types": list(self.types),
            "queries": dict(self.queries),
            "keys": dict(self.keys),
            "page": self.page,
            "label_watermarks": dict(self.label_watermarks),
            "type_watermarks": dict(self.type_watermarks),
            "tombstone": self.tombstone,
            "hidden": list(self.hidden),
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
            label_watermarks=data["label_watermarks"],
            type_watermarks=data["type_watermarks"],
            tombstone=data["tombstone"],
            hidden=tuple(data["hidden"]),
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
        """Whether anything is known to have moved."""
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
    """What `read_snapshot` wrote into a folder; tables are loaded when they are used.

    Attributes:
        folder: where it is.
        plan: what was read.
        catalog: what the database held when reading began.
        read_at: when reading began, UTC seconds.
        digest: of the content, hex; the same for the same content of the database read by the same plan.
        moved: how much the database moved meanwhile.
        byte_arrays: "label.property" or "type.property" -> byte arrays, which are left out.
        read: how it was read, plain data: `how` ("whole" or "changes"), the `nodes` and `relationships` that came over
            the wire with their properties, and what is marked as deleted (`tombstones`).
        watermarks: the highest watermarks when reading began: "labels" and "types" -> name -> `kind` and `value`.
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
        self.read: Mapping[str, Any] = index["read"]
        self.watermarks: Mapping[str, Mapping[str, Any]] = index["watermarks"]
        self._content = Content(folder, self.plan, page_groups(folder))
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

    def _check(self, name: str, names: Sequence[str], noun: str) -> None:
        if name not in names:
            raise InvalidDataError(f"the snapshot {self.folder} holds no {noun} {name!r}{near(name, names)}")

    def __repr__(self) -> str:
        return f"Snapshot({str(self.folder)!r}, digest={self.digest[:12]!r})"


def near(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that is not there: the nearest one, or those that are."""
    names = sorted(names)
    if close := get_close_matches(name, names, n=1):
        return f": is {close[0]!r} meant?"
    return f"; there are {', '.join(map(repr, names[:20]))}{' ...' if len(names) > 20 else ''}" if names else ""


def page_records(folder: Path, element: str) -> list[dict[str, Any]]:
    """What was kept of each finished page of "nodes", "relationships" or "query", in order."""
    return [read_json(path) for path in sorted(folder.glob(f"{element}-????????.json"))]


def page_groups(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The Parquet files of all finished pages: one for each label, type or query that a page holds."""
    return {
        element: [group for record in page_records(folder, element) for group in record["groups"]]
        for element in ("nodes", "relationships", "query")
    }


class Content:
    """The tables that the pages of a snapshot make together."""

    def __init__(self, folder: Path, plan: ReadPlan, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.folder, self.plan, self.groups = folder, plan, groups

    def there(self) -> Any:
        """Internal ids of the nodes that were read and are not gone, ascending."""
        tables = [load_page(self.folder / group["file"], ["node"]) for group in self.groups["nodes"]]
        nodes = np.sort(np.concatenate([np.empty(0, np.int64), *(table["node"].to_numpy() for table in tables)]))
        gone = load_page(self.folder / GONE)["node"].to_numpy()
        return nodes[~among(nodes, gone)]

    def kept(self) -> Any:
        """Internal ids of the nodes of the content: those that are there and have no tombstone."""
        nodes = self.there()
        buried = [np.empty(0, np.int64)]
        for group in self.groups["nodes"]:
            if self._tombstone in group["types"]:
                table = load_page(self.folder / group["file"], ["node", self._tombstone])
                buried.append(table["node"].to_numpy()[marked(table[self._tombstone])])
        return nodes[~among(nodes, np.sort(np.concatenate(buried)))]

    def tombstones(self) -> dict[str, int]:
        """How many nodes and relationships are marked as deleted."""
        counts = {"nodes": 0, "relationships": 0}
        for element in counts:
            for group in self.groups[element]:
                if self._tombstone in group["types"]:
                    table = load_page(self.folder / group["file"], [self._tombstone])
                    counts[element] += int(marked(table[self._tombstone]).sum())
        return counts

    @property
    def _tombstone(self) -> str:
        """The column of the tombstones; no page has a column without a name."""
        return "" if self.plan.tombstone is None else PROPERTY + self.plan.tombstone

    def schema(self, element: str, name: str) -> dict[str, str]:
        """Column -> type that holds the values of all pages; properties in alphabetical order."""
        types: dict[str, str] = {}
        for group in self._pages(element, name):
            for column_name, kind in group["types"].items():
                types[column_name] = meet(types.get(column_name, "null"), kind)
        if not types:
            types = dict(_FIXED[element])
        if element != "query":
            hidden = {PROPERTY + name for name in self.plan.hidden}
            # A property that nothing has is none, also where the last node that had it was deleted.
            unheld = {key for key, kind in types.items() if key.startswith(PROPERTY) and kind == "null"}
            types = {key: kind for key, kind in types.items() if key not in hidden | unheld}
        fixed = [column_name for column_name in types if element == "query" or not column_name.startswith(PROPERTY)]
        return {column_name: types[column_name] for column_name in [*fixed, *sorted(set(types) - set(fixed))]}

    def pieces(self, element: str, name: str, kept: Any) -> Iterator[Any]:
        """The pages, each with all columns, without what is left out."""
        schema = self.schema(element, name)
        for group in self._pages(element, name):
            table = load_page(self.folder / group["file"])
            mask = np.ones(len(table), bool)
            for end in ("node",) if element == "nodes" else ("source", "target") if element == "relationships" else ():
                mask &= among(table[end].to_numpy(), kept)
            if element == "relationships" and self._tombstone in group["types"]:
                mask &= ~marked(table[self._tombstone])
            if not mask.all():
                table = table.filter(pa.array(mask))
            arrays = {
                column_name: cast(flat(table[column_name]), kind)
                if column_name in group["types"]
                else pa.nulls(len(table), TYPES[kind])
                for column_name, kind in schema.items()
            }
            yield pa.table(arrays)

    def table(self, element: str, name: str, kept: Any) -> Any:
        """All pages as one table."""
        empty = pa.schema([(column_name, TYPES[kind]) for column_name, kind in self.schema(element, name).items()])
        return pa.concat_tables([empty.empty_table(), *self.pieces(element, name, kept)])

    def digest(self) -> str:
        """Of all tables, whatever the pages."""
        content = ContentDigest()
        kept = self.kept()
        names = [("nodes", name) for name in self.plan.labels]
        names += [("relationships", name) for name in self.plan.types]
        names += [("query", name) for name in self.plan.queries]
        for number, (element, name) in enumerate(names):
            for piece in self.pieces(element, name, kept):
                content.feed(str(number), ((key, flat(piece[key])) for key in piece.column_names))
        return digest({"names": [list(name) for name in names], "content": content.hexdigest()})

    def _pages(self, element: str, name: str) -> list[Mapping[str, Any]]:
        return [group for group in self.groups[element] if group["name"] == name]


_FIXED = {
    "nodes": {"node": "int", "labels": "list of text"},
    "relationships": {"relationship": "int", "source": "int", "target": "int"},
    "query": {},
}


def load_page(path: Path, columns: Sequence[str] | None = None) -> Any:
    """One Parquet file of a page.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        return read_table(path, columns)
    except ArtifactError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.__cause__}; remove {path.parent}, and read it anew"
        ) from error


def among(values: Any, ids: Any) -> Any:
    """Which of the values are among some ascending ids; costs nothing for ids that no value is near to."""
    if not len(ids):
        return np.zeros(len(values), bool)
    return ids[np.minimum(np.searchsorted(ids, values), len(ids) - 1)] == values


def marked(tombstones: Any) -> Any:
    """Which rows a column of tombstones marks as deleted: those that have one, unless it says false."""
    has_one = tombstones.is_valid().to_numpy()
    if pa.types.is_boolean(tombstones.type):
        return has_one & tombstones.fill_null(False).to_numpy()
    return has_one


def flat(chunked: Any) -> Any:
    """A column as one Arrow array."""
    return chunked.combine_chunks() if isinstance(chunked, pa.ChunkedArray) else chunked
