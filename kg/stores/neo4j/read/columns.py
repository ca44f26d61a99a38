"""Values of a property, page by page, as Arrow columns: one type for the whole column, by the values of all its pages.

A type is a scalar or a list of scalars. Of two types that meet, a list wins over a scalar, anything over null, float
over int; whatever else meets becomes text. That is the same in whatever order and in whichever pages values come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from neo4j import graph
from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time

from kg.errors import InvalidDataError

SCALARS = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "text": pa.string(),
}
TYPES = SCALARS | {f"list of {name}": pa.list_(kind) for name, kind in SCALARS.items()}
_NAMES = {kind: name for name, kind in SCALARS.items()}
_PLAIN = {bool: "bool", int: "int", float: "float", str: "text"}
_LIST = "list of "


def type_name(kind: Any) -> str:
    """The name of one of `TYPES`."""
    # Parquet calls the elements of a list by another name, which makes it another type to Arrow.
    return _LIST + _NAMES[kind.value_type] if pa.types.is_list(kind) else _NAMES[kind]


def meet(first: str, second: str) -> str:
    """The type that holds the values of both."""
    scalar = _meet_scalars(first.removeprefix(_LIST), second.removeprefix(_LIST))
    # Nothing but nulls says nothing about lists, and a list of nulls is a list.
    return _LIST + scalar if first.startswith(_LIST) or second.startswith(_LIST) else scalar


def _meet_scalars(first: str, second: str) -> str:
    if first == second or second == "null":
        return first
    if first == "null":
        return second
    return "float" if {first, second} == {"int", "float"} else "text"


def column(values: Sequence[Any]) -> tuple[Any, int]:
    """One page of a property as an Arrow array.

    Args:
        values: what the driver gave, None where a node or relationship lacks the property.

    Returns:
        The array, of one of `TYPES`, and how many byte arrays were left out (they are null in it).

    Raises:
        InvalidDataError: there are nodes, relationships or paths among the values.
    """
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if not kinds:
        return pa.nulls(len(values)), 0
    if len(kinds) == 1:
        only = kinds.pop()
        inner = {kind for value in values if value for kind in map(type, value)} if only is list else {only}
        if len(inner) == 1 and (plain_name := _PLAIN.get(inner.pop())):
            return pa.array(values, TYPES[_LIST + plain_name if only is list else plain_name]), 0
    left_out = 0
    plain: list[Any] = []
    name = "null"
    for value in values:
        if isinstance(value, bytes | bytearray):
            left_out += 1
            plain.append(None)
            continue
        kind, simple = _simple(value)
        name = meet(name, kind)
        plain.append(simple)
    return pa.array([_as(value, name) for value in plain], TYPES[name]), left_out


def temporal_column(texts: Sequence[Any], kind: str) -> Any:
    """One page of a temporal property, which the server wrote as text.

    The driver's own objects are slow, and it has none for the years that Python does not know.

    Args:
        texts: texts or lists of texts, None where the property is not there.
        kind: "date", "datetime", or "text" for all others; what is no such value stays text.
    """
    if kind == "text":
        return column(texts)[0]
    if kind == "datetime" and (moments := _moments(texts)) is not None:
        return moments
    plain = []
    name = "null"
    for text in texts:
        if isinstance(text, list):
            elements = [_parsed(element, kind) for element in text]
            value_type = "null"
            for inner, _ in elements:
                value_type = _meet_scalars(value_type, inner)
            value_type, value = _LIST + value_type, [element for _, element in elements]
        else:
            value_type, value = _parsed(text, kind)
        name = meet(name, value_type)
        plain.append(value)
    return pa.array([_as(value, name) for value in plain], TYPES[name])


def _moments(texts: Sequence[Any]) -> Any | None:
    """A column whose values are all moments in UTC in the years of Python's `datetime`, at once; None for any other."""
    try:
        array = pa.array(texts, pa.string())
        is_moment = pc.and_(pc.ends_with(array, "Z"), pc.invert(pc.starts_with(array, "0000")))
        if array.null_count == len(array) or not pc.all(is_moment).as_py():
            return None
        return array.cast(TYPES["datetime"])
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # lists, more digits than microseconds
        return None


def _parsed(text: str | None, kind: str) -> tuple[str, Any]:
    if text is None:
        return "null", None
    try:
        if kind == "date":
            return kind, date.fromisoformat(text)
        moment = datetime.fromisoformat(text.partition("[")[0])  # after it comes the name of the zone
        # A local time says nothing about its zone: it is read as UTC.
        return kind, moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return "text", text


