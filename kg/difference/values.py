"""Which values of two columns are equal, whatever their types: see `difference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray

BoolArray = npt.NDArray[np.bool_]


def plain_column(table: Any, name: str) -> Any:
    """A column as one plain Arrow array; nulls where the table has none."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows)
    column = table[name]
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column.cast(pa.list_(kind.value_type)) if pa.types.is_large_list(kind) else column


def _alike(first: Any, second: Any) -> tuple[Any, Any]:
    """Two columns as one type, in which equal values are those that `difference` takes for equal."""
    if pa.types.is_null(first.type):
        return pa.nulls(len(first), second.type), second
    if pa.types.is_null(second.type):
        return first, pa.nulls(len(second), first.type)
    if pa.types.is_list(first.type) and pa.types.is_list(second.type):
        elements = _alike(first.flatten(), second.flatten())
        return _with_elements(first, elements[0]), _with_elements(second, elements[1])
    if pa.types.is_list(first.type):
        return _alike(first, _singletons(second))
    if pa.types.is_list(second.type):
        return _alike(_singletons(first), second)
    if first.type == second.type:
        return first, second
    if _is_number(first.type) and _is_number(second.type):
        whole = pa.types.is_integer(first.type) and pa.types.is_integer(second.type)
        kind = pa.int64() if whole else pa.float64()
        return first.cast(kind, safe=False), second.cast(kind, safe=False)
    return _text(first), _text(second)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _singletons(array: Any) -> Any:
    """Each value as a list of it alone; null stays null."""
    offsets = np.concatenate([[0], np.cumsum(array.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int32)
    missing = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), array.drop_null())


def _with_elements(array: Any, elements: Any) -> Any:
    """The same lists with other elements."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    missing = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), elements)


def _text(array: Any) -> Any:
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # structs and the like
        return pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.string())


def same_values(first: Any, second: Any) -> BoolArray:
    """Where two columns of the same rows hold the same, (rows,)."""
    first, second = _alike(first, second)
    both_null: BoolArray = pc.and_(first.is_null(), second.is_null()).to_numpy(zero_copy_only=False)
    if pa.types.is_null(first.type):
        return both_null
    if pa.types.is_list(first.type):
        lengths = [pc.fill_null(pc.list_value_length(a), -1).to_numpy(zero_copy_only=False) for a in (first, second)]
        equal: BoolArray = lengths[0] == lengths[1]
        rows = np.flatnonzero(equal)
        parts = [array.take(pa.array(rows)).flatten() for array in (first, second)]
        owner = np.repeat(rows, np.maximum(lengths[0][rows], 0))
        equal[owner[~same_values(*parts)]] = False
        return equal
    if pa.types.is_nested(first.type):
        first, second = _text(first), _text(second)
    same: BoolArray = pc.fill_null(pc.equal(first, second), False).to_numpy(zero_copy_only=False) | both_null
    if pa.types.is_floating(first.type):
        nan = [pc.fill_null(pc.is_nan(array), False).to_numpy(zero_copy_only=False) for array in (first, second)]
        same |= nan[0] & nan[1]
    return same


def value_codes(first: Any, second: Any) -> tuple[IntArray, int]:
    """A number for each value of two columns, one after the other, the same for the same value, and their bound."""
    first, second = _alike(first, second)
    if pa.types.is_floating(first.type):
        # -0.0 and 0.0 are equal, and so are all NaN.
        first, second = (
            pc.if_else(pc.is_nan(a), pa.scalar(float("nan"), a.type), pc.add(a, 0.0)) for a in (first, second)
        )
    if pa.types.is_nested(first.type):
        first, second = (
            pa.array([repr(value) for value in array.to_pylist()], pa.string()) for array in (first, second)
        )
    both = pa.concat_arrays([first, second])
    if pa.types.is_null(both.type):
        return np.zeros(len(both), np.int64), 1
    encoded = both.dictionary_encode(null_encoding="encode")
    codes: IntArray = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, max(len(encoded.dictionary), 1)
