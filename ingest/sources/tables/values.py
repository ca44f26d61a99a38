"""Columns of any Arrow type as ids, numbers, times, or the type that their texts show.

Ids are strings everywhere: 1, 1.0 (of a numeric column) and "1" are the same id; text is taken as written ("007" and
"1.0" stay), only blanks around it are cut. Timestamps become UTC seconds; those without a zone are taken as UTC.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.sources.tables.column_types import EXACT_INTEGERS, plain_column
from kg.arrays import IntArray
from kg.errors import InvalidDataError

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
EXACT_UP_TO = {pa.float16(): 2**11, pa.float32(): 2**24}
NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"


def to_ids(values: Any) -> Any:
    """Ids as Arrow strings; null where there is none.

    Raises:
        InvalidDataError: the column holds neither text nor whole numbers.
    """
    kind = values.type
    array = plain_column(values)
    if array is None:
        raise InvalidDataError(f"ids of type {kind} are no ids: give text or whole numbers")
    if pa.types.is_null(array.type) or pa.types.is_integer(array.type):
        return array.cast(pa.string())
    if pa.types.is_floating(array.type):
        return _whole_ids(array, kind)
    if pa.types.is_string(array.type):
        text = pc.utf8_trim_whitespace(array)
        return pc.if_else(pc.equal(text, ""), None, text)
    raise InvalidDataError(f"ids of type {kind} are no ids: give text or whole numbers")


def _whole_ids(numbers: Any, kind: Any) -> Any:
    """Ids of a column of floats.

    Raises:
        InvalidDataError: they are fractions, or so large that a float cannot tell neighbours apart.
    """
    numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
    if not pc.all(pc.equal(numbers, pc.floor(numbers)), min_count=0).as_py():
        raise InvalidDataError("ids that are fractions are no ids: give text or whole numbers")
    limit = EXACT_UP_TO.get(kind, EXACT_INTEGERS)
    too_large = pc.greater_equal(pc.abs(numbers), float(limit))
    if pc.any(too_large, min_count=0).as_py():
        example = numbers.filter(pc.fill_null(too_large, False))[0].as_py()
        raise InvalidDataError(
            f"ids such as {example:.0f} arrive as {kind}, which cannot tell ids from {limit} on apart: their "
            "last digits are lost. Read the column as text or integers (pandas makes floats of integers where some are "
            'missing: dtype="string" or "Int64" keeps them)'
        )
    return numbers.cast(pa.int64()).cast(pa.string())


def to_floats(values: Any) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Floats, which of them are missing (null, NaN, infinite), and which cells are no numbers; each (n,)."""
    array = _plain(values)
    bad = np.zeros(len(array), dtype=bool)
    if pa.types.is_string(array.type):
        lowered = pc.utf8_lower(pc.utf8_trim_whitespace(array))
        array = pc.if_else(pc.is_in(lowered, value_set=pa.array(["", "nan", "na", "null", "inf", "-inf"])), None, array)
        number = _mask(pc.match_substring_regex(array, NUMBER))
        bad = ~number & array.is_valid().to_numpy(zero_copy_only=False)
        plain = pc.replace_substring_regex(array, r"^\s*\+?([^\s]+)\s*$", r"\1")
        array = pc.if_else(pa.array(number), plain, None)
    try:
        # A whole number beyond 2^53 becomes the nearest float.
        floats: FloatArray = array.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InvalidDataError(f"a column of type {array.type} holds no numbers: {error}") from error
    return floats, ~np.isfinite(floats) & ~bad, bad


def are_numbers(values: Any) -> BoolArray:
    """Which cells are numbers, or texts that show one; (n,)."""
    array = _plain(values)
    if pa.types.is_string(array.type):
        return _mask(pc.match_substring_regex(array, NUMBER))
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return _mask(array.is_valid())
    return np.zeros(len(array), dtype=bool)


def to_seconds(values: Any, *, per_second: int = 1) -> tuple[IntArray, BoolArray, BoolArray]:
    """UTC seconds, which are missing, and which cells are no time; each (n,). Missing and bad ones are 0.

    Args:
        values: numbers, text (numbers or ISO 8601, perhaps with the name of the zone in brackets), dates or timestamps.
        per_second: how many of what numbers count make a second; timestamps and dates have a unit of their own.
    """
    array = _plain(values)
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
    # Java and Neo4j write the name of the zone after its offset (RFC 9557), which alone counts.
    array = pc.replace_substring_regex(array, r"(\dZ|[+-]\d\d:?\d\d)\[[^\]]+\]$", r"\1")
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


def _plain(values: Any) -> Any:
    """The column as a type of `plain_column`; one that has none stays as it is, for the message."""
    array = plain_column(values)
    if array is not None:
        return array
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _mask(values: Any) -> BoolArray:
    result: BoolArray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return result


def infer_type(values: Any) -> Any | None:
    """A text column as integers, floats or booleans when every cell is one, and nothing that was written is lost.

    What stays text: ids such as "007"; numbers with more digits than their type holds; decimals of which two are the
    same number, such as 1.1 and 1.10, or which end in zeros like versions (1.9, 1.10), unless all have as many digits
    after the point, like prices (9.90, 12.50).

    Returns:
        The column; one that is no text as a type of `plain_column`, None when there is none.
    """
    array = plain_column(values)
    if array is None or not pa.types.is_string(array.type) or array.null_count == len(array):
        return array
    if pc.all(pc.match_substring_regex(array, r"^-?(0|[1-9]\d*)$")).as_py():
        try:
            return array.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            return array
    if pc.all(pc.match_substring_regex(array, r"^-?(0|[1-9]\d*)(\.\d+)?$")).as_py():
        return array.cast(pa.float64()) if _are_numbers(array) else array
    lowered = pc.utf8_lower(array)
    if pc.all(pc.is_in(lowered, value_set=pa.array(["true", "false", None]))).as_py():
        return pc.if_else(array.is_null(), None, pc.equal(lowered, "true"))
    return array


def _are_numbers(decimals: Any) -> bool:
    """Whether decimals are as good as floats: none loses a digit, and no two become one."""
    texts = pc.unique(decimals).drop_null()
    places = pc.utf8_length(pc.replace_substring_regex(texts, r"^[^.]*\.?", ""))
    ends_in_zero = pc.match_substring_regex(texts, r"\.\d*[1-9]0+$")
    if pc.any(ends_in_zero).as_py() and pc.count_distinct(places).as_py() > 1:
        return False
    if len(pc.unique(texts.cast(pa.float64()))) < len(texts):
        return False
    return keeps_digits(texts)


def keeps_digits(numbers: Any) -> bool:
    """Whether floats hold every digit of these numbers, which are text without blanks (nulls are fine)."""
    # Up to 15 digits every decimal is a float of its own.
    long = pc.unique(numbers.filter(pc.fill_null(pc.greater(pc.utf8_length(numbers), 16), False)))
    return all(Decimal(repr(float(text))) == Decimal(text) for text in long.to_pylist())
