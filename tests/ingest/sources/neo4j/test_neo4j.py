"""A Neo4j database onto the graph: what it is called there, what is odd in it, and that order changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingest import GraphBuilder, GraphSettings, QualityReport, QualitySettings
from ingest.settings import Neo4jSource
from ingest.sources.neo4j.plan import read_source
from kg import Event, KnowledgeGraph, RelationKey, SplitConfig, split_interactions
from kg.cypher.query import pair_query, path_query, quote, shared_users_query
from kg.errors import ConfigError, InvalidDataError, QueryRefusedError, StoreError
from kg.progress import SILENT, Task
from kg.settings import validate
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.load import load_into
from kg.topology.adjacency import Adjacency
from kg.topology.search import PathFinder
from tests.conftest import empty

RATED = RelationKey("user", "rated", "movie")
BY_DEFAULT = {"interactions": [{"type": "RATED"}]}
NOW = 1_700_000_000


def settings(**changes: Any) -> GraphSettings:
    return validate(GraphSettings, {"item": "movie", **changes})


def source(**fields: Any) -> Neo4jSource:
    return validate(Neo4jSource, fields)


def read(
    store: Neo4jStore,
    fields: dict[str, Any] | None = None,
    *,
    graph: dict[str, Any] | None = None,
    quality: QualitySettings | None = None,
) -> tuple[KnowledgeGraph, QualityReport]:
    builder = GraphBuilder(settings(**(graph or {})), quality=quality, now=NOW)
    return builder.add_neo4j(store, source=BY_DEFAULT if fields is None else fields).build()


def finding(report: QualityReport, kind: str) -> tuple[int, str]:
    found = report.findings[kind]
    return found.count, " | ".join(found.examples)


def edges(graph: KnowledgeGraph, key: RelationKey) -> list[tuple[Any, ...]]:
    """(source id, target id, further columns) of each edge, in order."""
    table = graph.edges[key]
    source, target = graph.vocabulary(key.source).ids, graph.vocabulary(key.target).ids
    more = [name for name in table.column_names if name not in ("src", "dst")]
    return [
        (source[row["src"]].as_py(), target[row["dst"]].as_py(), *(row[name] for name in more))
        for row in table.to_pylist()
    ]


def rows(graph: KnowledgeGraph, node_type: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if value is not None} for row in graph.nodes[node_type].to_pylist()
    ]


# What is planned, before anything is read


MOVIES = """
CREATE CONSTRAINT FOR (m:Movie) REQUIRE m.movieId IS UNIQUE;
CREATE CONSTRAINT FOR (u:User) REQUIRE u.userId IS UNIQUE;
CREATE (:Movie {movieId: 10, title: 'Alien', released: 1979}), (:Movie {movieId: 9, title: 'Heat', released: 1995}),
  (:User {userId: 1, name: 'Ann'}), (:User {userId: 2}), (:User {userId: 3}),
  (:Person:Director {id: 'rs', name: 'Ridley Scott', born: 1937}), (:Person {id: 'mm', name: 'Michael Mann'});
MATCH (m:Movie {movieId: 10}), (p:Person {id: 'rs'}) CREATE (m)-[:DIRECTED_BY]->(p);
MATCH (m:Movie {movieId: 9}), (p:Person {id: 'mm'}) CREATE (m)-[:DIRECTED_BY {since: 1}]->(p);
UNWIND [[1, 10, 4.5, 100], [1, 9, 2.0, 200], [2, 10, 5.0, 50], [2, 9, 4.0, 60], [3, 9, 4.5, 70]] AS row
  MATCH (u:User {userId: row[0]}), (m:Movie {movieId: row[1]})
  CREATE (u)-[:RATED {stars: row[2], timestamp: row[3]}]->(m)
