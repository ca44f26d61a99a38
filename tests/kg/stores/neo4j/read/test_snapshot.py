"""Reading a real Neo4j into Parquet pages, beside a reader that takes a record a node and a relationship."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pytest
from neo4j.exceptions import Forbidden

from kg.errors import ArtifactError, InvalidDataError, QueryRefusedError, QueryTimeoutError, StoreError
from kg.progress import SILENT, Task
from kg.stores.neo4j.client import Neo4jStore, driver_errors
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.read import pages
from kg.stores.neo4j.read.catalog import discover
from kg.stores.neo4j.read.reading import read_snapshot
from kg.stores.neo4j.read.snapshot import INDEX, ReadPlan, Snapshot

pytestmark = pytest.mark.neo4j

HOSTILE = ["Mo`vie", 'it\'s "x"', "{label}", "Ünï\u202fcode", "a b", "$name", "x) RETURN 1 //", r"back\slash"]


class Hook:
    """A listener of progress that does something at a step of a task."""

    def __init__(self, **actions: Callable[[int], None]) -> None:
        self.actions = actions
        self.steps: dict[str, list[int]] = {}

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        name = description.replace(" ", "_")
        self.steps[name] = []
        if name in self.actions:
            self.actions[name](0)
        hook = self

        class Step:
            def advance(self, steps: int = 1) -> None:
                hook.steps[name].append(steps)
                if name in hook.actions:
                    hook.actions[name](len(hook.steps[name]))

            def note(self, text: str) -> None:
                pass

        yield Step()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages begin with a few ids, so that small data makes many of them."""
    monkeypatch.setattr(pages, "FIRST_IDS", 10)
    monkeypatch.setattr(pages, "SMALLEST_IDS", 1)


def movies(store: Neo4jStore, users: int = 40, items: int = 30) -> None:
    store.write("UNWIND range(1, $n) AS i CREATE (:User {id: 'u' + i, age: i})", {"n": users})
    store.write("UNWIND range(1, $n) AS i CREATE (:Movie {id: 'm' + i, title: 'Film ' + i})", {"n": items})
    store.write(
        "MATCH (u:User), (m:Movie) WHERE (u.age * 7 + toInteger(substring(m.id, 1))) % 5 < 2 "
        "CREATE (u)-[:RATED {rating: u.age % 10 / 2.0, timestamp: 1000000000 + u.age}]->(m)"
    )


def plan_of(store: Neo4jStore, **more: Any) -> ReadPlan:
    catalog = discover(store)
    return ReadPlan(**{"labels": tuple(catalog.labels), "types": tuple(catalog.types), **more})


def read_all(store: Neo4jStore) -> tuple[dict[int, Any], dict[int, Any]]:
    """A record a node and a relationship: labels and properties by internal id."""
    nodes = store.read("MATCH (n) RETURN id(n) AS i, labels(n) AS labels, properties(n) AS p")
    relationships = store.read(
        "MATCH (a)-[r]->(b) RETURN id(r) AS i, id(a) AS a, id(b) AS b, type(r) AS t, properties(r) AS p"
    )
    return (
        {row["i"]: (sorted(row["labels"]), row["p"]) for row in nodes},
        {row["i"]: (row["a"], row["b"], row["t"], row["p"]) for row in relationships},
    )


def rows_of(snapshot: Snapshot) -> tuple[dict[int, Any], dict[int, Any]]:
    """The same from a snapshot; a node or relationship that comes twice is an error."""
    nodes: dict[int, Any] = {}
    for label in snapshot.plan.labels:
        for row in snapshot.nodes(label).to_pylist():
            assert row["node"] not in nodes
            nodes[row["node"]] = (row["labels"], present(row))
    relationships: dict[int, Any] = {}
    for name in snapshot.plan.types:
        for row in snapshot.relationships(name).to_pylist():
            assert row["relationship"] not in relationships
            relationships[row["relationship"]] = (row["source"], row["target"], name, present(row))
    return nodes, relationships


def by_id(table: Any, name: str) -> dict[Any, Any]:
    """A column by the property `id`: internal ids are given out in any order."""
    return dict(zip(table["p.id"].to_pylist(), table[name].to_pylist(), strict=True))


