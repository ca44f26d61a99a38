"""The pages of a reading as tables: which property the server sends in which way, and one Parquet file a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kg.io.files import atomic_path
from kg.stores.neo4j.own_names import is_own
from kg.stores.neo4j.read.columns import TYPES, cast, column, meet, temporal_column, type_name
from kg.stores.neo4j.read.pages import Page
from kg.stores.neo4j.read.snapshot import PROPERTY, flat

TEMPORAL = ("Date", "DateTime", "LocalDateTime", "Time", "LocalTime", "Duration")
NAMING = {"String", "Long", "Integer", "Double", "Float", "Boolean"}
_AS_TEXT = {*TEMPORAL, *NAMING, "Point"}


@dataclass(frozen=True, slots=True)
class Keys:
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
    def of(cls, properties: Mapping[str, Mapping[str, Sequence[str]]]) -> Keys:
        """Sort the properties of each name by the types of their values."""
        sent = cls({}, {}, {}, {}, {})
        for name, facts in properties.items():
            for ways in (sent.plain, sent.texts, sent.lists, sent.bytes):
                ways[name] = []
            sent.kinds[name] = {}
            for key, types in facts.items():
                scalars = {kind.removesuffix("Array") for kind in types}
                arrays = sum(kind.endswith("Array") for kind in types)
                if scalars == {"Byte"}:
                    sent.bytes[name].append(key)
                elif scalars.isdisjoint(TEMPORAL) or not scalars <= _AS_TEXT or arrays not in (0, len(types)):
                    sent.plain[name].append(key)
                else:
                    (sent.lists if arrays else sent.texts)[name].append(key)
                    dates, times = scalars == {"Date"}, scalars <= {"DateTime", "LocalDateTime"}
                    sent.kinds[name][key] = "date" if dates else "datetime" if times else "text"
        return sent

    def parameters(self) -> dict[str, Any]:
        """Of the queries in `kg.stores.neo4j.read.pages`."""
        return {"keys": self.plain, "texts": self.texts, "lists": self.lists, "bytes": self.bytes}

    def columns(self, row: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The lists of a record by property; of a byte array there are only nulls."""
        name = row["name"]
        lists: dict[str, list[Any]] = {}
        for ways, columns in ((self.plain, "columns"), (self.texts, "texts"), (self.lists, "lists")):
            lists.update(zip(ways[name], row[columns], strict=True))
        return lists | {key: [None] * len(row["ids"]) for key in self.bytes[name]}


@dataclass(slots=True)
class Piece:
    """Rows of one label or type in a page: lists by column, and the number of byte arrays by property."""

    columns: dict[str, list[Any]]
    byte_arrays: Counter[str] = field(default_factory=Counter)


def pieces_of(page: Page, keys: Keys) -> dict[str, Piece]:
    """The content of a page by label or type; nodes come in one record a set of labels."""
    pieces: dict[str, Piece] = {}
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
            pieces[name] = Piece(columns)
        pieces[name].byte_arrays.update(dict(zip(keys.bytes[name], row["bytes"], strict=True)))
    return pieces


def table_of(piece: Piece, kinds: Mapping[str, str], *, sort: bool) -> Any:
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


def keep_table(folder: Path, file: str, name: str, table: Any, left_out: Mapping[str, int]) -> dict[str, Any]:
    """Write a table of a page; returns what the page's record says of it."""
    with atomic_path(folder / file) as temporary:
        pq.write_table(table, temporary, compression="lz4", use_dictionary=False, write_statistics=False)
    types = {column: type_name(table.schema.field(column).type) for column in table.column_names}
    return {"name": name, "file": file, "rows": table.num_rows, "types": types, "byte_arrays": above_zero(left_out)}


def above_zero(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that are no zero, by name."""
    return {name: number for name, number in sorted(counts.items()) if number}


def joined(tables: Sequence[Any]) -> Any:
    """Tables of one label or type as one, each column of the type that holds all its values."""
    types: dict[str, str] = {}
    for table in tables:
        for name in table.column_names:
            types[name] = meet(types.get(name, "null"), type_name(table.schema.field(name).type))
    return pa.concat_tables(
        pa.table(
            {
                name: cast(flat(table[name]), kind) if name in table.column_names else pa.nulls(len(table), TYPES[kind])
                for name, kind in types.items()
            }
        )
        for table in tables
    )


def as_text(table: Any, column: str) -> Any:
    """A column as text, fast; what two kinds write differently only looks changed, and is read once more."""
    if column not in table.column_names:
        return pa.nulls(len(table), pa.string())
    values = flat(table[column])
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    return cast(values, "text") if pa.types.is_list(values.type) else values.cast(pa.string())
