from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from neo4j import GraphDatabase

from kg.cypher.guard import as_explain
from kg.cypher.query import CypherQuery, quote
from kg.errors import (
    ConfigError,
    QueryRefusedError,
    QueryTimeoutError,
    StoreError,
    StoreUnavailableError,
)
from kg.stores.base import ROWS
from kg.stores.neo4j import client
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.values import plain
from tests.conftest import connect

if TYPE_CHECKING:
    from kg.stores.neo4j.connection import Neo4jConnection
    from tests.neo4j_server.server import Neo4jServer

pytestmark = pytest.mark.neo4j

SLOW = "UNWIND range(1, 1000000000) AS x RETURN count(x) AS n"


def test_the_server_is_a_real_community_edition(neo4j_store: Neo4jStore) -> None:
    (row,) = neo4j_store.query("CALL dbms.components() YIELD name, versions, edition")
    assert row["name"] == "Neo4j Kernel"
    assert row["edition"] == "community"


def test_the_database_is_empty(neo4j_store: Neo4jStore) -> None:
    assert neo4j_store.read("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]


def test_nodes_relationships_and_paths_come_as_plain_data(neo4j_store: Neo4jStore) -> None:
    neo4j_store.write(
        "CREATE (:Film:Movie {id: 'm1', tags: ['a', 'b'], year: 1999})<-[:RATED {rating: 4.5}]-(:User {id: 'u1'}),"
        " (:Bare)"
    )
    movie = {"labels": ["Film", "Movie"], "properties": {"id": "m1", "tags": ["a", "b"], "year": 1999}}
    user = {"labels": ["User"], "properties": {"id": "u1"}}
    rated = {"type": "RATED", "properties": {"rating": 4.5}}
    query = "MATCH p = (m:Movie)<-[r]-(u) RETURN m, r, u, p, [m, r] AS list, {m: m} AS map"
    assert neo4j_store.query(query) == [
        {
            "m": movie,
            "r": rated,
            "u": user,
            "p": {"nodes": [movie, user], "relationships": [rated]},
            "list": [movie, rated],
            "map": {"m": movie},
        }
    ]
    assert neo4j_store.query("MATCH p = (b:Bare) RETURN p") == [
        {"p": {"nodes": [{"labels": ["Bare"], "properties": {}}], "relationships": []}}
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("null", None),
        ("true", True),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1e308", 1e308),
        ("1.0 / 0", math.inf),
        ("'a\nb'", "a\nb"),
        ("[1, null, 'x', [true]]", [1, None, "x", [True]]),
        ("{a: {b: null}}", {"a": {"b": None}}),
        ("date('1999-12-31')", date(1999, 12, 31)),
        ("datetime('2020-02-29T12:30:15.123456789Z')", datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)),
        ("localdatetime('2020-02-29T12:30')", datetime(2020, 2, 29, 12, 30)),
        ("localtime('12:30:15')", time(12, 30, 15)),
        ("time('12:30:15Z')", time(12, 30, 15, tzinfo=UTC)),
        ("duration('P2DT3.5S')", timedelta(days=2, seconds=3.5)),
        ("duration({seconds: -1})", timedelta(seconds=-1)),
        ("duration('P1Y2M3D')", "P1Y2M3D"),
        ("point({x: 1, y: 2.5})", {"srid": 7203, "coordinates": [1.0, 2.5]}),
        (
            "point({longitude: 8, latitude: 49, height: 100})",
            {"srid": 4979, "coordinates": [8.0, 49.0, 100.0]},
        ),
    ],
)
def test_every_kind_of_value_comes_as_python_has_it(neo4j_store: Neo4jStore, expression: str, expected: Any) -> None:
    ((found,),) = (row.values() for row in neo4j_store.query(f"RETURN {expression} AS x"))
    assert found == expected
    assert type(found) is type(expected)