def present(row: dict[str, Any]) -> dict[str, Any]:
    return {key[2:]: value for key, value in row.items() if key.startswith("p.") and value is not None}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("page", [1, 7, 50_000])
def test_it_reads_what_a_record_a_row_reader_reads(neo4j_store: Neo4jStore, tmp_path: Path, page: int) -> None:
    movies(neo4j_store, *((12, 9) if page == 1 else (40, 30)))
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store, page=page))
    assert rows_of(snapshot) == read_all(neo4j_store)
    assert not snapshot.moved
    for name in ("User", "Movie"):
        ids = snapshot.nodes(name)["node"].to_pylist()
        assert ids == sorted(ids)
    ids = snapshot.relationships("RATED")["relationship"].to_pylist()
    assert ids == sorted(ids)
    files = list((tmp_path / "s").glob("relationships-*.parquet"))
    assert len(files) >= len(ids) / page
    assert all(pa.parquet.read_table(file).num_rows <= page for file in files)


def test_a_node_with_several_labels_is_read_once_under_the_first_of_the_plan(
    neo4j_store: Neo4jStore, tmp_path: Path
) -> None:
    neo4j_store.write("CREATE (:Film:Classic:Work {id: 1}), (:Classic {id: 2}), (:Work:Film {id: 3}), (:Other {id: 4})")
    plan = ReadPlan(labels=("Classic", "Film"))
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan)
    classic, film = snapshot.nodes("Classic"), snapshot.nodes("Film")
    assert by_id(classic, "labels") == {1: ["Classic", "Film", "Work"], 2: ["Classic"]}
    assert film["p.id"].to_pylist() == [3]
    assert film["labels"].to_pylist() == [["Film", "Work"]]


def test_values_of_every_kind_arrive(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        """CREATE (:X {n: 0, big: 9223372036854775807, half: 0.5, yes: true, name: 'é`"', day: date('2020-02-29'),
          at: datetime('2020-02-29T01:02:03.5+01:00'), local: localdatetime('2020-02-29T01:02:03'),
          clock: time('10:00Z'), span: duration('P1DT2H'), place: point({longitude: 12.5, latitude: 41.9}),
          flat: point({x: 1, y: 2, z: 3}), tags: ['a', 'b'], numbers: [1, 2], days: [date('2020-01-01')],
          empty: [], number: 1, mixed: 1, one_or_more: 'a'}),
        (:X {n: 1, big: -9223372036854775808, number: 2.5, mixed: 'x', one_or_more: ['b', 'c'], nan: 0.0 / 0.0}),
        (:X {n: 2})"""
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("X",)))
    table = snapshot.nodes("X")
    first, second, third = sorted(table.to_pylist(), key=lambda row: row["p.n"])
    assert first["p.big"] == 2**63 - 1
    assert second["p.big"] == -(2**63)
    assert (first["p.half"], first["p.yes"], first["p.name"]) == (0.5, True, 'é`"')
    assert first["p.day"] == date(2020, 2, 29)
    assert first["p.at"] == datetime(2020, 2, 29, 0, 2, 3, 500_000, tzinfo=UTC)
    assert first["p.local"] == datetime(2020, 2, 29, 1, 2, 3, tzinfo=UTC)
    assert first["p.clock"].startswith("10:00:00")
    assert first["p.span"] == "P1DT2H"
    assert first["p.place"] == "SRID=4326;POINT(12.5 41.9)"
    assert first["p.flat"] == "SRID=9157;POINT(1 2 3)"
    assert (first["p.tags"], first["p.numbers"], first["p.days"]) == (["a", "b"], [1, 2], [date(2020, 1, 1)])
    assert first["p.empty"] == []
    assert (first["p.number"], second["p.number"]) == (1.0, 2.5)
    assert (first["p.mixed"], second["p.mixed"]) == ("1", "x")
    assert (first["p.one_or_more"], second["p.one_or_more"]) == (["a"], ["b", "c"])
    assert second["p.nan"] != second["p.nan"]
    assert set(present(third)) == {"n"}
    assert table.schema.field("p.big").type == pa.int64()
    assert table.column_names[:2] == ["node", "labels"]
    assert table.column_names[2:] == sorted(table.column_names[2:])


