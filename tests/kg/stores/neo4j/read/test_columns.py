"""One type for a column, told from its values in whatever order and pages they come."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import permutations, product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.spatial import CartesianPoint, WGS84Point
from neo4j.time import Date, DateTime, Duration, Time

from kg.stores.neo4j.read import columns
from kg.stores.neo4j.read.columns import SCALARS, TYPES, ContentDigest, cast, column, meet, type_name

BIG = 2**63 - 1


def page(*values: Any) -> tuple[str, list[Any]]:
    array, _ = column(list(values))
    return type_name(array.type), array.to_pylist()


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ([None, None], "null", [None, None]),
        ([BIG, -BIG - 1, None], "int", [BIG, -BIG - 1, None]),
        ([1, 2.5, None], "float", [1.0, 2.5, None]),
        ([2**60 + 1, 0.5], "float", [float(2**60 + 1), 0.5]),
        ([True, False], "bool", [True, False]),
        ([True, 1], "text", ["true", "1"]),
        (["a", None], "text", ["a", None]),
        (["a", 1, 2.5, 3.0, True], "text", ["a", "1", "2.5", "3", "true"]),
        ([[1, 2], None, []], "list of int", [[1, 2], None, []]),
        ([[1], 2, None], "list of int", [[1], [2], None]),
        ([[1], 2.5], "list of float", [[1.0], [2.5]]),
        ([["a"], 1], "list of text", [["a"], ["1"]]),
        ([[], []], "list of null", [[], []]),
        ([[True], [1]], "list of text", [["true"], ["1"]]),
        ([Date(2020, 2, 29)], "date", [date(2020, 2, 29)]),
        ([[Date(2020, 2, 29)], None], "list of date", [[date(2020, 2, 29)], None]),
        ([DateTime(2020, 2, 29, 1, 2, 3, 123456789)], "datetime", [datetime(2020, 2, 29, 1, 2, 3, 123456, tzinfo=UTC)]),
        ([Date(2020, 2, 29), "soon"], "text", ["2020-02-29", "soon"]),
        ([Time(1, 2, 3)], "text", ["01:02:03.000000000"]),
        ([Duration(days=1, hours=2)], "text", ["P1DT2H"]),
        ([WGS84Point((12.5, 41.9))], "text", ["SRID=4326;POINT(12.5 41.9)"]),
        ([CartesianPoint((1.0, 2.0, 3.0))], "text", ["SRID=9157;POINT(1 2 3)"]),
        ([[WGS84Point((12.5, 41.9))]], "list of text", [["SRID=4326;POINT(12.5 41.9)"]]),
        ([{"a": 1}], "text", ['{"a": 1}']),
        ([[[1, 2], [3]]], "list of text", [["[1, 2]", "[3]"]]),
    ],
)
def test_a_page_has_the_type_that_holds_all_its_values(values: list[Any], name: str, expected: list[Any]) -> None:
    assert page(*values) == (name, expected)


def test_a_point_or_duration_is_no_list_though_python_takes_it_for_a_tuple() -> None:
    assert page(Duration(months=1), Duration(months=2))[0] == "text"


def test_a_zoned_time_becomes_utc_and_a_year_beyond_python_stays_text() -> None:
    import pytz

    rome = DateTime(2020, 7, 1, 12, 0, 0, tzinfo=pytz.timezone("Europe/Rome"))
    assert page(rome)[0] == "datetime"
    assert page(DateTime(1, 1, 1, 0, 0, 0, tzinfo=pytz.FixedOffset(600)))[0] == "text"


def test_byte_arrays_are_left_out_and_counted() -> None:
    array, left_out = column([b"x", None, bytearray(b"y"), "z"])
    assert array.to_pylist() == [None, None, None, "z"]
    assert left_out == 2


def test_types_meet_in_any_order_and_grouping() -> None:
    for one, two, three in product(TYPES, repeat=3):
        assert meet(one, two) == meet(two, one)
        assert meet(meet(one, two), three) == meet(one, meet(two, three))
        assert meet(one, one) == one
        assert meet(meet(one, two), two) == meet(one, two)


SCALAR_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, width=32), st.text(max_size=5)
)
VALUES = st.one_of(SCALAR_VALUES, st.lists(SCALAR_VALUES.filter(lambda value: value is not None), max_size=3))


@given(st.lists(VALUES, min_size=1, max_size=8), st.integers(0, 8))
def test_where_pages_are_cut_makes_no_difference(values: list[Any], cut: int) -> None:
    whole, _ = column(values)
    parts = [column(part)[0] for part in (values[:cut], values[cut:]) if part]
    name = type_name(parts[0].type)
    for part in parts[1:]:
        name = meet(name, type_name(part.type))
    assert name == type_name(whole.type)
    together = [value for part in parts for value in cast(part, name).to_pylist()]
    assert together == whole.to_pylist()
    assert digest(cast(part, name) for part in parts) == digest([whole])


def digest(arrays: Any) -> str:
    content = ContentDigest()
    for array in arrays:
        content.feed("t", [("c", array)])
    return content.hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ([1, None], [1, 0]),
        ([None, 1], [1, None]),
        (["ab", "c"], ["a", "bc"]),
        (["", None], [None, ""]),
        ([[1], [2]], [[1, 2], []]),
        ([[], None], [None, []]),
        ([["a"], ["b"]], [["ab"], []]),
        ([1], [1.0]),
        ([1], ["1"]),
        ([True], [False]),
    ],
)
def test_a_digest_tells_contents_apart(one: list[Any], other: list[Any]) -> None:
    assert digest([column(one)[0]]) != digest([column(other)[0]])


def test_a_digest_does_not_depend_on_slices_or_what_lies_under_nulls() -> None:
    for values in (["x", "yy", None, "zzz"], [1, 2, None, 3], [[1], [2, 3], None, []], [True, None, False, True]):
        whole = column([*values, *values])[0]
        assert digest([whole.slice(4)]) == digest([column(values)[0]])
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 99], np.int64).tobytes())]
    )
    assert digest([hidden]) == digest([column([1, None])[0]])


def test_every_type_survives_parquet(tmp_path: Any) -> None:
    samples = {"bool": True, "int": BIG, "float": 0.1, "date": date(2020, 1, 1), "text": "a\0b", "null": None}
    samples["datetime"] = datetime(2020, 1, 1, tzinfo=UTC)
    assert set(samples) == set(SCALARS)
    for name in TYPES:
        sample = samples[name.removeprefix("list of ")]
        array = pa.array([[sample] if name.startswith("list") else sample, None], TYPES[name])
        pq.write_table(pa.table({"c": array}), tmp_path / "c.parquet")
        back = pq.read_table(tmp_path / "c.parquet")["c"].combine_chunks()
        assert type_name(back.type) == name
        assert cast(back, name).equals(array)


def test_text_of_mixed_values_is_the_same_in_any_order() -> None:
    for values in permutations([1, 2.5, "x", True]):
        name, texts = page(*values)
        assert name == "text"
        assert dict(zip(map(json.dumps, values), texts, strict=True)) == {
            "1": "1", "2.5": "2.5", '"x"': "x", "true": "true",
        }  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-01-01T00:00:00Z", None, "1969-12-31T23:59:59.5Z"],
        ["2026-01-01T00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
        ["2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:00.1Z"],
        ["2026-01-01T00:00:00.123456789Z"],
        ["0000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
        ["-0044-03-15T00:00:00Z"],
        ["+12345-03-15T00:00:00Z"],
        ["2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00+02:00[Europe/Paris]"],
        ["2026-01-01T00:00:00", "2026-01-01T00:00:00Z"],
        ["2026-02-30T00:00:00Z"],
        ["Z"],
        [None, None],
        [],
        [["2026-01-01T00:00:00Z"], None],
    ],
)
def test_moments_that_are_read_at_once_are_those_that_are_read_one_by_one(
    texts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = columns.temporal_column(texts, "datetime")
    monkeypatch.setattr(columns, "_moments", lambda _: None)
    expected = columns.temporal_column(texts, "datetime")
    assert found.type == expected.type
    assert found.equals(expected)