"""
STARS = {"interactions": [{"type": "RATED", "rating": "stars"}]}


def write(store: Neo4jStore, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            store.auto_commit(statement)


@pytest.mark.neo4j
class TestReading:
    def test_ratings_between_users_and_movies_need_next_to_no_configuration(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, MOVIES)
        graph, report = read(neo4j_store, STARS, graph={"positive": "rating >= 4"})
        assert rows(graph, "movie") == [
            {"id": "10", "movie_id": 10, "released": 1979, "title": "Alien", "text": "Alien"},
            {"id": "9", "movie_id": 9, "released": 1995, "title": "Heat", "text": "Heat"},
        ]
        assert rows(graph, "person")[1] == {"id": "rs", "born": 1937, "name": "Ridley Scott", "types": ["Director"]}
        assert edges(graph, RATED) == [
            ("1", "10", 4.5, 100),
            ("1", "9", 2.0, 200),
            ("2", "10", 5.0, 50),
            ("2", "9", 4.0, 60),
            ("3", "9", 4.5, 70),
        ]
        assert graph.interactions.positive.tolist() == [True, False, True, True, True]
        directed = RelationKey("movie", "directed_by", "person")
        assert edges(graph, directed) == [("10", "rs"), ("9", "mm")]
        assert graph.schema.relations[directed].cypher_type == "DIRECTED_BY"
        assert graph.schema.node_types["person"].label == "Person"
        user = graph.schema.node_types["user"]
        assert (user.label, user.key, user.key_type) == ("User", "userId", "integer")
        assert graph.schema.node_types["person"].key_type == "string"
        assert finding(report, "nodes with several labels") == (
            1,
            "(:Director:Person {born: '1937', id: 'rs', name: 'Ridley Scott'})",
        )
        assert finding(report, "properties of relationships left out") == (1, "DIRECTED_BY: since")
        assert sum(s.read for s in report.sources) == 7 + 7
        assert not report.warnings

    def test_the_cypher_of_its_paths_finds_them_in_the_database_it_came_from(
        self, neo4j_store: Neo4jStore, tmp_path: Path
    ) -> None:
        write(neo4j_store, MOVIES)
        graph, _ = read(neo4j_store, STARS, graph={"positive": "rating >= 4"})
        adjacency = Adjacency.of(graph)
        ends = [
            adjacency.numbering.span(name).start + int(graph.vocabulary(name).index([id])[0])
            for name, id in (("user", "1"), ("movie", "9"))
        ]
        paths = PathFinder(adjacency).between(*ends)
        assert len(paths) == 1
        write_store(graph, tmp_path / "graph.lbug")
        with EmbeddedStore(tmp_path / "graph.lbug") as embedded:
            for store in (neo4j_store, embedded):
                found = [store.query(path_query(graph, path)) for path in paths]
                assert found == [[{"ids": ["1", "10", "2", "9"]}]], store.name
                pair = pair_query(graph, "1", "9", [path.shape for path in paths])
                assert store.query(pair) == [{"shape": 0, "ids": ["1", "10", "2", "9"]}], store.name
                shared = shared_users_query(graph, "1", "9")
                assert store.query(shared) == [{"history_id": "10", "users": 1}], store.name

    def test_odd_values_are_kept_exactly_or_told(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            """
            CREATE (:User {id: 'u'}), (:Movie {id: 'a', big: 9007199254740993, mixed: 1, tags: ['x', 'y'],
              on: date('2001-02-03'), at: datetime('2020-01-01T12:00:00+02:00'), span: duration('P1D'),
              local: localdatetime('2020-01-01T12:00:00'), place: point({x: 1.5, y: 2.0}),
              empty: [], ok: true, nan: 0.0 / 0.0}), (:Movie {id: 'b', mixed: 2.5})
            """,
        )
        neo4j_store.write("MATCH (m:Movie {id: 'a'}) SET m.bytes = $bytes", {"bytes": b"\x00\x01"})
        write(neo4j_store, "MATCH (u:User), (m:Movie {id: 'a'}) CREATE (u)-[:RATED]->(m), (m)-[:LIKE]->(m)")
        graph, report = read(neo4j_store)
        table = graph.nodes["movie"]
        first = rows(graph, "movie")[0]
        assert np.isnan(first.pop("nan"))
        assert first == {
            "id": "a",
            "at": dt.datetime(2020, 1, 1, 10, tzinfo=dt.UTC),
            "big": 9007199254740993,
            "empty": [],
            "local": dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC),
            "mixed": 1.0,
            "place": "SRID=7203;POINT(1.5 2)",
            "ok": True,
            "on": dt.date(2001, 2, 3),
            "span": "P1D",
            "tags": ["x", "y"],
        }
        assert rows(graph, "movie")[1] == {"id": "b", "mixed": 2.5}
        assert table.schema.field("big").type == pa.int64()
        assert table.schema.field("tags").type == pa.list_(pa.string())
        assert finding(report, "byte arrays") == (1, "Movie.bytes: 1")
        assert finding(report, "self-loops") == (1, "LIKE")
        assert edges(graph, RelationKey("movie", "like", "movie")) == [("a", "a")]

    def test_names_that_are_reserved_or_the_same_are_told_apart(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (:User {id: 'u'})-[:RATED]->(:Movie:Film {code: 'c', id: 7, text: 't', types: 'x', releaseYear: 1, "
            "release_year: 2, `odd ``name` : 3, iri: 'http://e.org/1', graphrecall_vector_a: [0.5]})",
        )
        graph, report = read(neo4j_store, graph={"nodes": {"movie": {"key": "code"}}})
        assert graph.nodes["movie"].column_names == [
            "id",
            "iri",
            "code",
            "neo4j_id",
            "neo4j_release_year_1",
            "neo4j_release_year_2",
            "neo4j_text",
            "neo4j_types",
            "odd_name",
            "types",
        ]
        assert graph.nodes["movie"].to_pylist()[0]["types"] == ["Film"]
        assert "releaseYear is neo4j_release_year_1" in finding(report, "properties of one name")[1]

    def test_types_that_the_property_holds_and_other_labels_are_one_attribute(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (u:User {id: 'u'}), (u)-[:RATED]->(:Movie {id: 'a', types: ['z', 'Film']}), "
            "(u)-[:RATED]->(:Movie:Film {id: 'b', types: ['c']}), (u)-[:RATED]->(:Movie {id: 'd'})",
        )
        graph, _ = read(neo4j_store)
        assert graph.nodes["movie"]["types"].to_pylist() == [["Film", "z"], ["Film", "c"], None]

    def test_nodes_without_an_id_are_set_aside_with_their_relationships(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "UNWIND range(1, 20) AS n CREATE (:User {id: n})-[:RATED]->(:Movie {id: n});\n"
            "MATCH (u:User {id: 1}) CREATE (u)-[:RATED]->(:Movie {title: 'lost'})",
        )
        graph, report = read(neo4j_store)
        assert graph.counts()["nodes"] == {"user": 20, "movie": 20}
        assert graph.counts()["edges"] == {str(RATED): 20}
        assert finding(report, "missing ids") == (1, "(:Movie {title: 'lost'})")
        assert finding(report, "relationships of nodes without an id")[0] == 1
        with pytest.raises(InvalidDataError, match=r"1 of 21 .*max_set_aside = 0.01.*without id"):
            read(neo4j_store, quality=QualitySettings(max_set_aside=0.01))
        with pytest.raises(InvalidDataError, match=r"quality\.strict"):
            read(neo4j_store, quality=QualitySettings(strict=True))

    def test_nodes_with_the_same_id_are_one_with_the_relationships_of_all(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (a:User {id: 'a'}), (b:User {id: 'b'}), (m:Movie {id: 'm'}), (n:Movie {id: ' m', title: 'B'}), "
            "(o:Movie {id: 'm', title: 'A'}), (a)-[:RATED]->(m), (b)-[:RATED]->(n), (b)-[:RATED]->(o)",
        )
        graph, report = read(neo4j_store)
        assert rows(graph, "movie") == [{"id": "m", "title": "A", "text": "A"}]
        assert edges(graph, RATED) == [("a", "m"), ("b", "m")]
        assert finding(report, "nodes with the same id") == (2, "movie m")
        assert finding(report, "duplicate interactions")[0] == 1

    def test_ids_that_are_no_ids_are_refused_with_the_key(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, "CREATE (:User {id: 1})-[:RATED]->(:Movie {id: 1.5})")
        with pytest.raises(InvalidDataError, match=r"property id of Movie nodes.*graph.nodes.movie.key"):
            read(neo4j_store)

    def test_a_label_without_a_key_is_told_before_anything_is_read(
        self, neo4j_store: Neo4jStore, tmp_path: Path
    ) -> None:
        write(neo4j_store, MOVIES)
        write(
            neo4j_store,
            "MATCH (m:Movie) SET m:Classic;\nCREATE (:Genre {name: 'Crime'});\nCREATE (:Note {text: 'x'})",
        )
        with pytest.raises(ConfigError) as caught:
            read_source(neo4j_store, source(**STARS), settings(), tmp_path / "pages")
        # All classics are movies, which have a key.
        assert [line.split(" ", 1)[0] for line in str(caught.value).splitlines()] == ["Genre", "Note"]
        assert not (tmp_path / "pages").exists()

    def test_labels_whose_nodes_are_read_under_another_label_need_no_key(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE CONSTRAINT FOR (p:Person) REQUIRE p.name IS UNIQUE;\n"
            "CREATE (:User {id: 1})-[:RATED]->(m:Movie {id: 1}), "
            "(m)-[:BY]->(:Person:Writer {name: 'A'}), (m)-[:BY]->(:Person {name: 'B'})",
        )
        graph, _ = read(neo4j_store)
        assert graph.nodes["person"]["id"].to_pylist() == ["A", "B"]
        assert "writer" not in graph.nodes
        write(neo4j_store, "CREATE (:Writer {name: 'C'})")
        with pytest.raises(ConfigError, match=r"Writer nodes have no property 'id'.*graph.nodes.writer.key"):
            read(neo4j_store)

    def test_parallel_relationships_count_once_but_for_further_traces(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (u:User {id: 'u'}), (m:Movie {id: 'm'}), (p:Person {id: 'p'}), (m)-[:BY]->(p), (m)-[:BY]->(p), "
            "(u)-[:RATED {rating: 5, timestamp: 1}]->(m), (u)-[:RATED {rating: 2, timestamp: 9}]->(m), "
            "(u)-[:TAGGED {word: 'a'}]->(m), (u)-[:TAGGED {word: 'b'}]->(m)",
        )
        graph, report = read(neo4j_store)
        assert edges(graph, RATED) == [("u", "m", 2.0, 9)]
        assert edges(graph, RelationKey("user", "tagged", "movie")) == [("u", "m"), ("u", "m")]
        assert edges(graph, RelationKey("movie", "by", "person")) == [("m", "p")]
        assert finding(report, "duplicate interactions")[0] == finding(report, "repeated edges")[0] == 1
        tagged, _ = read(neo4j_store, {"interactions": [{"type": "TAGGED"}]})
        assert tagged.interactions.item.tolist() == [0], "what is learned counts once"
        assert edges(tagged, RATED) == [("u", "m", 5.0, 1), ("u", "m", 2.0, 9)]

    def test_nodes_in_between_are_interactions(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (a:User {id: 'a'}), (b:User {id: 'b'}), (x:Movie {id: 'x'}), (y:Movie {id: 'y'}), "
            "(a)-[:WROTE]->(:Review {stars: 5, day: date('1970-01-02'), text: '!'})-[:ABOUT]->(x), "
            "(b)-[:WROTE]->(:Review:Content {stars: 3})-[:ABOUT]->(x), (a)-[:WROTE]->(:Review {stars: 1}), "
            "(:Content {id: 'c'})-[:ABOUT]->(y), "
            "(o:Order {at: 77})-[:OF]->(b), (o)-[:HAS {weight: 2.0}]->(x), (y)<-[:HAS {weight: 3.0}]-(o)",
        )
        reviews = {
            "through": "Review",
            "user_type": "WROTE",
            "item_type": "ABOUT",
            "rating": "stars",
            "timestamp": "day",
        }
        orders = {"through": "Order", "user_type": "OF", "item_type": "HAS", "timestamp": "at", "relation": "bought"}
        graph, report = read(neo4j_store, {"interactions": [reviews, orders]})
        assert edges(graph, RATED) == [("a", "x", 5.0, 86400), ("b", "x", 3.0, None)]
        bought = RelationKey("user", "bought", "movie")
        assert edges(graph, bought) == [("b", "x", 77, 2.0), ("b", "y", 77, 3.0)]
        assert graph.schema.interaction == RATED
        assert graph.schema.relations[bought].event == Event()
        assert "review" not in graph.nodes
        assert "order" not in graph.nodes
        assert edges(graph, RelationKey("content", "about", "movie")) == [("c", "y")]
        assert finding(report, "nodes in between without a user or an item") == (1, "(:Review {stars: '1'})")
        assert finding(report, "interactions from nodes in between")[0] == 4
        turned, _ = read(neo4j_store, {"interactions": [orders, reviews]})
        assert turned.schema.interaction == bought, "the first one is learned"
        with pytest.raises(ConfigError, match=r"interactions.1: no HAS relationship joins a Order node to a user"):
            read(neo4j_store, {"interactions": [reviews, {**orders, "user_type": "HAS", "item_type": "OF"}]})

    def test_interactions_from_elsewhere_do_not_run_together_with_relationships(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, "CREATE (u:User {id: 'u'})-[:RATED]->(m:Movie {id: 'm'}), (u)<-[:BY]-(:Review)-[:OF]->(m)")
        review = {"through": "Review", "user_type": "BY", "item_type": "OF"}
        query = {"query": "MATCH (u:User), (m:Movie) RETURN u.id AS user, m.id AS item"}
        for entry in (review, query):
            with pytest.raises(ConfigError, match=r"interactions.0 is called 'rated', as the RATED relationships are"):
                read(neo4j_store, {"labels": ["User", "Movie"], "interactions": [entry]})
            graph, _ = read(
                neo4j_store, {"labels": ["User", "Movie"], "interactions": [{**entry, "relation": "wrote"}]}
            )
            assert {key.name for key in graph.edges} >= {"rated", "wrote"}
            joined, _ = read(neo4j_store, {"labels": ["User", "Movie"], "interactions": [entry, {"type": "RATED"}]})
            assert edges(joined, RATED) == [("u", "m")]

    def test_a_database_that_changes_while_it_is_read_leaves_no_loose_ends(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "UNWIND range(1, 30) AS n CREATE (:User {id: n});\nUNWIND range(1, 30) AS n CREATE (:Movie {id: n});\n"
            "MATCH (u:User), (m:Movie) CREATE (u)-[:RATED {rating: 4}]->(m)",
        )

        def change() -> None:
            write(
                neo4j_store,
                "MATCH (m:Movie {id: 7}) DETACH DELETE m;\nMATCH (u:User {id: 30}) DETACH DELETE u;\n"
                "MATCH (u:User {id: 1}) CREATE (u)-[:RATED {rating: 1}]->(:Movie {id: 99})",
            )

        builder = GraphBuilder(settings(), now=NOW, progress=Acting("read relationships", change))
        graph, report = builder.add_neo4j(neo4j_store, source=BY_DEFAULT).build()
        there = set(graph.items.ids.to_pylist())
        assert "7" not in there
        assert {item for _, item, *_ in edges(graph, RATED)} <= there
        assert "30" not in {user for user, *_ in edges(graph, RATED)}
        told = {kind for kind, found in report.findings.items() if "reading" in kind and found.severity == "warning"}
        assert told, "what moved is in the report"
        assert finding(report, "labels whose count moved while reading")[0] >= 1

    def test_several_users_of_a_node_in_between_did_it_each(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (n:Night {at: 5}), (n)-[:IN]->(:Movie {id: 'x'}), (n)-[:IN]->(:Movie {id: 'y'}), "
            "(:User {id: 'a'})-[:AT]->(n), (:User {id: 'b'})-[:AT]->(n), (:User {id: 'c'})",
        )
        night = {"through": "Night", "user_type": "AT", "item_type": "IN", "timestamp": "at"}
        graph, _ = read(neo4j_store, {"interactions": [night]})
        assert edges(graph, RATED) == [(user, item, 5) for user in "ab" for item in "xy"]

    def test_relationships_from_items_to_users_are_turned_round(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, "CREATE (:Movie {id: 'm'})-[:SEEN_BY {rating: 4}]->(:User {id: 'u'})")
        graph, report = read(neo4j_store, {"interactions": [{"type": "SEEN_BY"}]})
        assert edges(graph, RelationKey("user", "seen_by", "movie")) == [("u", "m", 4.0)]
        assert finding(report, "relationships turned round") == (1, "SEEN_BY")

    def test_interactions_between_other_nodes_are_refused(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, "CREATE (:Movie {id: 'm'})-[:RATED]->(:Movie {id: 'n'}), (:User {id: 'u'})")
        with pytest.raises(ConfigError, match="no RATED relationship joins users and items"):
            read(neo4j_store)
        with pytest.raises(ConfigError, match="no RATED relationship joins users and items"):
            read(neo4j_store, graph={"item": "film"})

    def test_what_a_user_did_to_an_item_and_another_node_follows_the_split(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "UNWIND range(1, 9) AS n CREATE (:Movie {id: n})-[:HAS_TAG {by: 1, timestamp: n}]->(:Tag {id: n});\n"
            "CREATE (u:User {id: 1}) WITH u MATCH (m:Movie) CREATE (u)-[:RATED {timestamp: m.id}]->(m);\n"
            "MATCH (m:Movie {id: 1}) CREATE (m)-[:HAS_TAG {by: 99}]->(:Tag {id: 'x'}), "
            "(m)<-[:SHOWS {by: 1}]-(:Poster {id: 'p'}), (m)-[:HAS_TAG]->(:Tag {id: 'nobody'})",
        )
        events = [{"type": "HAS_TAG", "user": "by"}, {"type": "SHOWS", "user": "by"}]
        graph, report = read(neo4j_store, {**BY_DEFAULT, "events": events}, quality=QualitySettings(max_set_aside=0.5))
        key = RelationKey("movie", "has_tag", "tag")
        assert graph.schema.relations[key].event == Event("user", "src")
        assert graph.schema.relations[RelationKey("poster", "shows", "movie")].event == Event("user", "dst")
        assert graph.schema.relations[key].properties == {"user": "by"}
        assert graph.num_nodes("user") == 2
        assert len(graph.edges[key]) == 10
        assert finding(report, "users the graph lacks") == (1, "user 99")
        assert "nobody" in finding(report, "missing ids")[1]
        train = split_interactions(graph, SplitConfig(kind="per_user_time", test=0.3, valid=0)).view(graph, "train")
        kept = {item for _, item, *_ in edges(train, RATED)}
        assert 0 < len(kept) < 9
        assert {item for item, _, user, _ in edges(train, key) if user == graph.users.index(["1"])[0]} == kept
        write(neo4j_store, "MATCH (u:User {id: 1}) CREATE (u)-[:KNOWS {by: 1}]->(u)")
        with pytest.raises(ConfigError, match="no KNOWS relationship joins items and others"):
            read(neo4j_store, {**BY_DEFAULT, "events": [{"type": "KNOWS", "user": "by"}]})

    def test_times_in_any_form_and_missing_values(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (u:User {id: 'u'}), (m:Movie {id: 'm'}), (n:Movie {id: 'n'}), "
            "(u)-[:RATED {at: datetime('1970-01-01T00:01:00Z'), stars: '4'}]->(m), (u)-[:RATED]->(n), "
            "(u)-[:MS {timestamp: 1500000000123}]->(m), (u)-[:WORD {timestamp: 'yesterday', rating: 'good'}]->(m), "
            "(u)-[:DAY {timestamp: date('1970-01-03')}]->(m)",
        )
        wanted = {"interactions": [{"type": "RATED", "rating": "stars", "timestamp": "at"}]}
        graph, report = read(neo4j_store, wanted)
        assert edges(graph, RATED) == [("u", "m", 4.0, 60), ("u", "n", None, None)]
        assert graph.schema.relations[RATED].properties == {"rating": "stars", "timestamp": "at"}
        found = {key.name: edges(graph, key) for key in graph.edges}
        assert found["ms"] == [("u", "m", 1_500_000_000)]
        assert found["day"] == [("u", "m", 2 * 86400)]
        assert found["word"] == [("u", "m")], "not named, and no time: left out, the relationship kept"
        assert finding(report, "timestamps in milliseconds")[0] == 1
        assert finding(report, "unknown ratings")[0] == finding(report, "unknown timestamps")[0] == 1
        assert finding(report, "properties of relationships left out") == (2, "WORD: rating, timestamp")
        with pytest.raises(InvalidDataError, match=r"unparsable cells.*yesterday"):
            read(neo4j_store, {"interactions": [{"type": "WORD", "timestamp": "timestamp"}]})

    def test_units_of_times_by_type_node_in_between_event_and_query(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (u:User {id: 'u'}), (m:Movie {id: 'm'}), (n:Movie {id: 'n'}), (t:Tag {id: 't'}), "
            "(u)-[:RATED {timestamp: 60000}]->(m), "
            "(u)-[:RATED {timestamp: datetime('1970-01-01T01:01:01.123456789+01:00[Europe/Paris]')}]->(n), "
            "(u)<-[:BY]-(:Order {id: 1, at: 62000000})-[:OF]->(m), "
            "(u)<-[:BY]-(:Order {id: 2, at: localdatetime('1970-01-01T00:01:03')})-[:OF]->(n), "
            "(m)-[:TAGGED {by: 'u', timestamp: 64000000000}]->(t), "
            "(m)-[:SEQUEL {made: 65000, seen: 66}]->(n)",
        )
        orders = {"through": "Order", "user_type": "BY", "item_type": "OF", "relation": "bought", "timestamp": "at"}
        watched = "MATCH (u:User)-[:RATED]->(m:Movie {id: 'm'}) RETURN u.id AS user, m.id AS item, 67000 AS timestamp"
        made = "MATCH (m:Movie)-[e:SEQUEL]->(n) RETURN m.id AS source, n.id AS target, e.made AS timestamp"
        fields = {
            "interactions": [
                {"type": "RATED", "unit": "ms"},
                {**orders, "unit": "us"},
                {"query": watched, "relation": "watched", "timestamp": "timestamp", "unit": "ms"},
            ],
            "events": [{"type": "TAGGED", "user": "by", "unit": "ns"}],
            "edges": [{"source": "movie", "relation": "made", "target": "movie", "query": made, "unit": "ms"}],
        }
        graph, _ = read(neo4j_store, fields)
        assert edges(graph, RATED) == [("u", "m", 60), ("u", "n", 61)]
        assert edges(graph, RelationKey("user", "bought", "movie")) == [("u", "m", 62), ("u", "n", 63)]
        assert edges(graph, RelationKey("user", "watched", "movie")) == [("u", "m", 67)]
        tagged = graph.edges[RelationKey("movie", "tagged", "tag")]
        assert tagged["timestamp"].to_pylist() == [64]
        assert edges(graph, RelationKey("movie", "made", "movie")) == [("m", "n", 65)]

    def test_one_value_of_another_type_costs_its_relationship_and_no_other(self, neo4j_store: Neo4jStore) -> None:
        write(
            neo4j_store,
            "CREATE (u:User {id: 'u'}) WITH u UNWIND range(0, 9) AS n CREATE (m:Movie {id: 'm' + n}), "
            "(u)-[:RATED {rating: CASE n WHEN 3 THEN 'five' WHEN 4 THEN [4] WHEN 5 THEN '2' ELSE 4 END, "
            "timestamp: CASE n WHEN 6 THEN 'now' ELSE 1500000000 + n END}]->(m)",
        )
        graph, report = read(neo4j_store, quality=QualitySettings(max_set_aside=0.5))
        ratings = {item: (rating, time) for _, item, rating, time in edges(graph, RATED)}
        assert len(ratings) == 8
        assert (ratings["m0"], ratings["m4"], ratings["m5"]) == (
            (4.0, 1_500_000_000), (4.0, 1_500_000_004), (2.0, 1_500_000_005),
        )  # fmt: skip
        assert finding(report, "unparsable cells")[0] == 2
        assert "rating = 'five'" in finding(report, "unparsable cells")[1]
        assert "properties of relationships left out" not in report.findings
        graph, _ = read(neo4j_store, quality=QualitySettings(max_set_aside=0.5), graph={"positive": "rating >= 4"})
        assert int(graph.interactions.positive.sum()) == 7

    def test_queries_of_ones_own_are_sources(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, MOVIES)
        wanted = {
            "labels": [],
            "interactions": [
                {
                    "query": "MATCH (u:User)-[r:RATED]->(m:Movie) "
                    "RETURN u.userId AS user, m.movieId AS item, r.stars AS stars",
                    "rating": "stars",
                }
            ],
            "nodes": [{"node": "movie", "query": "MATCH (m:Movie) RETURN m.movieId AS id, m.title AS title"}],
            "edges": [
                {
                    "source": "movie",
                    "relation": "co_rated",
                    "target": "movie",
                    "query": "MATCH (a:Movie)<-[:RATED]-(u)-[:RATED]->(b:Movie) WHERE a.movieId < b.movieId "
                    "RETURN a.movieId AS source, b.movieId AS target, toFloat(count(u)) AS weight",
                }
            ],
        }
        graph, report = read(neo4j_store, wanted)
        assert list(graph.nodes) == ["user", "movie"]
        assert rows(graph, "movie")[0] == {"id": "10", "title": "Alien", "text": "Alien"}
        assert edges(graph, RATED)[0] == ("1", "10", 4.5)
        assert edges(graph, RelationKey("movie", "co_rated", "movie")) == [("9", "10", 2.0)]
        assert {s.kind: s.read for s in report.sources} == {"interactions": 5, "attributes": 2, "edges": 1}
        assert finding(report, "relations by queries") == (2, "rated | co_rated")
        interactions = wanted["interactions"]
        for query, error, words in (
            ("MATCH (u:User) RETURN u.userId AS who", InvalidDataError, "no column 'user'"),
            ("MATCH (u:Nobody) RETURN u.id AS user, u.id AS item", InvalidDataError, "returned no rows"),
            ("MATCH (u:User) DETACH DELETE u RETURN 1", QueryRefusedError, "DETACH"),
            ("MATCH (u:User RETURN u", StoreError, "refused a query"),
        ):
            with pytest.raises(error, match=words):
                read(neo4j_store, {**wanted, "interactions": [{**interactions[0], "query": query, "rating": None}]})
        assert neo4j_store.read("MATCH (u:User) RETURN count(u) AS n") == [{"n": 3}]

    def test_names_that_would_end_a_quotation_are_names(self, neo4j_store: Neo4jStore) -> None:
        label, kind, key = "Mo`vie) DETACH DELETE (n", "RA`TED]->() //", "i`d: 1}) //'\""
        write(
            neo4j_store,
            f"CREATE (u:User {{id: 'u'}}), (v:User {{id: 'v'}}), (m:{quote(label)} {{{quote(key)}: 'm'}}), "
            f"(n:{quote(label)} {{{quote(key)}: 'n'}}), (u)-[:{quote(kind)}]->(m), (v)-[:{quote(kind)}]->(m), "
            f"(v)-[:{quote(kind)}]->(n)",
        )
        graph, _ = read(
            neo4j_store,
            {"interactions": [{"type": kind, "relation": "rated"}]},
            graph={"nodes": {"movie": {"label": label, "key": key}}},
        )
        assert edges(graph, RATED) == [("u", "m"), ("v", "m"), ("v", "n")]
        assert graph.schema.node_types["movie"].key == key
        shape = ((RATED, True), (RATED, False), (RATED, True))
        assert neo4j_store.query(pair_query(graph, "u", "n", [shape])) == [{"shape": 0, "ids": ["u", "m", "v", "n"]}]
        assert neo4j_store.read("MATCH (n) RETURN count(n) AS n") == [{"n": 4}]

    def test_what_graphrecall_keeps_for_itself_is_not_data(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, MOVIES)
        before, _ = read(neo4j_store, STARS)
        write(
            neo4j_store,
            "CREATE (:GraphrecallPointer {run: 'r'});\nMATCH (u:User {userId: 1}), (m:Movie {movieId: 9}) "
            "SET m.graphrecall_vector_a = [0.5, 0.5] CREATE (u)-[:GRAPHRECALL_CANDIDATE {rank: 1}]->(m)",
        )
        after, _ = read(neo4j_store, STARS)
        assert same(before, after)

    def test_relationships_to_nodes_that_are_not_read_are_told(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, MOVIES)
        graph, report = read(neo4j_store, {**STARS, "labels": ["User", "Movie"]})
        assert list(graph.nodes) == ["user", "movie"]
        assert finding(report, "relationships to nodes that are not read") == (2, "DIRECTED_BY: 2")

    def test_a_mapping_adds_to_other_sources(self, neo4j_store: Neo4jStore) -> None:
        write(neo4j_store, MOVIES)
        builder = GraphBuilder(settings(), now=NOW)
        builder.add_neo4j(neo4j_store, source=STARS)
        builder.add_attributes({"id": [10, 9, 8], "plot": ["ship", "bank", "?"]}, node="movie")
        builder.add_interactions({"user_id": [3], "item_id": [10], "rating": [1.0]}, relation="rated")
        graph, _ = builder.build()
        assert graph.nodes["movie"]["plot"].to_pylist() == ["ship", "?", "bank"]
        assert ("3", "10", 1.0, None) in edges(graph, RATED)

    def test_the_order_in_which_facts_were_written_changes_nothing(
        self, neo4j_store: Neo4jStore, movie_graph: Callable[..., KnowledgeGraph]
    ) -> None:
        wanted = movie_graph(users=12, movies=15, ratings=6)
        fields = {"interactions": [{"type": "RATED"}], "events": [{"type": "HAS_TAG", "user": "user"}]}
        graph = {
            "positive": "rating >= 4",
            "nodes": {"movie": {"text": "{title}"}, "genre": {}, "person": {}, "tag": {}},
            "relations": {"genre": {"cypher_type": "HAS_GENRE"}},
        }
        load_into(neo4j_store, wanted)
        loaded, _ = read(neo4j_store, fields, graph=graph)
        assert same(loaded, wanted)
        assert loaded.schema.events() == wanted.schema.events()
        empty(neo4j_store)
        write_shuffled(neo4j_store, wanted, np.random.default_rng(1))
        shuffled, _ = read(neo4j_store, fields, graph=graph)
        assert same(shuffled, wanted)


class Acting:
    """A listener that does something once, when a task begins."""

    def __init__(self, when: str, act: Callable[[], None]) -> None:
        self.when, self.act = when, act

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        if description == self.when:
            self.when = ""
            self.act()
        with SILENT.task(description, total=total) as task:
            yield task


def same(one: KnowledgeGraph, other: KnowledgeGraph) -> bool:
    """Whether two graphs have equal tables."""
    return (
        list(one.nodes) == list(other.nodes)
        and set(one.edges) == set(other.edges)
        and all(one.nodes[name].equals(other.nodes[name]) for name in one.nodes)
        and all(one.edges[key].equals(other.edges[key]) for key in one.edges)
    )


def write_shuffled(store: Neo4jStore, graph: KnowledgeGraph, random: np.random.Generator) -> None:
    """The graph as `load_into` writes it, but everything in an order of chance, one fact after the other."""
    facts: list[tuple[str, dict[str, Any]]] = []
    for name, table in graph.nodes.items():
        label = graph.schema.node_types[name].label
        for row in table.to_pylist():
            row.pop("text", None)
            facts.append((f"MERGE (n:{quote(label)} {{id: $row.id}}) SET n += $row", row))
    for key, table in graph.edges.items():
        source, target = (graph.schema.node_types[end].label for end in (key.source, key.target))
        kind = graph.schema.relations[key].cypher_type
        for row in table.to_pylist():
            ends = [
                graph.vocabulary(end).ids[row.pop(c)].as_py() for end, c in ((key.source, "src"), (key.target, "dst"))
            ]
            if "user" in row:
                row["user"] = graph.users.ids[row["user"]].as_py()
            facts.append(
                (
                    f"MERGE (a:{quote(source)} {{id: $row.ends[0]}}) MERGE (b:{quote(target)} {{id: $row.ends[1]}}) "
                    f"CREATE (a)-[r:{quote(kind)}]->(b) SET r = $row.columns",
                    {"ends": ends, "columns": row},
                )
            )
    random.shuffle(facts)
    with store.driver.session() as session, session.begin_transaction() as transaction:
        for query, row in facts:
            transaction.run(query, {"row": row}).consume()
        transaction.commit()