def test_byte_arrays_are_left_out_and_counted(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "CREATE (:X {id: 1, poster: $bytes}), (:X {id: 2, poster: $bytes}), (:X {id: 3})", {"bytes": b"ab"}
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("X",)))
    assert snapshot.nodes("X").column_names == ["node", "labels", "p.id"]
    assert snapshot.byte_arrays == {"X.poster": 2}


def test_a_year_that_python_does_not_know_does_not_stop_the_reading(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "CREATE (:X {id: 1, day: date({year: 12345}), at: datetime({year: -3})}), (:X {id: 2, day: date('2020-01-01')})"
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("X",)))
    assert by_id(snapshot.nodes("X"), "p.day") == {1: "+12345-01-01", 2: "2020-01-01"}
    assert by_id(snapshot.nodes("X"), "p.at")[1].startswith("-0003-01-01T00:00")


def test_parallel_relationships_and_self_loops_are_all_there(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "CREATE (a:X {id: 1})-[:R {n: 1}]->(b:X {id: 2}), (a)-[:R {n: 2}]->(b), (b)-[:R {n: 3}]->(a), (a)-[:R]->(a)"
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store))
    assert rows_of(snapshot) == read_all(neo4j_store)
    assert snapshot.relationships("R").num_rows == 4


def test_hostile_names_are_read_as_any_other(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    from kg.cypher.query import quote

    for name in HOSTILE:
        quoted = quote(name)
        neo4j_store.write(f"CREATE (a:{quoted} {{{quoted}: 1}})-[:{quoted} {{{quoted}: 'x'}}]->(:{quoted})")
    catalog = discover(neo4j_store)
    assert set(catalog.labels) == set(catalog.types) == set(HOSTILE)
    for name in HOSTILE:
        assert catalog.labels[name].count == 2
        assert set(catalog.labels[name].properties) == {name}
        assert set(catalog.types[name].properties) == {name}
        assert catalog.types[name].sources == catalog.types[name].targets == {name: 1}
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store))
    assert rows_of(snapshot) == read_all(neo4j_store)


def test_names_that_no_query_text_can_hold_travel_as_values(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    # Created from values, too: \u0060 in a query's text would be a backtick.
    names = [r"a\u0060b", "tab\there", "line\nbreak"]
    for name in names:
        neo4j_store.write("CREATE (n:$($name)) SET n[$name] = 1 CREATE (n)-[:$($name)]->(n)", {"name": name})
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store))
    assert set(snapshot.catalog.labels) == set(names)
    assert all(facts.count == 1 for facts in snapshot.catalog.labels.values())
    assert rows_of(snapshot) == read_all(neo4j_store)


def test_what_graphrecall_keeps_there_is_not_read(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "CREATE (:X:GraphrecallNode {id: 1, graphrecall_vector_a: [0.5]})"
        "-[:GRAPHRECALL_CANDIDATE]->(:GraphrecallPointer)"
    )
    catalog = discover(neo4j_store)
    assert set(catalog.labels) == {"X"}
    assert set(catalog.types) == set()
    assert set(catalog.labels["X"].properties) == {"id"}
    table = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store)).nodes("X")
    assert table.column_names == ["node", "labels", "p.id"]
    assert table["labels"].to_pylist() == [["X"]]
    with pytest.raises(InvalidDataError, match="graphrecall's own"):
        ReadPlan(labels=("GraphrecallPointer",))


def test_a_hub_is_read_in_bounded_pages(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write("CREATE (:Hub {id: 0})")
    neo4j_store.write(
        "MATCH (h:Hub) UNWIND range(1, 500) AS i CREATE (x:X {id: i}) WITH h, x "
        "UNWIND range(1, 100) AS k CREATE (x)-[:TO {k: k}]->(h)"
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store, page=5_000))
    files = sorted((tmp_path / "s").glob("relationships-*.parquet"))
    sizes = [pa.parquet.read_metadata(file).num_rows for file in files]
    assert sum(sizes) == 50_000
    assert max(sizes) <= 5_000
    table = snapshot.relationships("TO")
    assert len(set(table["relationship"].to_pylist())) == 50_000
    assert table["p.k"].to_numpy().sum() == 500 * 5050


