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


def cleaned(column: Any, role: str) -> tuple[list[Any], QualityReport]:
    context = ReadingContext(report=QualityReport(), quality=QualitySettings(max_set_aside=1.0), now=1_700_000_000)
    account = context.report.source("[:RATED]", "neo4j")
    account.read = len(column)
    table = clean_roles(pa.table({role: column}), account, lambda row: f"row {row}", context)
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


def test_values_that_do_not_fit_are_set_aside_with_their_place() -> None:
    ratings, report = cleaned(pa.array(["4", "4.5", "five", None]), "rating")
    assert ratings == [4.0, 4.5, None]
    assert report.findings["unparsable cells"].examples == ["row 2: rating = 'five'"]
    assert (report.sources[0].read, report.sources[0].set_aside) == (4, 1)
    ratings, report = cleaned(pa.array([[4.0], None, [1.0, 2.0], []]), "rating")
    assert ratings == [4.0, None]
    assert report.findings["unparsable cells"].count == 2
