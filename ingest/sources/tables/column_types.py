"""Columns of any Arrow type as one of the few that a graph keeps.

These are strings, 64-bit integers, floats, booleans, dates, timestamps and lists of these. Other spellings of them
(dictionaries, run-end encoding, large and view types, small and unsigned integers, decimals, half floats, UUIDs, bytes
that are UTF-8 text) are turned into them without losing a digit. What is left has no such type: structs, maps, lists of
lists, durations, times of day, other bytes.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LARGEST_INT64 = 2**63 - 1
EXACT_INTEGERS = 2**53  # up to here every integer is a float64


def plain_column(values: Any) -> Any | None:
    """A column as a type that a graph keeps; None when there is none for it.

    Args:
        values: Arrow array or chunked array.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
        return plain_column(array.storage)
    if pa.types.is_dictionary(kind):
        return plain_column(array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain_column(pc.run_end_decode(array))
    if is_list_type(kind):
        return _plain_list(array)
    return _plain_scalars(array)


def _plain_scalars(array: Any) -> Any | None:
    kind = array.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if any(of(kind) for of in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)):
        return _text_of_bytes(array)
    if pa.types.is_decimal(kind):
        return _plain_decimals(array)
    if pa.types.is_uint64(kind):
        fits = pc.all(pc.less_equal(array, pa.scalar(LARGEST_INT64, pa.uint64())), min_count=0).as_py()
        return array.cast(pa.int64() if fits else pa.string())
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_floating(kind):
        # By way of its shortest decimal, so that .1 is .1 in 64 bits, too.
        single = array.cast(pa.float32()) if pa.types.is_float16(kind) else array
        return single if pa.types.is_float64(kind) else single.cast(pa.string()).cast(pa.float64())
    if pa.types.is_date(kind):
        return array.cast(pa.date32())
    kept = (pa.types.is_string, pa.types.is_boolean, pa.types.is_timestamp, pa.types.is_null)
    return array if any(of(kind) for of in kept) else None


def is_list_type(kind: Any) -> bool:
    """Whether a type is one of lists."""
    kinds = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(of(kind) for of in kinds)


def _plain_list(array: Any) -> Any | None:
    """Lists of scalars as `pa.ListArray`; None when they hold other things."""
    kind = array.type
    if not pa.types.is_list(kind):
        # Through Python, for Arrow has no casts between all kinds of lists.
        value = kind.value_type
        array = pa.array(array.to_pylist(), pa.list_(value))
    values = array.flatten()
    inner = None if pa.types.is_nested(values.type) and not is_list_type(values.type) else plain_column(values)
    if inner is None or pa.types.is_nested(inner.type):
        return None
    offsets = pc.fill_null(pc.list_value_length(array), 0).to_numpy().cumsum()
    starts = pa.array([0, *offsets.tolist()], pa.int32(), mask=[*array.is_null().to_numpy(False).tolist(), False])
    return pa.ListArray.from_arrays(starts, inner)


def _text_of_bytes(array: Any) -> Any | None:
    """Bytes as the text that they encode; None when some are no UTF-8."""
    try:
        return array.cast(pa.large_binary()).cast(pa.large_string()).cast(pa.string())
    except pa.ArrowInvalid:
        return None


def _plain_decimals(array: Any) -> Any:
    """Decimals as integers, or floats that hold every digit; as text where neither does."""
    texts = array.cast(pa.string())
    whole = pc.replace_substring_regex(texts, r"^(-?\d+)(\.0*)?$", r"\1")
    if pc.all(pc.match_substring_regex(whole, r"^-?\d{1,18}$"), min_count=0).as_py():
        return whole.cast(pa.int64())
    digits = pc.utf8_length(pc.replace_substring_regex(texts, r"^-?0*\.?0*|\.", ""))
    exact = pc.all(pc.less_equal(digits, 15), min_count=0).as_py()
    return array.cast(pa.float64()) if exact else texts