@pytest.mark.usefixtures("small_pages")
def test_gaps_in_the_ids_and_types_side_by_side_lose_nothing(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "UNWIND range(1, 1000) AS i CREATE (a:A {id: i})-[:R {i: i}]->(b:B {id: i}), (b)-[:S]->(a), (a)-[:T]->(a)"
    )
    neo4j_store.write("MATCH (a:A)-[r:R|S]->() WHERE a.id > 20 AND a.id < 950 DELETE r")
    neo4j_store.write("MATCH ()-[r:S]->(a:A) WHERE a.id > 20 AND a.id < 950 DELETE r")
    neo4j_store.write("MATCH (n:A|B) WHERE n.id > 100 AND n.id < 900 DETACH DELETE n")
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store, page=25))
    assert rows_of(snapshot) == read_all(neo4j_store)
    # Only what is asked for, from the middle of the others.
    part = read_snapshot(neo4j_store, tmp_path / "t", ReadPlan(labels=("B",), types=("R", "S"), page=25))
    assert part.nodes("B").num_rows == snapshot.nodes("B").num_rows
    assert part.relationships("R").num_rows == 0
    assert part.moved.outside == {name: snapshot.relationships(name).num_rows for name in ("R", "S")}
    assert not part.moved


@pytest.mark.usefixtures("small_pages")
def test_ids_that_lie_far_apart_are_read_by_scans(
    neo4j_store: Neo4jStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movies(neo4j_store)
    plan = plan_of(neo4j_store, page=25)
    seeks = read_snapshot(neo4j_store, tmp_path / "seeks", plan)
    monkeypatch.setattr(pages, "SPARSE", 0)
    monkeypatch.setattr(pages, "FIRST_IDS", 0)
    delete = Hook(
        read_relationships=lambda step: neo4j_store.write("MATCH (u:User {age: $a}) DETACH DELETE u", {"a": step})
    )
    scans = read_snapshot(neo4j_store, tmp_path / "scans", plan)
    assert rows_of(scans) == rows_of(seeks)
    assert scans.digest == seeks.digest
    changing = read_snapshot(neo4j_store, tmp_path / "changing", plan, progress=delete)
    assert changing.moved.gone["User"] > 5
    nodes, relationships = read_all(neo4j_store)
    found_nodes, found = rows_of(changing)
    assert found_nodes == nodes
    assert found == relationships


def test_the_catalog_counts_and_finds_rare_properties(neo4j_store: Neo4jStore) -> None:
    movies(neo4j_store)
    neo4j_store.write("UNWIND range(1, 20000) AS i CREATE (:Many {id: i})")
    neo4j_store.write("MATCH (n:Many {id: 17777}) SET n.rare = 1.5 CREATE (n)-[:RATED {why: 'x'}]->(n)")
    neo4j_store.auto_commit("CREATE CONSTRAINT FOR (m:Movie) REQUIRE m.id IS UNIQUE")
    neo4j_store.auto_commit("CREATE CONSTRAINT FOR (u:User) REQUIRE (u.id, u.age) IS UNIQUE")
    neo4j_store.write("CREATE (:Gone)")
    neo4j_store.write("MATCH (n:Gone) DELETE n")
    catalog = discover(neo4j_store)
    assert {name: facts.count for name, facts in catalog.labels.items()} == {"Many": 20000, "Movie": 30, "User": 40}
    assert catalog.labels["Many"].properties == {"id": ("Long",), "rare": ("Double",)}
    assert catalog.labels["Movie"].unique == ("id",)
    assert catalog.labels["User"].unique == ()
    rated = catalog.types["RATED"]
    assert rated.sources == {"User": rated.count - 1, "Many": 1}
    assert rated.targets == {"Movie": rated.count - 1, "Many": 1}
    assert set(rated.properties) == {"rating", "timestamp", "why"}
    assert type(catalog).from_json(catalog.to_json()) == catalog


def test_an_account_that_may_not_see_constraints_reads_all_the_same(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    """Community Edition has no such accounts; the answers are those that others get."""

    class Guest(Neo4jStore):
        def read(self, query: str, *arguments: Any, **more: Any) -> list[dict[str, Any]]:
            if query.startswith(("SHOW", "CALL db.info")):
                with driver_errors(self.name):
                    raise Forbidden
            return super().read(query, *arguments, **more)

    movies(neo4j_store)
    neo4j_store.auto_commit("CREATE CONSTRAINT FOR (m:Movie) REQUIRE m.id IS UNIQUE")
    guest = Guest(neo4j_store.driver, name=neo4j_store.name)
    catalog = discover(guest)
    assert catalog.labels["Movie"].unique == ()
    assert catalog.database is None
    plan = plan_of(guest)
    snapshot = read_snapshot(guest, tmp_path / "s", plan)
    assert rows_of(snapshot) == read_all(neo4j_store)
    assert read_snapshot(guest, tmp_path / "s", plan).read_at == snapshot.read_at


def test_an_empty_database_has_an_empty_snapshot(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan_of(neo4j_store))
    assert (dict(snapshot.catalog.labels), dict(snapshot.catalog.types)) == ({}, {})
    assert not snapshot.moved


def test_a_label_that_is_not_there_is_refused_with_the_nearest_name(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    movies(neo4j_store)
    with pytest.raises(InvalidDataError, match=r"no label 'Movies': is 'Movie' meant\?"):
        read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("Movies",)))
    with pytest.raises(InvalidDataError, match="no relationship type 'ZZZ'; there are 'RATED'"):
        read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("Movie",), types=("ZZZ",)))
    assert not (tmp_path / "s").exists()
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("Movie",)))
    with pytest.raises(InvalidDataError, match="no label 'User'"):
        snapshot.nodes("User")


