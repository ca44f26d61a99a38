"""Single nodes, histories, and nodes by a part of their id or title."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kg import KnowledgeGraph
from kg.errors import ConfigError, UnknownIdError
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.serve.lookup import Lookup
from tests.movie_relations import DIRECTOR, RATED


def lookup_of(graph: KnowledgeGraph) -> Lookup:
    return Lookup(graph, InteractionHistory.of(graph), Adjacency.of(graph))


@pytest.fixture(scope="module")
def lookup(graph):
    return lookup_of(graph)


def test_an_item_has_its_attributes_and_its_neighbours_by_relation(graph, lookup) -> None:
    facts = lookup.item("m3")
    (row,) = [row for row in graph.nodes["movie"].to_pylist() if row["id"] == "m3"]
    assert facts.title == graph.title("movie", graph.items.index(["m3"])[0])
    assert dict(facts.attributes) == {k: v for k, v in row.items() if k != "id" and v not in (None, "", [])}
    table = graph.edges[DIRECTOR]
    directors = {
        graph.vocabulary("person").ids[target.as_py()].as_py()
        for source, target in zip(table["src"], table["dst"], strict=True)
        if graph.items.ids[source.as_py()].as_py() == "m3"
    }
    (part,) = [part for part in facts.neighbours if part.relation == DIRECTOR]
    assert {name for name, _ in part.nodes} == directors
    assert part.forward
    assert part.count == len(directors)


def test_users_are_counted_and_never_named(graph, lookup) -> None:
    facts = lookup.item("m3")
    (raters,) = [part for part in facts.neighbours if part.relation == RATED]
    liked = graph.interactions.select(graph.interactions.positive)
    assert raters.count == facts.liked_by == (liked.item == graph.items.index(["m3"])[0]).sum()
    assert raters.nodes == ()
    with pytest.raises(ConfigError, match="no node type 'user'"):
        lookup.node("user", "u1")


def test_what_is_not_there_is_named(lookup) -> None:
    with pytest.raises(UnknownIdError, match="unknown movie id: 'm999'"):
        lookup.item("m999")
    with pytest.raises(UnknownIdError, match="unknown user id"):
        lookup.user_history("nobody")
    assert lookup.item(" m3 ").id == "m3"


def test_a_history_is_latest_first_and_tells_what_was_liked(graph, lookup) -> None:
    rows = lookup.user_history("u1")
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert len(rows) == (graph.interactions.user == graph.users.index(["u1"])[0]).sum()
    assert {row["liked"] for row in rows} == {True, False}
    assert all(row["liked"] == (row["rating"] >= 4) for row in rows)
    assert lookup.user_history("u1", limit=2) == rows[:2]


@pytest.fixture(scope="module")
def titled(graph):
    """The graph with titles of all kinds."""
    table = graph.nodes["movie"]
    names = ["Amélie", "amelia", "The Amelie Story", "İstanbul", "東京物語", "100%", "a.c", "Straße"]
    titles = pa.array(names + [f"Film {n}" for n in range(table.num_rows - len(names))])
    nodes = {**graph.nodes, "movie": table.set_column(table.column_names.index("title"), "title", titles)}
    return lookup_of(KnowledgeGraph(graph.schema, nodes, graph.edges))


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("amelie", ["Amélie", "The Amelie Story"]),
        ("AMEL", None),
        ("istanbul", ["İstanbul"]),
        ("東京", ["東京物語"]),
        ("100%", ["100%"]),
        ("a.c", ["a.c"]),
        ("no such title", []),
        ("\x00", []),
    ],
)
def test_case_and_accents_do_not_count_in_a_search(titled, text: str, titles: list[str] | None) -> None:
    found = [hit["title"] for hit in titled.search("item", text)]
    if titles is None:
        assert set(found[:2]) == {"Amélie", "amelia"}
        assert found[2] == "The Amelie Story"
    else:
        assert found == titles


def test_of_equal_hits_those_with_more_likes_come_first(graph, lookup) -> None:
    hits = lookup.search("item", "", limit=1000)
    likes = [hit["likes"] for hit in hits]
    assert len(hits) == len(graph.items)
    assert likes == sorted(likes, reverse=True)
    assert lookup.search("user", "u1", limit=3)[0]["id"] == "u1"
    with pytest.raises(ConfigError, match="at least 1"):
        lookup.search("item", "", limit=0)
