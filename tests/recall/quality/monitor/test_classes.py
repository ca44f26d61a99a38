"""The classes of items whose proportions are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kg import KnowledgeGraph
from recall.quality.monitor.classes import WeightedItems, item_stability
from recall.quality.monitor.report import Stability
from tests.recall.quality.monitor.making import graph_of


def weighted(graph: KnowledgeGraph, weight: list[float], likes: list[int] | None = None) -> WeightedItems:
    given = np.array(likes or [1] * len(weight))
    return WeightedItems(graph=graph, likes=given, weight=np.array(weight, dtype=np.float64))


def by_name(*sides: WeightedItems) -> dict[str, Stability]:
    return {each.name: each for each in item_stability("candidates", *sides)}


ITEMS: dict[str, list[Any]] = {
    "id": [f"i{number}" for number in range(8)],
    "title": [f"title {number}" for number in range(8)],
    "year": [1990, 1991, 1992, 1993, 2000, 2001, 2002, None],
    "colour": ["red", "red", "red", "red", "blue", "blue", "blue", None],
    "tags": [["a", "b"], ["a"], ["a"], ["a"], ["b"], ["b"], ["b"], []],
    "adult": [True, True, False, False, False, False, False, False],
    "code": [f"c{number}" for number in range(8)],
}
GENRES = [(f"i{number}", "drama" if number < 4 else "horror") for number in range(7)]
OLD, YOUNG = [9.0] * 4 + [1.0] * 4, [1.0] * 4 + [9.0] * 4


def test_every_distribution_says_what_has_moved() -> None:
    graph = graph_of(ITEMS, GENRES, ["drama", "horror"])
    same = by_name(weighted(graph, OLD), weighted(graph, OLD))
    assert set(same) == {"popularity", "genre", "year", "colour", "tags", "adult"}  # a title, a code name single items
    assert {each.index for each in same.values()} == {0}
    moved = by_name(weighted(graph, OLD), weighted(graph, YOUNG))
    assert all(moved[name].index > 0.25 for name in ("genre", "year", "colour", "tags"))
    first = moved["genre"].moved[0]
    assert (first.label, first.before, first.now) == ("DRAMA", pytest.approx(0.9), pytest.approx(0.1))
    assert {each.label for each in moved["colour"].moved} == {"red", "blue", "none"}
    assert moved["tags"].moved[0].before == pytest.approx((3 * 9 + 4.5) / 40)


def test_others_that_are_gone_or_new_are_classes_of_their_own() -> None:
    before = graph_of(ITEMS, GENRES, ["drama", "horror"])
    renamed = [(item, {"drama": "drama", "horror": "western"}[genre]) for item, genre in GENRES]
    now = graph_of(ITEMS, renamed, ["drama", "western"])
    genre = by_name(weighted(before, OLD), weighted(now, OLD))["genre"]
    assert {(each.label, each.before > each.now) for each in genre.moved} == {("HORROR", True), ("WESTERN", False)}


def test_popularity_is_that_of_the_own_run() -> None:
    """Twice the likes of everything is no drift; candidates that leave the most liked items are."""
    graph = graph_of(ITEMS, GENRES, ["drama", "horror"])
    likes = [64, 32, 16, 8, 4, 2, 1, 0]
    before = weighted(graph, OLD, likes)
    grown = by_name(before, weighted(graph, OLD, [2 * count for count in likes]))
    assert grown["popularity"].index == 0
    nobody = by_name(before, weighted(graph, [0.0] * 7 + [40.0], likes))["popularity"]
    assert nobody.index > 1
    assert "liked by nobody" in {each.label for each in nobody.moved}


def test_likes_are_not_compared_by_popularity() -> None:
    graph = graph_of(ITEMS, GENRES, ["drama", "horror"])
    names = {each.name for each in item_stability("input", weighted(graph, OLD), weighted(graph, YOUNG))}
    assert names == {"genre", "year", "colour", "tags", "adult"}


@pytest.mark.parametrize(
    ("column", "values"),
    [("year", ["a"] * 8), ("year", [None] * 8), ("colour", [1.0] * 8), ("tags", [None] * 8), ("year", [5] * 8)],
)
def test_columns_of_other_types_or_without_values(column: str, values: list[Any]) -> None:
    """A column whose type has changed is compared where both sides can be, else left out; nothing fails."""
    before = graph_of(ITEMS, GENRES, ["drama", "horror"])
    now = graph_of({**ITEMS, column: values}, GENRES, ["drama", "horror"])
    names = by_name(weighted(before, OLD), weighted(now, OLD))
    assert {"popularity", "genre"} <= set(names)
    assert all(np.isfinite(each.index) for each in names.values())


def test_a_run_without_edges_of_a_relation() -> None:
    before, now = (graph_of(ITEMS, edges, ["drama", "horror"]) for edges in (GENRES, []))
    genre = by_name(weighted(before, OLD), weighted(now, OLD))["genre"]
    assert genre.index > 1
    assert {each.label: each.now for each in genre.moved}["none"] == 1