def test_queries_of_the_users_own_become_tables(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    movies(neo4j_store)
    queries = {
        "edges": "MATCH (u:User)-[r:RATED]->(m:Movie) RETURN u.id AS source, m.id AS target, r.rating AS rating",
        "many": "UNWIND range(1, 50000) AS i RETURN i, CASE WHEN i < 40000 THEN i ELSE 0.5 END AS mixed",
        "none": "MATCH (x:Nothing) RETURN x.a AS a, x.b AS b",
    }
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(queries=queries))
    rows = neo4j_store.read(queries["edges"])
    assert snapshot.query("edges").to_pylist() == rows
    many = snapshot.query("many")
    assert many["i"].to_pylist() == list(range(1, 50001))
    assert many.schema.field("mixed").type == pa.float64()
    assert snapshot.query("none").column_names == ["a", "b"]
    assert snapshot.query("none").num_rows == 0


def test_a_query_that_writes_or_returns_nodes_is_refused(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    movies(neo4j_store)
    with pytest.raises(QueryRefusedError):
        read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(queries={"q": "CREATE (n:X) RETURN n.id AS id"}))
    with pytest.raises(InvalidDataError, match="return its properties"):
        read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(queries={"q": "MATCH (n:User) RETURN n"}))
    assert neo4j_store.read("MATCH (n:X) RETURN count(n) AS n") == [{"n": 0}]


