"""The English of paths that carry a share of the score."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, Schema
from kg.topology.adjacency import Adjacency
from recall.contracts import REQUEST_TEXT, StepKind
from recall.explain.entries import Node
from recall.explain.pair import Pair
from recall.explain.path_words import Route, listing, nouns, sentence_of
from tests.movie_relations import DIRECTOR, GENRE, RATED, SEQUEL, STARRING

TITLES = ["Alien", "Aliens", "Blade Runner", "Prometheus", "Gladiator"]


@pytest.fixture(scope="module")
def pair(toy_graph) -> Pair:
    movies = toy_graph.nodes["movie"]
    titles = TITLES + movies["title"].to_pylist()[len(TITLES) :]
    at = movies.column_names.index("title")
    graph = KnowledgeGraph(
        toy_graph.schema,
        {**toy_graph.nodes, "movie": movies.set_column(at, "title", pa.array(titles))},
        toy_graph.edges,
    )
    adjacency = Adjacency.of(graph)
    numbering = adjacency.numbering

    def node_of(node: int) -> Node:
        node_type, position = numbering.locate(node)
        return Node(node_type, graph.vocabulary(node_type).ids[position].as_py(), graph.title(node_type, position))

    start = numbering.span("movie").start
    return Pair(graph, adjacency, numbering.span("user").start + 3, start + 30, 1.0, node_of, show_users=False)


def node(pair: Pair, node_type: str, position: int) -> int:
    return pair.adjacency.numbering.span(node_type).start + position


def sentence(pair, kind, shape, movies, ways=(), people=0) -> str:
    starts = [movie if movie == REQUEST_TEXT else node(pair, "movie", movie) for movie in movies]
    return sentence_of(pair, Route(kind=kind, shape=shape, starts=starts, ways=list(ways), people=people))


BACK = ((RATED, False), (RATED, True))


@pytest.mark.parametrize(
    ("kind", "shape", "movies", "ways", "people", "expected"),
    [
        ("users", BACK, [0], (), 23, "23 people who liked Alien also liked it"),
        ("users", BACK, [0], (), 1, "1 person who liked Alien also liked it"),
        ("users", BACK, [0, 1], (), 4, "4 people who liked Alien or Aliens also liked it"),
        ("users", BACK, [0, 1, 2, 3], (), 4, "4 people who liked Alien, Aliens or 2 more of your movies also liked it"),
        ("next", BACK, [0], (), 5, "5 people who liked Alien went on to it"),
        ("next", BACK, [1, 0, 2], (), 5, "5 people who liked Aliens, Alien or 1 more of your movies went on to it"),
        ("text", (), [0], (), 0, "its description is close to that of Alien"),
        ("text", (), [0, 2], (), 0, "its description is close to those of Alien and Blade Runner"),
        ("text", (), [REQUEST_TEXT], (), 0, "its description is close to what you asked for"),
        ("text", (), [0, REQUEST_TEXT], (), 0, "its description is close to that of Alien and to what you asked for"),
        ("direct", ((SEQUEL, False),), [0], (), 0, "it is a sequel of Alien, which you liked"),
        ("direct", ((SEQUEL, True),), [0], (), 0, "Alien, which you liked, is a sequel of it"),
        ("direct", ((SEQUEL, True),), [0, 1], (), 0, "Alien and Aliens, which you liked, are a sequel of it"),
        (
            "relation",
            ((DIRECTOR, True), (DIRECTOR, False)),
            [1],
            [("person", 2)],
            0,
            "you liked Aliens, which is directed by Person p10, like this movie",
        ),
        (
            "relation",
            ((GENRE, True), (GENRE, False)),
            [0, 1, 2],
            [("genre", 0)],
            0,
            "3 movies that you liked have genre Comedy, like this one",
        ),
        (
            "relation",
            ((GENRE, True), (GENRE, False)),
            [0, 1],
            [("genre", 0), ("genre", 1), ("genre", 2)],
            0,
            "you liked Alien and Aliens, which have genre Comedy, Drama or 1 more, like this movie",
        ),
        (
            "relation",
            ((STARRING, True), (STARRING, False), (DIRECTOR, True), (DIRECTOR, False)),
            [0],
            [("person", 0), ("movie", 2), ("person", 2)],
            0,
            "you liked Alien, which leads to it by way of Person p0, Blade Runner, Person p10",
        ),
        (
            "dislike",
            ((GENRE, True), (GENRE, False)),
            [4],
            [("genre", 1)],
            0,
            "you did not like Gladiator, which has genre Drama, like this movie",
        ),
        ("dislike", BACK, [4], (), 2, "2 people who liked Gladiator, which you did not like, also liked it"),
        ("dislike", (), [4], (), 0, "its description is close to that of Gladiator, which you did not like"),
    ],
)
def test_sentences(pair, kind, shape, movies, ways, people, expected) -> None:
    nodes = [node(pair, *way) for way in ways]
    ways = [(n,) for n in nodes] if len(shape) == 2 else [tuple(nodes)] if nodes else []
    assert sentence(pair, StepKind(kind), shape, movies, ways, people) == expected


def test_against_the_direction_of_the_phrase(pair) -> None:
    directed = pair.graph.schema.relations[RATED]  # any relation that leads to movies: "X liked both"
    route = Route(
        kind=StepKind.RELATION,
        shape=((RATED, False), (RATED, True)),
        starts=[node(pair, "movie", 0)],
        ways=[(node(pair, "person", 2),)],
        people=0,
    )
    assert sentence_of(pair, route) == f"Person p10 {directed.phrase} Alien, which you liked, and this movie"
    many = Route(
        kind=StepKind.RELATION,
        shape=route.shape,
        starts=[node(pair, "movie", place) for place in range(4)],
        ways=[(node(pair, "person", 2),), (node(pair, "person", 0),)],
        people=0,
    )
    assert sentence_of(pair, many) == "Person p10 and Person p0 liked 4 movies that you liked, and this movie"


def test_attributes_that_were_asked_for(pair) -> None:
    genres = [node(pair, "genre", 2), node(pair, "genre", 0)]
    asked = Route(kind=StepKind.ATTRIBUTE, shape=((GENRE, False),), starts=genres, ways=[], people=0)
    assert sentence_of(pair, asked) == "it has genre Horror and Comedy, as you asked"


def test_words() -> None:
    expected = {
        "movie": "movies",
        "box": "boxes",
        "story": "stories",
        "person": "people",
        "key": "keys",
        "tv_show": "tv shows",
    }
    types = {name: NodeType(name=name) for name in expected} | {"f": NodeType(name="f", noun="film")}
    schema = Schema({**types, "user": NodeType(name="user")}, {}, item_type="movie", user_type="user")
    assert {name: nouns(schema, name, 2) for name in expected} == expected
    assert (nouns(schema, "f", 2), nouns(schema, "f", 1)) == ("films", "film")
    assert nouns(schema, "person", 1) == "person"
    assert listing(["A"], 1, "or") == "A"
    assert listing(["A", "B"], 2, "and") == "A and B"
    assert listing(["A", "B"], 5, "or", " of your movies") == "A, B or 3 more of your movies"