def test_values_of_parameters_come_back_as_they_were(neo4j_store: Neo4jStore) -> None:
    berlin = datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    values = {"berlin": berlin, "raw": b"\x00\xff", "day": date(1, 1, 1), "span": timedelta(days=-3, microseconds=7)}
    (row,) = neo4j_store.query("RETURN $berlin AS berlin, $raw AS raw, $day AS day, $span AS span", values)
    assert row == values
    assert row["berlin"].utcoffset() == berlin.utcoffset()
    (nan,) = neo4j_store.query("RETURN 0.0 / 0 AS nan")
    assert math.isnan(nan["nan"])


def test_a_value_that_python_lacks_is_told_with_what_to_do(neo4j_store: Neo4jStore) -> None:
    for expression in ("date({year: -5})", "datetime({year: 99999})", "duration({days: 5000000000})"):
        with pytest.raises(StoreError, match=r"Python has no value for.*return it as text, toString"):
            neo4j_store.query(f"RETURN {expression} AS x")
    assert neo4j_store.query("RETURN toString(date({year: -5})) AS x") == [{"x": "-0005-01-01"}]


HOSTILE = [
    "x' OR 1=1 //",
    'x" RETURN 1 //',
    "`) DETACH DELETE n //",
    "a`b``c",
    "\\u0027 CREATE (:Pwned) //",
    "\\",
    "line\nbreak\r\n\ttab",
    "\x00\x1b[31m",
    "$id",
    "{curly: 'x'}",
    "ünïcödé 😀 \u202e",
    "",
    " ",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_only_a_value(neo4j_store: Neo4jStore, value: str) -> None:
    neo4j_store.write("CREATE (:Item {id: $id})", {"id": value})
    query = CypherQuery("MATCH (n:Item {id: $id}) RETURN n.id AS id", {"id": value})
    assert neo4j_store.query(query) == [{"id": value}]
    assert neo4j_store.query("MATCH (n) RETURN count(n) AS n, collect(labels(n)) AS labels") == [
        {"n": 1, "labels": [["Item"]]}
    ]


@pytest.mark.parametrize(
    "name",
    ["a`b", "``", "x'y\"z", "a b", "n) DETACH DELETE (n", "ünïcödé 😀", "\\", "//", "/*", "SET", "$x", "a;b", "{"],
)
def test_a_hostile_name_is_only_a_name(neo4j_store: Neo4jStore, name: str) -> None:
    quoted = quote(name)
    neo4j_store.write(f"CREATE (:{quoted} {{{quoted}: $value}})-[:{quoted}]->(:Other)", {"value": 7})
    query = f"MATCH (n:{quoted})-[r:{quoted}]->() RETURN n.{quoted} AS value, labels(n) AS labels, type(r) AS type"
    assert neo4j_store.query(query) == [{"value": 7, "labels": [name], "type": name}]
    assert neo4j_store.query("MATCH (n) RETURN count(n) AS n") == [{"n": 2}]


def test_a_query_cannot_write_even_where_nobody_looks_at_its_text(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(QueryRefusedError, match="Line 1: CREATE writes"):
        neo4j_store.query("CREATE (:X)")
    with pytest.raises(QueryRefusedError, match="refused a query that writes"):
        neo4j_store.read("CREATE (:X)")
    assert neo4j_store.query("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]


def test_a_query_brings_its_own_values_and_further_ones_win(neo4j_store: Neo4jStore) -> None:
    query = CypherQuery("RETURN $a AS a, $b AS b", {"a": 1, "b": 1})
    assert neo4j_store.query(query, {"b": 2}) == [{"a": 1, "b": 2}]
    assert query.parameters == {"a": 1, "b": 1}


def test_a_missing_parameter_is_named(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(StoreError, match=r"ParameterMissing.*: user_id"):
        neo4j_store.query("RETURN $user_id AS x")


@pytest.mark.parametrize("value", [object(), 2**63, -(2**63) - 1, {1: 2}, uuid.UUID(int=5), "\ud800"])
def test_a_value_that_cannot_be_sent_is_told_and_the_store_goes_on(neo4j_store: Neo4jStore, value: Any) -> None:
    for run in (neo4j_store.query, neo4j_store.auto_commit):
        with pytest.raises(StoreError, match="a parameter of the query cannot be sent to Neo4j"):
            run("RETURN $x AS x", {"x": value})
    assert neo4j_store.query("RETURN 1 AS one") == [{"one": 1}]


def test_a_mistake_in_a_query_is_told_in_one_line_with_its_place(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(StoreError, match=r"SyntaxError.*line 2, column") as told:
        neo4j_store.query("MATCH (n)\nRETRUN n")
    assert "\n" not in str(told.value)
    with pytest.raises(StoreError, match="ArithmeticError"):
        neo4j_store.query("UNWIND [1, 0] AS x RETURN 1 / x")


def test_a_label_that_is_not_there_has_no_rows_and_no_noise(
    neo4j_store: Neo4jStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert neo4j_store.query("MATCH (n:Nowhere)-[:NOTHING]->() RETURN n.nothing AS x") == []
    assert not caplog.records


@pytest.mark.parametrize("query", [SLOW, "UNWIND range(1, 100000000) AS x RETURN x"])
def test_a_slow_query_is_ended_and_the_store_goes_on(neo4j_store: Neo4jStore, query: str) -> None:
    with pytest.raises(QueryTimeoutError, match="took longer than it may"):
        neo4j_store.query(query, timeout=0.3)
    running = "SHOW TRANSACTIONS YIELD currentQuery WHERE currentQuery STARTS WITH 'UNWIND' RETURN count(*) AS n"
    assert neo4j_store.read(running) == [{"n": 0}]
    assert neo4j_store.query("RETURN 1 AS one") == [{"one": 1}]


def test_the_time_of_a_store_holds_for_its_queries(neo4j_connection: Neo4jConnection) -> None:

    with neo4j_connection.changed(timeout=0.3).open() as store:
        for run in (store.query, store.read, store.write, store.auto_commit):
            with pytest.raises(QueryTimeoutError):
                run(SLOW)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_is_none_is_refused(neo4j_store: Neo4jStore, timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"timeout = .*must be above 0"):
        neo4j_store.query("RETURN 1", timeout=timeout)


def test_a_driver_of_the_callers_own_stays_open(neo4j_store: Neo4jStore) -> None:
    with Neo4jStore(neo4j_store.driver) as other:
        assert other.query("RETURN 1 AS one") == [{"one": 1}]
    assert neo4j_store.query("RETURN 1 AS one") == [{"one": 1}]


def test_a_closed_store_says_so(neo4j_connection: Neo4jConnection) -> None:
    store = neo4j_connection.open()
    store.close()
    with pytest.raises(StoreError, match=r"[Cc]losed"):
        store.query("RETURN 1")
    with pytest.raises(Exception, match=r"[Cc]losed"):
        store.driver.verify_connectivity()


def test_times_of_python_zones_in_lists_and_maps_are_sent(neo4j_store: Neo4jStore) -> None:
    # The driver alone reads foreign memory for these, which ends the interpreter now and then.
    moment = datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("America/New_York"))
    values = {"rows": [{"at": [moment] * 100}] * 10}
    query = "UNWIND $rows AS row UNWIND row.at AS at RETURN DISTINCT at, toString(at) AS text"
    for run in (neo4j_store.query, neo4j_store.write, neo4j_store.auto_commit):
        (row,) = run(query, values)
        assert row["text"] == "2020-07-01T12:00:00-04:00[America/New_York]"
    assert values["rows"][0]["at"][0] is moment


def test_threads_share_a_store(neo4j_store: Neo4jStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: neo4j_store.query("RETURN $n AS n", {"n": n}), range(64)))
    assert found == [[{"n": n}] for n in range(64)]


def test_faults_of_a_server_are_told_and_a_store_outlives_its_restart(
    own_neo4j_server: Neo4jServer,
) -> None:
    with GraphDatabase.driver(own_neo4j_server.uri, auth=("neo4j", own_neo4j_server.password)) as driver:
        driver.execute_query(
            "CREATE USER ada SET PASSWORD $password CHANGE REQUIRED",
            parameters_={"password": "first-secret"},
            database_="system",
        )
    with (
        GraphDatabase.driver(own_neo4j_server.uri, auth=("ada", "first-secret")) as driver,
        pytest.raises(StoreUnavailableError, match="wants a new password for this user"),
    ):
        Neo4jStore(driver).check()
    messages = set()
    for number in range(6):
        with (
            GraphDatabase.driver(own_neo4j_server.uri, auth=("ada", f"wrong{number}")) as driver,
            pytest.raises(StoreUnavailableError) as refused,
        ):
            Neo4jStore(driver).check()
        assert "wrong" not in str(refused.value).replace("after wrong passwords", "")
        messages.add(str(refused.value))
    assert any("after wrong passwords it waits" in message for message in messages)
    with connect(own_neo4j_server) as store:
        store.write("CREATE (:Kept)")
        own_neo4j_server.kill()
        with pytest.raises(StoreUnavailableError, match=f"{own_neo4j_server.uri} does not answer"):
            store.query("RETURN 1 AS one")
        own_neo4j_server.start()
        assert store.query("MATCH (n:Kept) RETURN count(n) AS n") == [{"n": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE (n:Written)",
        "MATCH (n) SET n.written = true",
        "CALL { CREATE (n:Written) RETURN n } RETURN n",
        "CREATE INDEX written FOR (n:Written) ON (n.id)",
        "CALL db.createLabel('Written')",
        "PROFILE CREATE (n:Written)",
    ],
)
def test_a_write_that_the_check_of_the_text_missed_is_refused_by_its_plan(
    neo4j_store: Neo4jStore, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(client, "check_read_only", lambda _: None)
    with pytest.raises(QueryRefusedError, match="does more than read"):
        neo4j_store.query(text)
    assert neo4j_store.read("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]
    assert neo4j_store.read("SHOW INDEXES YIELD name WHERE name = 'written'") == []


def test_a_text_is_planned_once(neo4j_store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    monkeypatch.setattr(client, "as_explain", lambda text: planned.append(text) or as_explain(text))
    for number in range(3):
        assert neo4j_store.query("RETURN $number AS n", {"number": number}) == [{"n": number}]
    assert neo4j_store.query("/* a plan */ profile RETURN 1 AS n;") == [{"n": 1}]
    assert neo4j_store.query("EXPLAIN MATCH (n) RETURN n") == []
    assert planned == ["RETURN $number AS n", "/* a plan */ profile RETURN 1 AS n;", "EXPLAIN MATCH (n) RETURN n"]
    monkeypatch.setattr(client, "_PLANNED", 1)
    neo4j_store.query("RETURN 2 AS n")
    neo4j_store.query("RETURN $number AS n", {"number": 1})
    assert planned[3:] == ["RETURN 2 AS n", "RETURN $number AS n"], "only so many texts are remembered"


def test_rows_beyond_the_limit_are_refused_and_not_fetched(
    neo4j_store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = 0

    def counted(value: Any) -> Any:
        nonlocal fetched
        fetched += 1
        return plain(value)

    monkeypatch.setattr(client, "plain", counted)
    with pytest.raises(StoreError, match=r"has more than 100,000 rows: add LIMIT, ask for parts of it"):
        neo4j_store.query("UNWIND range(1, 50000000) AS x RETURN x")
    assert fetched == ROWS + 1, "and no more"
    monkeypatch.undo()
    assert len(neo4j_store.query(f"UNWIND range(1, {ROWS}) AS x RETURN x")) == ROWS, "the connection works on"


@pytest.mark.parametrize(
    "value",
    [
        "reduce(s = 'x', i IN range(1, 20) | s + s)",
        "range(1, 200000)",
        "{a: [reduce(s = 'x', i IN range(1, 20) | s + s)]}",
    ],
)
def test_an_answer_of_many_bytes_is_refused(neo4j_store: Neo4jStore, value: str) -> None:
    with pytest.raises(StoreError, match=r"has more than 64 MB: add LIMIT"):
        neo4j_store.query(f"UNWIND range(1, 1000) AS x RETURN {value} AS v")
    assert neo4j_store.query("RETURN 1 AS x") == [{"x": 1}]