@pytest.mark.usefixtures("small_pages")
def test_the_digest_stands_for_the_content(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    movies(neo4j_store)
    plan = plan_of(neo4j_store)
    first = read_snapshot(neo4j_store, tmp_path / "1", plan)
    other_pages = read_snapshot(neo4j_store, tmp_path / "2", ReadPlan(labels=plan.labels, types=plan.types, page=11))
    assert first.digest == other_pages.digest == Snapshot.open(tmp_path / "1").digest
    digests = {first.digest}
    for number, change in enumerate(
        [
            "MATCH (m:Movie {id: 'm3'}) SET m.title = 'Another'",
            "MATCH (m:Movie {id: 'm3'}) SET m:Classic",
            "MATCH (u:User {id: 'u3'})-[r:RATED]->() SET r.rating = r.rating + 1",
            "MATCH (u:User {id: 'u3'})-[r:RATED]->(m) WITH r LIMIT 1 DELETE r",
            "CREATE (:User {id: 'u999'})",
        ]
    ):
        neo4j_store.write(change)
        digests.add(read_snapshot(neo4j_store, tmp_path / f"c{number}", plan).digest)
    assert len(digests) == 6


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("task", "at"), [("read_relationships", 1), ("check_nodes", 0)])
def test_no_relationship_dangles_when_nodes_come_and_go_while_reading(
    neo4j_store: Neo4jStore, tmp_path: Path, task: str, at: int
) -> None:
    movies(neo4j_store)
    (doomed,) = neo4j_store.read("MATCH (u:User)-[r:RATED]->() WHERE u.age <= 5 RETURN count(r) AS n")

    def after_the_nodes(step: int) -> None:
        if step == at:
            neo4j_store.write("MATCH (u:User) WHERE u.age <= 5 DETACH DELETE u")
            neo4j_store.write(
                "MATCH (m:Movie {id: 'm30'}) CREATE (:User {id: 'late', age: 99})-[:RATED {rating: 1.0}]->(m)"
            )
            neo4j_store.write("MATCH (m:Movie {id: 'm1'}) SET m.title = 'renamed'")

    plan = plan_of(neo4j_store, page=20)
    hook = Hook(**{task: after_the_nodes})
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan, progress=hook)
    users, movies_now = snapshot.nodes("User"), snapshot.nodes("Movie")
    assert set(users["p.id"].to_pylist()) == {f"u{i}" for i in range(6, 41)}
    assert movies_now.num_rows == 30
    rated = snapshot.relationships("RATED")
    assert set(rated["source"].to_pylist()) <= set(users["node"].to_pylist())
    assert set(rated["target"].to_pylist()) <= set(movies_now["node"].to_pylist())
    moved = snapshot.moved
    assert moved
    assert moved.gone.get("User", 0) + moved.reused.get("User", 0) == 5
    assert moved.new.get("User", 0) + moved.reused.get("User", 0) >= 1
    assert moved.labels["User"] == (40, 36)
    assert moved.labels["Movie"] == (30, 30)
    assert moved.types["RATED"][0] > moved.types["RATED"][1]
    if task == "check_nodes":
        assert moved.relationships == {"RATED": doomed["n"]}
    assert moved.outside == {}
    assert type(moved).from_json(moved.to_json()) == moved


def test_a_database_that_is_written_to_all_the_time_gives_whole_rows(
    neo4j_store: Neo4jStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted while a page is made leaves half a row in Neo4j's answer."""
    neo4j_store.write("UNWIND range(1, 100) AS i CREATE (:X {id: i})")
    neo4j_store.write(
        "MATCH (a:X), (b:X) CREATE (a)-[:R {one: a.id, two: 2, three: 'x', day: date('2020-01-01')}]->(b)"
    )
    # The server takes its time between finding the relationships and looking at their properties.
    slow = pages.RELATIONSHIPS.replace(
        "collect(x) AS xs\n", "collect(x) AS xs\nCALL () { UNWIND range(1, 1000000) AS k RETURN sum(k % 7) AS pause }\n"
    )
    assert slow != pages.RELATIONSHIPS
    monkeypatch.setattr(pages, "RELATIONSHIPS", slow)
    monkeypatch.setattr("kg.stores.neo4j.read.reading.RELATIONSHIPS", slow)
    stop = Event()
    deleted = [0]

    def destroy() -> None:
        for _ in range(60):  # what takes longer to read finds some left
            if stop.wait(0.02):
                return
            (row,) = neo4j_store.write(
                "MATCH ()-[r]->() WITH r, rand() AS at ORDER BY at LIMIT 50 DELETE r RETURN count(*) AS n"
            )
            neo4j_store.write("MATCH (x:X) WITH x, rand() AS at ORDER BY at LIMIT 1 DETACH DELETE x")
            deleted[0] += row["n"]

    worker = Thread(target=destroy)
    worker.start()
    try:
        snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("X",), types=("R",), page=6_000))
    finally:
        stop.set()
        worker.join()
    assert deleted[0] > 0
    found = snapshot.relationships("R")
    assert found.num_rows > 100
    for name in ("p.one", "p.two", "p.three", "p.day"):
        assert found[name].null_count == 0
    nodes = set(snapshot.nodes("X")["node"].to_pylist())
    assert set(found["source"].to_pylist()) | set(found["target"].to_pylist()) <= nodes
    assert snapshot.nodes("X")["p.id"].null_count == 0
    assert snapshot.moved.types["R"][1] < 10_000


