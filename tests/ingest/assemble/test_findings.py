"""What is there and used for nothing is said: grades without a rule, attributes that join nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest import DataSettings, GraphBuilder, GraphSettings, build_graph
from ingest.assemble.could_be_edges import edges_section, in_column, shared_values
from ingest.assemble.findings import rule_for
from kg import RelationKey


def ratings(*values: float) -> dict[str, list[Any]]:
    return {"user_id": [f"u{n}" for n in range(len(values))], "item_id": ["i"] * len(values), "rating": list(values)}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ((1, 2, 3, 4, 5), "rating >= 4"),
        ((0.5, 1, 3.5, 4, 4.5, 5), "rating >= 4"),
        (tuple(range(1, 11)), "rating >= 8"),
        ((1, 5), "rating >= 5"),
        ((-1, 1), "rating >= 1"),
        ((0, 50, 100), "rating >= 100"),
    ],
)
def test_a_rule_for_a_scale(values: tuple[float, ...], rule: str) -> None:
    assert rule_for(dict.fromkeys(values, 1)) == rule


def test_grades_that_all_count_as_liked_are_a_warning() -> None:
    _, report = GraphBuilder(GraphSettings()).add_interactions(ratings(1, 2, 5, 5, 4)).build()
    finding = report.findings["ratings without a rule"]
    assert finding.severity == "warning"
    assert (
        "ratings from 1 to 5 all count as liked, the lowest too; rating >= 4 would keep 3 of 5" in finding.explanation
    )


@pytest.mark.parametrize(
    ("values", "graph"),
    [((1, 1, 1), {}), ((0, 1, 1), {}), ((1, 2, 3), {"positive": "rating >= 3"})],
)
def test_no_grades_and_a_rule_are_no_warning(values: tuple[float, ...], graph: dict[str, Any]) -> None:
    _, report = GraphBuilder(GraphSettings(**graph)).add_interactions(ratings(*values)).build()
    assert "ratings without a rule" not in report.findings


MOVIES = {
    "id": ["1", "2", "3", "4"],
    "title": ["A", "A", "B", "B"],
    "genres": ["Drama|War", "War", "Drama|Action", "Action"],
    "director": ["Ann", "Ann", "Bob", "Bob"],
    "year": ["1999", "1999", "2000", "2000"],
    "plot": ["one thing", "another thing", "a third", "a fourth"],
}
ACTS = {"user_id": ["u", "u"], "item_id": ["1", "2"]}


def test_items_that_share_attributes_and_no_edge_are_a_warning() -> None:
    _, report = GraphBuilder(GraphSettings()).add_interactions(ACTS).add_attributes(MOVIES, node="item").build()
    finding = report.findings["items without knowledge edges"]
    assert finding.severity == "warning"
    assert (
        "a section sources.edges for each of genres, director (of recall.fit: a table in `edges`) makes"
        in finding.explanation
    )
    edges = {"source": ["1"], "target": ["Drama"]}
    _, report = (
        GraphBuilder(GraphSettings())
        .add_interactions(ACTS)
        .add_attributes(MOVIES, node="item")
        .add_edges(edges, source="item", relation="genre", target="genre")
        .build()
    )
    assert "items without knowledge edges" not in report.findings


@pytest.mark.parametrize(
    ("values", "separator", "different"),
    [
        (["a|b", "b|c", "a|c"], "|", 3),
        (["a; b", "b; c", "a"], ";", 3),
        (["x, y", "y, z", "x"], ", ", 3),
        ([["a", "b"], ["a"], None], None, 2),
        (["red", "red", "blue", "blue"], None, 2),
        (["red", "green", "blue", "grey"], None, None),
        (["1999", "1999", "2000", "2000"], None, None),
        (["2001-01-01", "2001-01-01"], None, None),
        (["same", "same"], None, None),
        (["A, the one", "B, the other", "C, or both"], None, None),
        ([1, 1, 2, 2], None, None),
        ([True, True, False], None, None),
        ([None, None], None, None),
        (["x" * 100, "x" * 100, "y" * 100, "y" * 100], None, None),
    ],
)
def test_which_columns_are_shared(values: list[Any], separator: str | None, different: int | None) -> None:
    column = pa.array(values) if any(value is not None for value in values) else pa.array(values, pa.string())
    found = in_column(column)
    assert (found and found[:2]) == (None if different is None else (separator, different))


def test_the_lines_for_an_attribute_make_its_edges(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user_id,item_id\nu,1\n", encoding="utf-8")
    rows = "\n".join(",".join(cells) for cells in zip(*MOVIES.values(), strict=True))
    (tmp_path / "movies.csv").write_text(f"id,title,genres,director,year,plot\n{rows}\n", encoding="utf-8")
    genres, _ = shared_values("item", pa.table(MOVIES), {"title"})
    lines = tomllib.loads(edges_section(genres, files=["movies.csv"], id="id", column="genres"))
    sources = {"interactions": [{"files": ["r.csv"]}], **lines["sources"]}
    graph, _ = build_graph(DataSettings(sources=sources), base=tmp_path)
    assert graph.edges[RelationKey("item", "genres", "genres")].num_rows == 6