def cast(array: Any, name: str) -> Any:
    """A page's array as the type of the whole column."""
    own = type_name(array.type)
    if own == name:
        return array if array.type == TYPES[name] else array.cast(TYPES[name])
    if own == "null":
        return pa.nulls(len(array), TYPES[name])
    if own == "int" and name == "float":
        return array.cast(pa.float64(), safe=False)
    return pa.array([_as(value, name) for value in array.to_pylist()], TYPES[name])


def _simple(value: Any) -> tuple[str, Any]:
    """The type of a value of the driver, and the value in plain Python."""
    if value is None:
        return "null", None
    if isinstance(value, list):
        simple = [_simple(element) for element in value]
        name = "null"
        for kind, _ in simple:
            name = _meet_scalars(name, kind if kind in SCALARS else "text")
        return _LIST + name, [element for _, element in simple]
    plain_type = _PLAIN.get(type(value))
    return (plain_type, value) if plain_type else _special(value)


def _special(value: Any) -> tuple[str, Any]:
    if isinstance(value, DateTime):
        try:
            native = value.to_native()
            # A local time says nothing about its zone: it is read as UTC.
            aware = native.astimezone(UTC) if native.tzinfo else native.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            return "text", value.iso_format()
        return "datetime", aware
    if isinstance(value, Date):
        return "date", value.to_native()
    if isinstance(value, Time | Duration):
        return "text", value.iso_format()
    if isinstance(value, Point):
        return "text", f"SRID={value.srid};POINT({' '.join(_number(part) for part in value)})"
    if isinstance(value, graph.Entity | graph.Path):
        raise InvalidDataError(
            f"a query returns a {type(value).__name__.lower()}, which is no value of a column: return its "
            "properties, one a column"
        )
    if isinstance(value, bytes | bytearray):
        return "null", None
    if isinstance(value, dict):
        return "text", json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    if callable(to_native := getattr(value, "to_native", None)):  # a vector, in newer drivers
        return _simple(to_native())
    # The driver could not make sense of it.
    return "null", None


def _as(value: Any, name: str) -> Any:
    """A plain value as the Python value of a wider type."""
    if value is None:
        return None
    if name.startswith(_LIST):
        elements = value if isinstance(value, list) else [value]
        return [_as(element, name.removeprefix(_LIST)) for element in elements]
    if name == "float":
        return float(value)
    return _text(value) if name == "text" else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value)


def _number(value: float) -> str:
    """A float as text: whole ones as integers are written, so that a column of both reads the same in any order."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


class ContentDigest:
    """A digest of tables that are fed in pieces; where one piece ends and the next begins makes no difference."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, ...], Any] = {}

    def feed(self, table: str, columns: Iterable[tuple[str, Any]]) -> None:
        """Add rows to a table.

        Args:
            table: its name.
            columns: name and Arrow array of each column, every time the same columns of the same types.
        """
        for name, array in columns:
            self._feed((table, name, str(array.type)), array)

    def _feed(self, path: tuple[str, ...], array: Any) -> None:
        self._update((*path, "there"), array.is_valid().to_numpy(zero_copy_only=False))
        if pa.types.is_null(array.type):
            return
        array = array.drop_null()
        if pa.types.is_list(array.type):
            self._update((*path, "sizes"), pc.list_value_length(array).to_numpy(zero_copy_only=False))
            self._feed((*path, "elements"), array.flatten())
        elif pa.types.is_string(array.type):
            self._update((*path, "sizes"), pc.binary_length(array).to_numpy(zero_copy_only=False))
            raw = array.cast(pa.binary())
            start = raw.offset
            offsets = memoryview(raw.buffers()[1]).cast("i")
            if len(raw):
                data = memoryview(raw.buffers()[2])[offsets[start] : offsets[start + len(raw)]]
                self._update((*path, "text"), data)
        else:
            if pa.types.is_date(array.type):
                array = array.cast(pa.int32())
            elif pa.types.is_timestamp(array.type):
                array = array.cast(pa.int64())
            self._update((*path, "values"), array.to_numpy(zero_copy_only=False))

    def _update(self, path: tuple[str, ...], data: Any) -> None:
        part = self._parts.get(path)
        if part is None:
            part = self._parts[path] = hashlib.blake2b(digest_size=16)
        part.update(memoryview(data).cast("B") if len(data) else b"")

    def hexdigest(self) -> str:
        """The digest of all that was fed."""
        parts = sorted((list(path), part.hexdigest()) for path, part in self._parts.items())
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