KILLED = """
import os, signal, sys
from pathlib import Path
from contextlib import contextmanager
from dataclasses import replace
from kg.stores.neo4j.read import pages
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.read.reading import read_snapshot
from kg.stores.neo4j.read.snapshot import ReadPlan

pages.FIRST_IDS = 10
class Killer:
    @contextmanager
    def task(self, description, *, total=None):
        class Step:
            seen = 0
            def advance(self, steps=1):
                Step.seen += 1
                if description == sys.argv[3] and Step.seen == int(sys.argv[4]):
                    os.kill(os.getpid(), signal.SIGKILL)
        yield Step()
with Neo4jConnection(uri=sys.argv[1], password_env=sys.argv[5]).open() as store:
    queries = {"q": "MATCH (u:User) RETURN u.id AS id"}
    plan = ReadPlan(labels=("User", "Movie"), types=("RATED",), queries=queries, page=60)
    read_snapshot(store, Path(sys.argv[2]), plan, progress=Killer())
print("done")
"""


@pytest.mark.usefixtures("small_pages")
def test_a_killed_reading_goes_on_after_its_last_page(
    neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection, tmp_path: Path
) -> None:
    movies(neo4j_store)
    folder = tmp_path / "s"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[5])}

    def run(task: str, step: int) -> int:
        command = [sys.executable, "-c", KILLED, neo4j_connection.uri, str(folder), task, str(step)]
        command.append(neo4j_connection.password_env)
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    assert run("read nodes", 1) == -signal.SIGKILL
    assert run("read relationships", 4) == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*-*.json")}
    assert {name.split("-")[0] for name in before} == {"nodes", "relationships"}
    assert not (folder / INDEX).exists()
    with pytest.raises(ArtifactError):
        Snapshot.open(folder)
    assert run("close snapshot", 99) == 0
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*-*.json")}
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    snapshot = Snapshot.open(folder)
    assert rows_of(snapshot) == read_all(neo4j_store)
    assert snapshot.query("q").num_rows == 40
    # Finished and young: it is taken as it is. Too old, or another plan: read anew.
    assert read_snapshot(neo4j_store, folder, snapshot.plan).read_at == snapshot.read_at
    assert read_snapshot(neo4j_store, folder, snapshot.plan, max_age=0).read_at > snapshot.read_at
    neo4j_store.write("CREATE (:User {id: 'one more'})")
    again = read_snapshot(neo4j_store, folder, ReadPlan(labels=("User",)))
    assert again.nodes("User").num_rows == 41
    assert not list(folder.glob("relationships-*"))


