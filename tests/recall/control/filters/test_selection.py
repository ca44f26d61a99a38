"""Which items pass a filter: against plain loops over the graph, each kind of attribute, and mistakes."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from kg import KnowledgeGraph
from kg.errors import ConfigError, UnknownIdError
from recall.control.filters import ItemFilters, where
from tests.movie_relations import DIRECTOR, GENRE, HAS_TAG, SEQUEL

SECONDS = [1_700_000_000 + 86_400 * number for number in range(40)]


@pytest.fixture(scope="module")
def graph(movie_graph):
    made = movie_graph()
    movies = made.nodes["movie"]
    count = movies.num_rows
    times = [datetime.fromtimestamp(value, UTC) for value in SECONDS]
    more = {
        "in_stock": pa.array([number % 3 == 0 for number in range(count)]),
        "price": pa.array([None if number % 5 == 0 else number / 4 for number in range(count)], type=pa.float32()),
        "expires": pa.array(SECONDS),
        "added": pa.array(times, type=pa.timestamp("ms", tz="UTC")),
        "day": pa.array([time.date() for time in times]),
        "written": pa.array([time.isoformat() for time in times]),
        "words": pa.array([["a", "b"][: number % 3] for number in range(count)]),
        "kind": pa.array(["dvd", "film"] * (count // 2)).dictionary_encode(),
        "raw": pa.array([b"x"] * count),
        "odd name": pa.array(list(range(count)), type=pa.uint64()),
    }
    for name, column in more.items():
        movies = movies.append_column(name, column)
    return KnowledgeGraph(made.schema, {**made.nodes, "movie": movies}, made.edges)


@pytest.fixture(scope="module")
def filters(graph):
    return ItemFilters(graph)


def rows(graph):
    """What each movie is like, by plain loops."""
    movies = graph.nodes["movie"].to_pylist()
    for key, source, other in ((GENRE, "genre", "name"), (DIRECTOR, "director", "id"), (HAS_TAG, "has_tag", "id")):
        ends = graph.nodes[key.target].to_pylist()
        for movie in movies:
            movie[source] = set()
        for edge in graph.edges[key].to_pylist():
            movies[edge["src"]][source].add(ends[edge["dst"]][other])
    return movies


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("year >= 1990", lambda m: m["year"] >= 1990),
        ("year = 1990.0 or year < 1960", lambda m: m["year"] == 1990 or m["year"] < 1960),
        ("not year >= 1990 and in_stock", lambda m: m["year"] < 1990 and m["in_stock"]),
        ('genre in ["Drama", "Horror"]', lambda m: bool(m["genre"] & {"Drama", "Horror"})),
        ('genre "Drama" and not genre = "Comedy"', lambda m: "Drama" in m["genre"] and "Comedy" not in m["genre"]),
        ('genre in ["drama"]', lambda m: "Drama" in m["genre"]),
        ('genre != "Drama"', lambda m: "Drama" not in m["genre"]),
        ('not has_tag "slow"', lambda m: "slow" not in m["has_tag"]),
        ("has_tag is missing", lambda m: not m["has_tag"]),
        ('director = "p3"', lambda m: "p3" in m["director"]),
        ("price > 2.5", lambda m: m["price"] is not None and m["price"] > 2.5),
        ("not price > 2.5", lambda m: m["price"] is None or m["price"] <= 2.5),
        ("price != 2.75", lambda m: m["price"] != 2.75),
        ("price is not missing", lambda m: m["price"] is not None),
        ("price in [2.75, 3]", lambda m: m["price"] in (2.75, 3)),
        ('words = "b"', lambda m: "b" in m["words"]),
        ("words is missing", lambda m: not m["words"]),
        ('kind = "dvd"', lambda m: m["kind"] == "dvd"),
        ("`odd name` >= 30", lambda m: m["odd name"] >= 30),
        ('title > "The R"', lambda m: m["title"] > "The R"),
        ('id in ["m3", "m4", "nothing"]', lambda m: m["id"] in ("m3", "m4")),
        ("in_stock in [true]", lambda m: m["in_stock"]),
        *(
            (f"{name} > 2023-11-20T22:13:20", lambda m: m["expires"] > SECONDS[6])
            for name in ("expires", "added", "day", "written")
        ),
        *((f"{name} < now - 10d", lambda m: m["expires"] < SECONDS[10]) for name in ("expires", "added", "written")),
    ],
)
def test_what_passes(graph, filters, text, passes):
    if text.startswith("day >"):  # a day begins at midnight
        passes = lambda m: m["day"] > datetime.fromtimestamp(SECONDS[6], UTC).date()  # noqa: E731
    expected = [number for number, movie in enumerate(rows(graph)) if passes(movie)]
    positions = filters.positions(text, now=SECONDS[20])
    assert positions.tolist() == expected
    assert 0 < len(expected) < len(graph.items), "the case can tell right from wrong"


def test_relations_among_items_go_both_ways(graph, filters):
    edges = graph.edges[SEQUEL]
    ids = graph.items.ids.to_pylist()
    first, second = edges["src"][0].as_py(), edges["dst"][0].as_py()
    assert filters.positions(f'{SEQUEL.name} "{ids[second]}"').tolist() == [first]
    assert filters.positions(f'^{SEQUEL.name} "{ids[first]}"').tolist() == [second]


def test_python_and_text_are_one(filters):
    made = (where("year") >= 1990) & where("genre").within(["Drama"]) & ~(where("has_tag") == "slow")
    text = 'year >= 1990 and genre in ["Drama"] and not has_tag "slow"'
    assert filters.positions(made) is filters.positions(text), "found once, and kept"
    assert not filters.positions(made).flags.writeable


def test_now_moves_on(filters):
    assert len(filters.positions("expires > now", now=SECONDS[10])) == 29
    assert len(filters.positions("expires > now", now=SECONDS[30])) == 9
    assert len(filters.positions("expires > now")) == 0


def test_what_is_kept_is_bounded(graph):
    few = ItemFilters(graph)
    for year in range(200):
        few.positions(where("year") > year)
    assert len(few._positions) <= 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yaer > 3", "'yaer' is no attribute or relation of 'movie': did you mean 'year'"),
        ("zzz > 3", "there are id, title, year"),
        ("rated > 3", "'rated' is no attribute"),
        ('year > "x"', "compares 'year' with \"x\", but it holds numbers"),
        ("year = true", "holds numbers"),
        ("title > 5", "holds texts, such as 'The .*: write a text in quotes"),
        ("title = true", "holds texts"),
        ("title > 2024-01-01", "texts that are no times"),
        ("in_stock = 1", "holds true and false"),
        ("in_stock > now", "holds true and false"),
        ('added > "2024-01-01"', "write a date without quotes"),
        ("added > 5", "holds times"),
        ("raw = 'x'", "cannot compare"),
        ("genre > 'Drama'", "orders the relation 'genre'"),
        ("genre = 5", "in quotes"),
        ("genre in ['Drama', true]", "in quotes"),
        ("year in [1990, 'x']", "holds numbers"),
    ],
)
def test_mistakes_are_named(filters, text, message):
    with pytest.raises(ConfigError, match=message):
        filters.positions(text)


def test_names_of_nodes_follow_the_rule(filters):
    with pytest.raises(UnknownIdError, match="unknown genre in the filter: genre \"Dramma\" \\(nearest: 'Drama'\\)"):
        filters.positions('genre in ["Comedy", "Dramma"]')
    skipped = filters.positions('genre in ["Comedy", "Dramma"]', skip_unknown=True)
    assert skipped.tolist() == filters.positions('genre = "Comedy"').tolist()


def test_a_name_of_several_relations(movie_graph):
    from kg import Relation, RelationKey

    made = movie_graph()
    other = RelationKey("movie", "director", "genre")
    graph = KnowledgeGraph(
        made.schema.with_(relations=[Relation(key=other)]), made.nodes, {**made.edges, other: made.edges[GENRE]}
    )
    filters = ItemFilters(graph)
    with pytest.raises(ConfigError, match=r"2 relations are called 'director': write one of movie\.director\.person"):
        filters.positions('director "p3"')
    assert (
        filters.positions('movie.director.person "p3"').tolist()
        == ItemFilters(made).positions('director "p3"').tolist()
    )


def test_a_graph_without_items(movie_graph):
    made = movie_graph()
    empty = made.keep_nodes({"movie": np.zeros(len(made.items), dtype=bool)})
    assert ItemFilters(empty).positions("year > 1990 or words is missing".replace("words", "title")).tolist() == []
