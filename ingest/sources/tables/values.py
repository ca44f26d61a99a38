"""Columns of any Arrow type as ids, numbers, times, or the type that their texts show.

Ids are strings everywhere: 1, 1.0 (of a numeric column) and "1" are the same id; text is taken as written ("007" and
"1.0" stay), only blanks around it are cut. Timestamps become UTC seconds; those without a zone are taken as UTC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.errors import InvalidDataError

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"


def to_ids(values: Any) -> Any:
    """Ids as Arrow strings; null where there is none.

    Raises:
        InvalidDataError: the column holds neither text nor whole numbers.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if pa.types.is_integer(array.type):
        return array.cast(pa.string())
    if pa.types.is_floating(array.type):
        numbers = array.cast(pa.float64())
        numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
        if not pc.all(pc.equal(numbers, pc.floor(numbers)), min_count=0).as_py():
            raise InvalidDataError("ids that are fractions are no ids: give text or whole numbers")
        return numbers.cast(pa.int64()).cast(pa.string())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or str(array.type) == "string_view":
        text = pc.utf8_trim_whitespace(array.cast(pa.string()))
        return pc.if_else(pc.equal(text, ""), None, text)
    raise InvalidDataError(f"ids of type {array.type} are no ids: give text or whole numbers")


def to_floats(values: Any) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Floats, which of them are missing (null, NaN, infinite), and which cells are no numbers; each (n,)."""
    array = _flat(values)
    bad = np.zeros(len(array), dtype=bool)
    if pa.types.is_string(array.type):
        lowered = pc.utf8_lower(pc.utf8_trim_whitespace(array))
        array = pc.if_else(pc.is_in(lowered, value_set=pa.array(["", "nan", "na", "null", "inf", "-inf"])), None, array)
        number = _mask(pc.match_substring_regex(array, NUMBER))
        bad = ~number & array.is_valid().to_numpy(zero_copy_only=False)
        plain = pc.replace_substring_regex(array, r"^\s*\+?([^\s]+)\s*$", r"\1")
        array = pc.if_else(pa.array(number), plain, None)
    try:
        floats: FloatArray = array.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InvalidDataError(f"a column of type {array.type} holds no numbers: {error}") from error
    return floats, ~np.isfinite(floats) & ~bad, bad


def to_seconds(values: Any, *, per_second: int = 1) -> tuple[IntArray, BoolArray, BoolArray]:
    """UTC seconds, which are missing, and which cells are no time; each (n,). Missing and bad ones are 0.

    Args:
        values: numbers, text (numbers or ISO 8601), dates or timestamps.
        per_second: how many of what numbers count make a second; timestamps and dates have a unit of their own.
    """
    array = _flat(values)
    size = len(array)
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(array.type):
        # Instants are UTC inside whatever the zone, so only the unit needs changing.
        unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        missing = array.is_null().to_numpy(zero_copy_only=False)
        ticks = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return ticks // unit, missing, np.zeros(size, dtype=bool)
    if not pa.types.is_string(array.type):
        floats, missing, bad = to_floats(array)
        return _whole_seconds(floats / per_second), missing, bad
    blank = _mask(pc.is_in(pc.utf8_trim_whitespace(array), value_set=pa.array(["", "NaN", "nan", "NaT", "null"])))
    array = pc.if_else(pa.array(blank), None, pc.utf8_trim_whitespace(array))
    number = _mask(pc.match_substring_regex(array, NUMBER))
    floats, missing, _ = to_floats(pc.if_else(pa.array(number), array, None))
    result = _whole_seconds(floats / per_second)
    texts = array.is_valid().to_numpy(zero_copy_only=False) & ~number
    bad = texts.copy()
    missing = missing & ~texts
    zoned = _mask(pc.match_substring_regex(array, r"[T ]\d\d.*(Z|[+-]\d\d:?\d\d)$"))
    for chosen, zone in ((texts & zoned, "UTC"), (texts & ~zoned, None)):
        rows = np.flatnonzero(chosen)
        shaped = _mask(
            pc.match_substring_regex(
                array.take(pa.array(rows)),
                r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
                r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$",
            )
        )
        rows = rows[shaped]
        if not len(rows):
            continue
        times, good = _parse_times(array.take(pa.array(rows)), zone)
        result[rows[good]] = times[good]
        bad[rows[good]] = False
    return result, missing, bad


def _parse_times(texts: Any, zone: str | None) -> tuple[IntArray, BoolArray]:
    """Seconds of texts that look like ISO 8601, and which exist in the calendar (30 February does not)."""
    kind = pa.timestamp("ns", zone)
    try:
        ticks = texts.cast(kind).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return ticks // 10**9, np.ones(len(texts), dtype=bool)
    except pa.ArrowException:
        if len(texts) == 1:
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool)
        half = len(texts) // 2
        parts = [_parse_times(texts[:half], zone), _parse_times(texts[half:], zone)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _whole_seconds(floats: FloatArray) -> IntArray:
    finite = np.where(np.isfinite(floats), floats, 0.0)
    seconds: IntArray = np.floor(np.clip(finite, -(2.0**62), 2.0**62)).astype(np.int64)
    return seconds


def _flat(values: Any) -> Any:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_large_string(array.type) or str(array.type) == "string_view":
        array = array.cast(pa.string())
    return array


def _mask(values: Any) -> BoolArray:
    result: BoolArray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return result


def infer_type(values: Any) -> Any:
    """A text column as integers, floats or booleans when every cell is one; ids such as "007" stay text."""
    array = _flat(values)
    if not pa.types.is_string(array.type) or array.null_count == len(array):
        return array
    for pattern, kind in ((r"^-?(0|[1-9]\d{0,17})$", pa.int64()), (r"^-?(0|[1-9]\d*)(\.\d+)?$", pa.float64())):
        if pc.all(pc.match_substring_regex(array, pattern)).as_py():
            return array.cast(kind)
    lowered = pc.utf8_lower(array)
    if pc.all(pc.is_in(lowered, value_set=pa.array(["true", "false", None]))).as_py():
        return pc.if_else(array.is_null(), None, pc.equal(lowered, "true"))
    return array
