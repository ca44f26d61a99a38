"""What is read of a Neo4j database, and under which names."""

from __future__ import annotations

from typing import Any

import pytest

from ingest import GraphSettings
from ingest.settings import Neo4jSource
from ingest.sources.neo4j.plan import plan_reading
from kg.errors import ConfigError, InvalidDataError
from kg.settings import validate
from kg.stores.neo4j.read.catalog import Catalog, LabelFacts, TypeFacts


def settings(**changes: Any) -> GraphSettings:
    return validate(GraphSettings, {"item": "movie", **changes})


def source(**fields: Any) -> Neo4jSource:
    return validate(Neo4jSource, fields)


def catalog(
    labels: dict[str, tuple[int, str] | tuple[int, str, str]] | None = None, types: dict[str, str] | None = None
) -> Catalog:
    """Label -> count, properties and unique ones; type -> properties, each as words."""
    given = {"Movie": (9, "id title"), "User": (20, "id")} if labels is None else labels
    return Catalog(
        labels={
            name: LabelFacts(
                count=facts[0],
                properties=dict.fromkeys(facts[1].split(), ("String",)),
                unique=tuple(facts[2].split()) if len(facts) == 3 else (),
            )
            for name, facts in given.items()
        },
        types={
            name: TypeFacts(count=1, properties=dict.fromkeys(words.split(), ("Double",)))
            for name, words in (types or {"RATED": "stars at"}).items()
        },
    )


def test_items_and_users_are_read_first_then_named_types_then_the_most_common_labels() -> None:
    there = catalog(
        {
            "Actor": (5, "name"),
            "Agent": (7, "id"),
            "Genre": (2, "id"),
            "Movie": (3, "id"),
            "Person": (5, "id"),
            "User": (4, "id"),
        }
    )
    graph = settings(nodes={"genre": {}, "performer": {"label": "Actor", "key": "name"}})
    plan = plan_reading(there, source(), graph, name="db")
    assert plan.labels == ("Movie", "User", "Genre", "Actor", "Agent", "Person")
    assert plan.types == ("RATED",)
    assert plan.keys == {"Actor": "name", "Agent": "id", "Genre": "id", "Movie": "id", "Person": "id", "User": "id"}


def test_nodes_in_between_are_read_before_all_and_need_no_key() -> None:
    there = catalog(
        {"Movie": (3, "id"), "Review": (9, "stars"), "User": (3, "id")}, {"WROTE": "", "ABOUT": "", "OTHER": ""}
    )
    wanted = source(
        labels=["User", "Movie"],
        relationships=["OTHER"],
        interactions=[{"through": "Review", "user_type": "WROTE", "item_type": "ABOUT"}],
        nodes=[{"node": "movie", "query": "RETURN 1 AS id"}],
    )
    plan = plan_reading(there, wanted, settings(), name="db")
    assert plan.labels == ("Review", "Movie", "User")
    assert plan.types == ("ABOUT", "OTHER", "WROTE")
    assert plan.queries == {"nodes.0": "RETURN 1 AS id"}


def test_without_labels_only_the_queries_are_read() -> None:
    wanted = source(labels=[], edges=[{"source": "a", "relation": "b", "target": "c", "query": "RETURN 1"}])
    plan = plan_reading(catalog(), wanted, settings(), name="db")
    assert (plan.labels, plan.types, plan.queries) == ((), (), {"edges.0": "RETURN 1"})


def test_the_key_is_the_named_property_else_id_else_the_unique_one() -> None:
    there = catalog(
        {
            "Genre": (2, "name", "name"),
            "Movie": (3, "code id", "code"),
            "Person": (2, "name born", "name"),
            "User": (4, "id userId"),
        }
    )
    graph = settings(nodes={"user": {"key": "userId"}, "person": {"key": "https://example.org/id"}})
    plan = plan_reading(there, source(), graph, name="db")
    assert plan.keys == {"Genre": "name", "Movie": "id", "Person": "name", "User": "userId"}


@pytest.mark.parametrize(
    ("labels", "graph", "wanted", "words"),
    [
        ({}, {}, {}, ["db holds no nodes", "neo4j.uri"]),
        (None, {}, {"labels": ["Movi"]}, ["sources.neo4j.labels", "'Movi'", "did you mean 'Movie'?"]),
        (None, {}, {"relationships": ["LIKES"]}, ["sources.neo4j.relationships", "'LIKES'", "those there are RATED"]),
        (None, {}, {"interactions": [{"type": "RATE"}]}, ["'RATE'", "did you mean 'RATED'?"]),
        (None, {}, {"events": [{"type": "RATED", "user": "who"}]}, ["events.0.user = 'who'", "at, stars"]),
        (None, {}, {"interactions": [{"type": "RATED", "rating": "star"}]}, ["rating = 'star'", "RATED", "at, stars"]),
        (
            None,
            {},
            {"interactions": [{"through": "Movie", "user_type": "RATED", "item_type": "RATED2"}]},
            ["'RATED2'", "did you mean"],
        ),
        (None, {"nodes": {"movie": {"key": "imdb"}}}, {}, ["graph.nodes.movie.key = 'imdb'", "id, title"]),
        ({"Movie": (3, "a b"), "User": (2, "id")}, {}, {}, ["no property 'id' and no uniqueness", "movie.key", "a, b"]),
        ({"Movie": (3, "a b", "a b"), "User": (2, "id")}, {}, {}, ["constraints on a and b", "graph.nodes.movie.key"]),
        ({"Movie": (3, "id"), "movie": (2, "id")}, {}, {}, ["'Movie', 'movie'", "graph.nodes.X.label"]),
        (
            None,
            {"nodes": {"a": {"label": "Movie"}, "b": {"label": "Movie"}}},
            {},
            ["graph.nodes: a and b are both 'Movie'"],
        ),
        ({"Mo\nvie": (3, "id")}, {}, {}, ["control character", "sources.neo4j"]),
        ({"Movie\\u0060": (3, "id")}, {}, {}, ["which Neo4j reads as a character"]),
    ],
)
def test_what_the_database_lacks_is_refused_before_reading(
    labels: Any, graph: dict[str, Any], wanted: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises((ConfigError, InvalidDataError)) as caught:
        plan_reading(catalog(labels), source(**wanted), settings(**graph), name="db")
    for word in words:
        assert word in str(caught.value)


def test_all_labels_without_a_key_are_told_at_once() -> None:
    there = catalog({"Movie": (3, "movieId"), "User": (2, "userId"), "Genre": (2, "name"), "Tag": (2, "id")})
    with pytest.raises(ConfigError) as caught:
        plan_reading(there, source(), settings(), name="db")
    lines = str(caught.value).splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["Movie", "User", "Genre"]
    assert "graph.nodes.movie.key; the properties of Movie nodes are movieId" in lines[0]
    assert "`through`" in lines[2]


def test_types_of_one_name_are_refused_unless_told_apart() -> None:
    there = catalog(types={"ACTED_IN": "", "actedIn": "", "RATED": ""})
    with pytest.raises(ConfigError, match=r"'ACTED_IN', 'actedIn'.*cypher_type"):
        plan_reading(there, source(), settings(), name="db")
    graph = settings(relations={"played_in": {"cypher_type": "actedIn"}})
    assert plan_reading(there, source(), graph, name="db").types == ("ACTED_IN", "RATED", "actedIn")


# What is read
