"""Which properties of relationships play a role, and their values as numbers and times."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ingest.context import ReadingContext
from ingest.report import QualityReport
from ingest.settings import Neo4jInteractions, QualitySettings
from ingest.sources.neo4j.roles import clean_roles, role_properties

ROLES = ("rating", "timestamp", "weight")


def cleaned(column: Any, role: str, unit: str | None = None) -> tuple[list[Any], QualityReport]:
    context = ReadingContext(report=QualityReport(), quality=QualitySettings(max_set_aside=1.0), now=1_700_000_000)
    account = context.report.source("[:RATED]", "neo4j")
    account.read = len(column)
    table = clean_roles(pa.table({role: column}), account, lambda row: f"row {row}", context, unit=unit)
    return table[role].to_pylist(), context.report


@pytest.mark.parametrize(
    ("column", "role", "plays"),
    [
        (pa.array([4, 5, None]), "rating", True),
        (pa.array(["4", "4.5", "five"]), "rating", True),
        (pa.array(["good", "bad", "4"]), "rating", False),
        (pa.array([["4"], ["5"], ["4", "5"]]), "rating", True),
        (pa.array([[4, 5], [1, 2]]), "rating", False),
        (pa.array(["2001-02-03", "soon", "1500000000"]), "timestamp", True),
        (pa.array(["soon", "later"]), "timestamp", False),
        (pa.nulls(2), "weight", True),
    ],
)
def test_a_property_plays_the_role_of_its_name_if_most_values_fit(column: Any, role: str, plays: bool) -> None:
    table = pa.table({f"p.{role}": column})
    assert (role_properties(table, ROLES, None) == {role: role}) is plays
    named = Neo4jInteractions(type="RATED", **{role: role})
    assert role_properties(table, ROLES, named) == {role: role}


TIME = 1_500_000_000


@pytest.mark.parametrize(
    ("unit", "ticks", "name"), [("ms", 10**3, "milli"), ("us", 10**6, "micro"), ("ns", 10**9, "nano")]
)
def test_whole_numbers_that_are_times_in_every_unit(unit: str, ticks: int, name: str) -> None:
    numbers = pa.array([TIME * ticks, None, (TIME + 1) * ticks + 7])
    guessed, report = cleaned(numbers, "timestamp")
    assert guessed == [TIME, None, TIME + 1]
    finding = report.findings[f"timestamps in {name}seconds"]
    assert finding.count == 2
    assert f'unit = "{unit}"' in finding.explanation
    assert finding.examples == [f"row 0: timestamp = {TIME * ticks} is 2017-07-14T02:40:00+00:00"]
    given, report = cleaned(numbers, "timestamp", unit)
    assert given == guessed
    assert not [kind for kind in report.findings if kind.startswith("timestamps in")]
    # Times soon after 1970 are what a unit is for: no guess tells them from seconds.
    assert cleaned(pa.array([90 * ticks]), "timestamp", unit)[0] == [90]


@pytest.mark.parametrize("unit", [None, "ms"])
def test_numbers_beside_dates_are_guessed_by_themselves(unit: str | None) -> None:
    # Neo4j gives a property of several types as text.
    mixed = pa.array([f"{TIME}000", "2017-07-14T02:40:01+00:00", "2017-07-14", "2017-07-15"])
    assert cleaned(mixed, "timestamp", unit)[0] == [TIME, TIME + 1, 1_499_990_400, 1_500_076_800]


@pytest.mark.parametrize("unit", [None, "ns"])
def test_dates_and_times_have_their_own_unit(unit: str | None) -> None:
    moments = pa.array([TIME * 10**6], pa.timestamp("us", tz="UTC"))
    assert cleaned(moments, "timestamp", unit)[0] == [TIME]
    assert cleaned(pa.array([2], pa.date32()), "timestamp", unit)[0] == [2 * 86400]


def test_values_that_do_not_fit_are_set_aside_with_their_place() -> None:
    ratings, report = cleaned(pa.array(["4", "4.5", "five", None]), "rating")
    assert ratings == [4.0, 4.5, None]
    assert report.findings["unparsable cells"].examples == ["row 2: rating = 'five'"]
    assert (report.sources[0].read, report.sources[0].set_aside) == (4, 1)
    ratings, report = cleaned(pa.array([[4.0], None, [1.0, 2.0], []]), "rating")
    assert ratings == [4.0, None]
    assert report.findings["unparsable cells"].count == 2