@pytest.mark.usefixtures("small_pages")
def test_a_reading_that_was_interrupted_between_changes_is_still_closed_in_itself(
    neo4j_store: Neo4jStore, tmp_path: Path
) -> None:
    movies(neo4j_store)
    plan = plan_of(neo4j_store, page=50)

    def interrupt(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_snapshot(neo4j_store, tmp_path / "s", plan, progress=Hook(read_relationships=interrupt))
    neo4j_store.write("MATCH (u:User) WHERE u.age % 3 = 0 DETACH DELETE u")
    neo4j_store.write("MATCH (m:Movie) WITH m LIMIT 3 CREATE (:User {id: 'new' + m.id})-[:RATED]->(m)")
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", plan)
    nodes, relationships = rows_of(snapshot)
    expected_nodes, _ = read_all(neo4j_store)
    assert all(source in nodes and target in nodes for source, target, _, _ in relationships.values())
    assert all(expected_nodes[node] == content for node, content in nodes.items())
    assert snapshot.moved.labels["User"] == (40, 30)
    assert snapshot.moved.gone.get("User", 0) + snapshot.moved.reused.get("User", 0) == 13


def test_damaged_leftovers_are_read_anew_and_a_damaged_snapshot_is_refused(
    neo4j_store: Neo4jStore, tmp_path: Path
) -> None:
    movies(neo4j_store)
    folder = tmp_path / "s"
    plan = plan_of(neo4j_store)
    first = read_snapshot(neo4j_store, folder, plan)
    (folder / "plan.json").write_text("{")
    again = read_snapshot(neo4j_store, folder, plan)
    assert again.read_at > first.read_at
    assert again.digest == first.digest
    victim = next(folder.glob("relationships-*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match="cannot be read"):
        Snapshot.open(folder).relationships("RATED")
    victim.unlink()
    with pytest.raises(ArtifactError, match=r"cannot be read.*remove"):
        Snapshot.open(folder).relationships("RATED")
    (folder / INDEX).unlink()
    with pytest.raises(ArtifactError, match=r"cannot be read.*remove"):
        read_snapshot(neo4j_store, folder, plan)


def test_a_page_that_takes_too_long_is_cut_smaller_until_it_fits(
    neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neo4j_store.write("UNWIND range(1, 700) AS i CREATE (:X {id: i})")
    # The time grows with the square of the nodes in a page; the server looks for late queries every two seconds only.
    slow = pages.NODES.replace(
        "collect(x) AS xs\n",
        "collect(x) AS xs\n"
        "CALL (xs) { UNWIND xs AS a UNWIND xs AS b UNWIND range(1, 200) AS k RETURN sum(k % 7) AS s }\n",
    )
    assert slow != pages.NODES
    monkeypatch.setattr("kg.stores.neo4j.read.reading.NODES", slow)
    monkeypatch.setattr(pages, "FIRST_IDS", 100_000)
    monkeypatch.setattr(pages, "SMALLEST_IDS", 5)

    class Hurry:
        """Gives little time to the pages alone: what is asked before them takes as long on a busy machine."""

        @contextmanager
        def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
            usual = store.timeout
            if description == "read nodes":
                store.timeout = 0.5
            with SILENT.task(description, total=total) as task:
                yield task
            store.timeout = usual

    with neo4j_connection.open() as store:
        snapshot = read_snapshot(store, tmp_path / "s", ReadPlan(labels=("X",), page=100_000), progress=Hurry())
    assert sorted(snapshot.nodes("X")["p.id"].to_pylist()) == list(range(1, 701))
    assert len(list((tmp_path / "s").glob("nodes-*.parquet"))) > 1


def test_a_server_too_slow_for_the_smallest_page_says_so(
    neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neo4j_store.write("UNWIND range(1, 100) AS i CREATE (:X {id: i})")
    slow = pages.NODES.replace(
        "WITH x ORDER BY", "CALL (x) { UNWIND range(1, 50000000) AS k RETURN sum(k % 7) AS s } WITH x, i, s ORDER BY"
    )
    monkeypatch.setattr("kg.stores.neo4j.read.reading.NODES", slow)
    with neo4j_connection.changed(timeout=0.5).open() as store, pytest.raises(QueryTimeoutError, match="timeout"):
        read_snapshot(store, tmp_path / "s", ReadPlan(labels=("X",)))
    endless = ReadPlan(queries={"q": "UNWIND range(1, 100000000) AS i WITH i WHERE i % 7 = 8 RETURN i"})
    with neo4j_connection.changed(timeout=0.5).open() as store, pytest.raises(QueryTimeoutError, match="timeout"):
        read_snapshot(store, tmp_path / "q", endless)


def test_big_values_make_small_pages(neo4j_store: Neo4jStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FIRST_IDS", 50)
    monkeypatch.setattr(pages, "PAGE_BYTES", 100_000)
    neo4j_store.write(
        "UNWIND range(1, 1000) AS i CREATE (:X {id: i, text: reduce(s = '', k IN range(1, 100) | s + 'ten chars ')})"
    )
    snapshot = read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(labels=("X",)))
    sizes = [pa.parquet.read_metadata(file).num_rows for file in (tmp_path / "s").glob("nodes-*.parquet")]
    assert sum(sizes) == snapshot.nodes("X").num_rows == 1000
    assert max(sizes) <= 200


def test_a_mistake_in_a_query_is_no_fault_to_wait_for(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="SyntaxError"):
        read_snapshot(neo4j_store, tmp_path / "s", ReadPlan(queries={"q": "MATCH (n RETURN n.id AS id"}))
