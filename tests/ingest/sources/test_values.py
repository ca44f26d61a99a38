"""Columns of values as ids, numbers and times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from ingest.sources.tables import infer_type, to_floats, to_ids, to_seconds
from kg.errors import InvalidDataError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", " b ", "007", "1.0", ""], ["1", "b", "007", "1.0", None]),
        (pa.array([1, None, 3]), ["1", None, "3"]),
        (pa.array([1.0, float("nan"), 3.0]), ["1", None, "3"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([None, None]), [None, None]),
    ],
)
def test_ids_are_strings(values: Any, expected: list[str | None]) -> None:
    assert to_ids(pa.array(values) if isinstance(values, list) else values).to_pylist() == expected


def test_fractions_and_dates_are_no_ids() -> None:
    for values in (pa.array([1.5]), pa.array([dt.date(2020, 1, 1)]), pa.array([True])):
        with pytest.raises(InvalidDataError, match="no ids"):
            to_ids(values)


NOON = 1_583_064_000  # 2020-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([NOON, 0]), [NOON, 0]),
        (pa.array([NOON + 0.9]), [NOON]),
        (pa.array([str(NOON), f"{NOON}.5", f" {NOON} "]), [NOON, NOON, NOON]),
        (
            pa.array(
                ["2020-03-01T12:00:00Z", "2020-03-01T13:00:00+01:00", "2020-03-01 12:00:00", "2020-03-01T12:00:00.250"]
            ),
            [NOON] * 4,
        ),
        (pa.array(["2020-03-01", "2020-03-01T12:00"]), [NOON - 43_200, NOON]),
        (pa.array([dt.datetime(2020, 3, 1, 12)]), [NOON]),
        (pa.array([dt.datetime(2020, 3, 1, 12)], pa.timestamp("ns")), [NOON]),
        (pa.array([dt.datetime(2020, 3, 1, 12, tzinfo=dt.UTC)], pa.timestamp("ms", "Europe/Berlin")), [NOON]),
        (pa.array([dt.date(2020, 3, 1)]), [NOON - 43_200]),
    ],
)
def test_timestamps_become_utc_seconds(values: Any, expected: list[int]) -> None:
    seconds, missing, bad = to_seconds(values)
    assert seconds.tolist() == expected
    assert not missing.any()
    assert not bad.any()


def test_the_name_of_a_zone_may_follow_its_offset() -> None:
    texts = ["2020-03-01T13:00+01:00[Europe/Paris]", "2020-03-01T12:00:00.5Z[Etc/UTC]", "2020-03-01[x]", "12Z[UTC]"]
    seconds, _, bad = to_seconds(pa.array(texts))
    assert seconds[:2].tolist() == [NOON, NOON]
    assert bad.tolist() == [False, False, True, True]


def test_times_that_are_none_are_told_from_those_that_are_wrong() -> None:
    seconds, missing, bad = to_seconds(pa.array([None, "", "NaT", "soon", "2001-02-30", "2020-03-01", "1e999"]))
    assert missing.tolist() == [True, True, True, False, False, False, True]
    assert bad.tolist() == [False, False, False, True, True, False, False]
    assert seconds[5] == NOON - 43_200
    floats, missing, bad = to_floats(pa.array([" 4.5", "+1e1", "NaN", None, "x"]))
    assert floats[:2].tolist() == [4.5, 10.0]
    assert (missing.tolist(), bad.tolist()) == ([False, False, True, True, False], [False] * 4 + [True])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", None], [1, -2, None]),
        (["1", "2.5"], [1.0, 2.5]),
        (["007", "1"], ["007", "1"]),
        (["true", "False", None], [True, False, None]),
        (["1", "x"], ["1", "x"]),
        ([None, None], [None, None]),
        (["1234567890123456700", "1234567890123456701"], [1234567890123456700, 1234567890123456701]),
        (["1", "12345678901234567890"], ["1", "12345678901234567890"]),
        (["1.9", "1.10"], ["1.9", "1.10"]),
        (["1.0", "1.10", "1.20"], ["1.0", "1.10", "1.20"]),
        (["1.1", "1.10"], ["1.1", "1.10"]),
        (["4", "4.0"], ["4", "4.0"]),
        (["4.0", "4.5", "3"], [4.0, 4.5, 3.0]),
        (["9.90", "12.50", None], [9.9, 12.5, None]),
        (["9007199254740993.0", "1.5"], ["9007199254740993.0", "1.5"]),
        (["0.30000000000000004", "1.5"], [0.30000000000000004, 1.5]),
        (["0.300000000000000041", "1.5"], ["0.300000000000000041", "1.5"]),
    ],
)
def test_types_of_text_columns(cells: list[str | None], expected: list[Any]) -> None:
    assert infer_type(pa.array(cells, pa.string())).to_pylist() == expected
