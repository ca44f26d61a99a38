"""Tables that nobody has described: their columns, and what each of them may be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.look import words
from ingest.look.text_form import find_form, read_found
from ingest.sources.tables import read_file, to_floats, to_ids
from ingest.sources.tables.json_lines import is_json
from ingest.sources.tables.spread import is_list
from ingest.sources.tables.units import guess_unit
from kg.errors import InvalidDataError

SAMPLES = 3
LEAST_EVEN = 0.95  # share of cells that must be times or numbers
LONGEST_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """A column.

    Attributes:
        name: in the file.
        kind: "list", "integer", "number", "time" or "text".
        filled: cells that hold something.
        different: different values among them.
        samples: a few of them.
        ids: the different values as ids, Arrow strings; empty where they can be none.
    """

    name: str
    kind: str
    filled: int
    different: int
    samples: tuple[str, ...]
    ids: Any

    @property
    def is_key(self) -> bool:
        """Whether each row has a value of its own."""
        return self.filled > 0 and self.different == self.filled


@dataclass(slots=True)
class TableLook:
    """A file of a table.

    Attributes:
        name: of the file, as a configuration names it.
        path: where it is.
        table: its rows.
        form: keys of `CsvForm` to write.
        columns: by name.
        doubts: what is doubtful about it.
    """

    name: str
    path: Path
    table: Any
    form: dict[str, Any]
    columns: dict[str, ColumnLook]
    doubts: list[str] = field(default_factory=list)

    def best(self, rank: Any, *, least: int = 1, leave_out: tuple[str | None, ...] = ()) -> str | None:
        """The column whose name ranks highest, the first of several."""
        ranked = [(rank(name), name) for name in self.columns if name not in leave_out]
        highest = max((value for value, _ in ranked), default=0)
        return next((name for value, name in ranked if value == highest), None) if highest >= least else None

    def named(self, names: tuple[str, ...], kinds: tuple[str, ...], leave_out: tuple[str | None, ...]) -> str | None:
        """The first column of one of the kinds with one of the words in its name."""
        return next(
            (
                name
                for name, column in self.columns.items()
                if name not in leave_out and column.kind in kinds and words.is_one_of(name, names)
            ),
            None,
        )


def look_at_table(path: Path, name: str) -> TableLook:
    """Read a table of any kind.

    Raises:
        InvalidDataError: it cannot be read as a table.
    """
    form: dict[str, Any] = {}
    doubts: list[str] = []
    try:
        if path.suffix.lower() in (".parquet", ".pq") or is_json(path):
            rows = read_file(path, name=name)
        else:
            form, doubts = find_form(path)
            rows, form = read_found(path, name, form)
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error.strerror or error}") from error
    if rows.bad_lines:
        doubts.append(f"{rows.bad_lines:,} of its lines cannot be read, such as {rows.bad_examples[0]}")
    table = rows.table
    columns = {column: _look(column, table[column]) for column in table.column_names}
    look = TableLook(name, path, table, form, columns, doubts)
    if "header" in form:
        _name_columns(look)
    return look


def _look(name: str, column: Any) -> ColumnLook:
    filled = len(column) - column.null_count
    if is_list(column):
        values = pc.list_flatten(column.combine_chunks())
        samples = tuple(str(value) for value in values[:SAMPLES].to_pylist())
        return ColumnLook(name, "list", filled, pc.count_distinct(values).as_py(), samples, _ids(values))
    ids = _ids(column)
    return ColumnLook(
        name=name,
        kind=_kind(column),
        filled=filled,
        different=len(ids) if len(ids) else filled,
        samples=tuple(str(value) for value in column.drop_null()[:SAMPLES].to_pylist()),
        ids=ids,
    )


def _ids(column: Any) -> Any:
    try:
        return pc.unique(to_ids(column)).drop_null()
    except InvalidDataError:
        return pa.array([], pa.string())


def _kind(column: Any) -> str:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    filled = column.drop_null()
    if not pa.types.is_string(kind) or not len(filled):
        return "text"
    for pattern, name in (
        (r"^\s*[+-]?\d+\s*$", "integer"),
        (r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$", "number"),
        (r"^\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?\s*$", "time"),
    ):
        if pc.mean(pc.match_substring_regex(filled, pattern).cast(pa.float64())).as_py() >= LEAST_EVEN:
            return name
    return "text"


def is_time(look: TableLook, name: str) -> bool:
    """Whether the numbers of a column are times since 1970, in some unit."""
    if look.columns[name].kind == "time":
        return True
    if look.columns[name].kind not in ("integer", "number"):
        return False
    values, missing, bad = to_floats(look.table[name])
    values = values[~missing & ~bad]
    if not len(values) or values.min() < 0:
        return False
    now = int(time.time())
    numbers = values.astype(np.int64)
    return guess_unit(numbers, now=now) != "s" or 315_532_800 <= float(np.median(numbers)) <= now


def is_scale(look: TableLook, name: str) -> bool:
    """Whether the numbers of a column are grades: few different ones, none large."""
    if look.columns[name].kind not in ("integer", "number") or not look.columns[name].filled:
        return False
    values, missing, bad = to_floats(look.table[name])
    values = values[~missing & ~bad]
    return bool(len(values) and len(np.unique(values)) <= 21 and np.abs(values).max() <= LONGEST_SCALE)


def _name_columns(look: TableLook) -> None:
    """Names for the columns of a file without a header, where it looks like user, item, rating and time."""
    names = list(look.columns)
    if not 2 <= len(names) <= 5 or any(look.columns[name].kind == "list" for name in names):
        return
    given = dict(zip(names[:2], ("user_id", "item_id"), strict=True))
    for name in names[2:]:
        if "timestamp" not in given.values() and is_time(look, name):
            given[name] = "timestamp"
        elif "rating" not in given.values() and is_scale(look, name):
            given[name] = "rating"
    if len(names) > 2 and len(given) == 2:
        return
    renamed = [given.get(name, name) for name in names]
    look.form["header"] = renamed
    look.table = look.table.rename_columns(renamed)
    look.columns = {column: _look(column, look.table[column]) for column in renamed}
    look.doubts.append("that the first column is the user and the second the item is a guess by their order")
