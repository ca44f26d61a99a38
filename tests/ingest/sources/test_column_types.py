from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import GraphBuilder, GraphSettings
from ingest.sources.tables import to_floats, to_ids, to_seconds
from ingest.sources.tables.column_types import plain_column
from kg.errors import InvalidDataError

BIG = 2**63 + 5
BYTES = [b"0123456789abcdef", b"fedcba9876543210"]
WHOLE = [Decimal(1), Decimal(-2), None]

PLAIN: dict[str, tuple[Any, Any, list[Any]]] = {
    "large string": (pa.array(["a", None], pa.large_string()), pa.string(), ["a", None]),
    "string view": (pa.array(["a", None], pa.string_view()), pa.string(), ["a", None]),
    "bytes of text": (pa.array(["é".encode(), None]), pa.string(), ["é", None]),
    "byte view": (pa.array([b"a", None], pa.binary_view()), pa.string(), ["a", None]),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), ["a", None, "a"]),
    "run-end": (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([5, None])), pa.int64(), [5, 5, None]),
    "uint64": (pa.array([7, None], pa.uint64()), pa.int64(), [7, None]),
    "large uint64": (pa.array([BIG, None, 1], pa.uint64()), pa.string(), [str(BIG), None, "1"]),
    "whole decimal": (pa.array(WHOLE, pa.decimal128(10, 2)), pa.int64(), [1, -2, None]),
    "decimal256": (pa.array(WHOLE, pa.decimal256(50, 0)), pa.int64(), [1, -2, None]),
    "decimal": (pa.array([Decimal("1.50"), Decimal("-0.05")], pa.decimal128(10, 2)), pa.float64(), [1.5, -0.05]),
    "long decimal": (
        pa.array([Decimal("12345678901234567.5")], pa.decimal128(20, 1)), pa.string(), ["12345678901234567.5"],
    ),
    "half float": (pa.array([1.5, None], pa.float16()), pa.float64(), [1.5, None]),
    "float": (pa.array([0.1, None], pa.float32()), pa.float64(), [0.1, None]),
    "date64": (pa.array([dt.date(2001, 2, 3), None], pa.date64()), pa.date32(), [dt.date(2001, 2, 3), None]),
    "uuid": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array(BYTES, pa.binary(16))),
        pa.string(), [str(uuid.UUID(bytes=value)) for value in BYTES],
    ),
    "large list": (pa.array([["a"], None, []], pa.large_list(pa.string())), pa.list_(pa.string()), [["a"], None, []]),
    "list view": (pa.array([["a"], None], pa.list_view(pa.string())), pa.list_(pa.string()), [["a"], None]),
    "fixed list": (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), pa.list_(pa.int64()), [[1, 2], None]),
    "list of dictionary": (
        pa.ListArray.from_arrays([0, 1, 3], pa.array(["a", "b", "a"]).dictionary_encode()),
        pa.list_(pa.string()), [["a"], ["b", "a"]],
    ),
    "nulls": (pa.nulls(2), pa.null(), [None, None]),
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "struct": pa.array([{"x": 1}, {"x": 2}]),
    "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
    "list of lists": pa.array([[["a"]], None]),
    "list of structs": pa.array([[{"x": 1}], []]),
    "time": pa.array([dt.time(1, 2), None]),
    "duration": pa.array([dt.timedelta(1), None]),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "fixed bytes": pa.array(BYTES, pa.binary(16)),
    "bytes": pa.array([b"\xff", b"a"]),
}


@pytest.mark.parametrize("name", PLAIN)
def test_other_spellings_of_plain_columns(name: str) -> None:
    column, kind, values = PLAIN[name]
    for array in (column, column.slice(1), pa.chunked_array([column.slice(0, 1), column.slice(1)])):
        expected = values if len(array) == len(values) else values[1:]
        plain = plain_column(array)
        if name in ("large uint64", "long decimal") and len(array) < len(values):
            continue  # what is left may fit
        assert plain is not None
        assert (plain.type, plain.to_pylist()) == (kind, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_graph_cannot_keep_is_left_out_as_an_attribute_and_refused_elsewhere(name: str) -> None:
    column = OTHERS[name]
    assert plain_column(column) is None
    builder = GraphBuilder(GraphSettings()).add_interactions({"user_id": ["u", "u"], "item_id": ["a", "b"]})
    builder.add_attributes(pa.table({"id": ["a", "b"], "odd": column, "year": [1, 2]}), node="item", name="items")
    graph, report = builder.build()
    assert graph.nodes["item"].column_names == ["id", "year"]
    assert report.findings["columns left out"].examples == [f"items: odd is of type {column.type}"]
    for reader in (to_ids, to_floats, to_seconds):
        with pytest.raises(InvalidDataError, match=r"ids of type|holds no numbers"):
            reader(column)


def test_rare_types_go_through_a_parquet_file(tmp_path: Path) -> None:
    columns = {name.replace(" ", "_"): PLAIN[name][0].slice(0, 1) for name in PLAIN if name != "run-end"}
    pq.write_table(pa.table({"id": ["a"], **columns}), tmp_path / "ITEMS.PARQUET")
    builder = GraphBuilder(GraphSettings()).add_interactions({"user_id": ["u"], "item_id": ["a"]})
    graph, report = builder.add_attributes(tmp_path / "ITEMS.PARQUET", node="item").build()
    row = graph.nodes["item"].to_pylist()[0]
    assert row == {"id": "a", **{name.replace(" ", "_"): PLAIN[name][2][0] for name in PLAIN if name != "run-end"}}
    assert "columns left out" not in report.findings


@pytest.mark.parametrize(
    ("kind", "first_lost"), [(pa.float64(), 2**53), (pa.float32(), 2**24), (pa.float16(), 2**11)], ids=str
)
def test_ids_that_a_float_cannot_tell_apart_are_refused(kind: Any, first_lost: int) -> None:
    assert to_ids(pa.array([float(first_lost - 1), None], kind)).to_pylist() == [str(first_lost - 1), None]
    with pytest.raises(InvalidDataError, match=rf"{first_lost} arrive as .*Int64"):
        to_ids(pa.array([1.0, float(first_lost)], kind))


def test_long_ids_of_pandas_are_kept_or_refused_but_never_rounded() -> None:
    ids = [1234567890123456781, 1234567890123456782]
    for frame in (pd.DataFrame({"id": ids}), pd.DataFrame({"id": pd.array([*ids, None], dtype="Int64")}).dropna()):
        assert to_ids(pa.Table.from_pandas(frame)["id"]).to_pylist() == [str(id) for id in ids]
    with pytest.raises(InvalidDataError, match="last digits are lost"):
        to_ids(pa.Table.from_pandas(pd.DataFrame({"id": [*ids, None]}))["id"])


def test_whole_numbers_beyond_the_floats_are_numbers_still() -> None:
    nanoseconds = pa.array([1_500_000_000_123_456_789])
    assert to_floats(nanoseconds)[0].tolist() == [1_500_000_000_123_456_768.0]
