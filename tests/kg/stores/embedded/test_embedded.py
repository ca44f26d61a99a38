"""The embedded store: what a graph becomes in it, what it answers, and what it leaves behind (nothing)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.cypher.query import CypherQuery, quote
from kg.errors import (
    ArtifactError,
    ConfigError,
    QueryRefusedError,
    QueryTimeoutError,
    StoreError,
    StoreUnavailableError,
)
from kg.io.graph_folder import save_graph
from kg.stores.embedded.build import build_store, write_store
from kg.stores.embedded.store import EmbeddedStore

KNOWS = RelationKey("person", "knows", "person")


def rows_of(graph: KnowledgeGraph) -> tuple[Counter[Any], Counter[Any]]:
    """Nodes and relationships as they should lie in a store, row by row."""
    nodes: Counter[Any] = Counter()
    for name, table in graph.nodes.items():
        for row in table.drop_columns([c for c in table.column_names if c == "text"]).to_pylist():
            nodes[graph.schema.node_types[name].label, frozen(row)] += 1
    edges: Counter[Any] = Counter()
    for key, table in graph.edges.items():
        event = graph.schema.relations[key].event
        for row in table.to_pylist():
            ends = [
                (graph.schema.node_types[end].label, graph.nodes[end]["id"][row.pop(column)].as_py())
                for column, end in (("src", key.source), ("dst", key.target))
            ]
            if event is not None and event.user in row:
                row[event.user] = graph.users.ids[row[event.user]].as_py()
            edges[(graph.schema.relations[key].cypher_type, *ends, frozen(row))] += 1
    return nodes, edges


def rows_in(store: EmbeddedStore) -> tuple[Counter[Any], Counter[Any]]:
    nodes = Counter((*row["n"]["labels"], frozen(row["n"]["properties"])) for row in store.query("MATCH (n) RETURN n"))
    edges = Counter(
        (row["r"]["type"], (row["a"], row["x"]), (row["b"], row["y"]), frozen(row["r"]["properties"]))
        for row in store.query("MATCH (a)-[r]->(b) RETURN r, label(a) AS a, a.id AS x, label(b) AS b, b.id AS y")
    )
    return nodes, edges


def frozen(row: dict[str, Any]) -> frozenset[Any]:
    return frozenset((key, repr(value)) for key, value in row.items() if value is not None)


def people(nodes: dict[str, Any], edges: dict[str, Any] | None = None, **changes: Any) -> KnowledgeGraph:
    """A graph of one node type and one relation."""
    count = len(nodes["id"])
    ends = {"src": [0] * count, "dst": range(count)}
    table = pa.table({**{end: pa.array(at, type=pa.int64()) for end, at in ends.items()}, **(edges or {})})
    schema = Schema(
        node_types={"person": NodeType(name="person", **changes.pop("node_type", {}))},
        relations={KNOWS: Relation(key=KNOWS, **changes.pop("relation", {}))},
    )
    return KnowledgeGraph(schema, {"person": pa.table(nodes)}, {KNOWS: table})


@pytest.fixture(scope="module")
def file(toy_graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_graph(toy_graph, folder / "graph")
    build_store(folder / "graph", folder / "store" / "graph.lbug")
    return folder / "store" / "graph.lbug"


@pytest.fixture(scope="module")
def store(file: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(file) as opened:
        yield opened


def test_every_node_and_edge_arrives_with_all_its_columns(toy_graph: KnowledgeGraph, store: EmbeddedStore) -> None:
    nodes, edges = rows_in(store)
    assert (nodes, edges) == rows_of(toy_graph)
    assert sum(edges.values()) > 500
    assert {name for *_, properties in edges for name, _ in properties} == {"rating", "timestamp", "user"}


VALUES: dict[str, tuple[Any, list[Any]]] = {
    "string": (pa.string(), ["a", None, "x\x00y '`\\ \u2028"]),
    "large_text": (pa.large_string(), ["a", None, "w" * 300_000]),
    "category": (pa.dictionary(pa.int8(), pa.string()), ["x", None, "y"]),
    "yes": (pa.bool_(), [True, None, False]),
    "small": (pa.int8(), [-128, None, 127]),
    "whole": (pa.int64(), [2**63 - 1, None, -(2**63)]),
    "unsigned": (pa.uint64(), [2**64 - 1, None, 0]),
    "single": (pa.float32(), [1.5, None, -0.25]),
    "double": (pa.float64(), [0.1, None, float("inf")]),
    "half": (pa.float16(), [1.5, None, 2.0]),
    "day": (pa.date32(), [date(2000, 2, 29), None, date(1, 1, 1)]),
    "day64": (pa.date64(), [date(2000, 2, 29), None, date(1970, 1, 1)]),
    "moment": (pa.timestamp("s"), [datetime(2000, 1, 1, 1, 2, 3), None, datetime(1900, 1, 1)]),
    "moment_utc": (
        pa.timestamp("us", "UTC"),
        [datetime(2000, 1, 1, tzinfo=UTC), None, datetime(1900, 1, 1, tzinfo=UTC)],
    ),
    "length": (pa.duration("us"), [timedelta(days=400, microseconds=1), None, timedelta(-1)]),
    "bytes": (pa.binary(), [b"\x00\xff", None, b""]),
    "words": (pa.list_(pa.string()), [["a,b", "[c]", ""], None, []]),
    "holes": (pa.list_(pa.int64()), [[1, None], None, []]),
    "nested": (pa.list_(pa.list_(pa.int64())), [[[1], []], None, []]),
    "pairs": (pa.list_(pa.float32(), 2), [[1.0, 2.0], None, [3.0, 4.0]]),
    "categories": (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["x", "y"], None, []]),
    "nothing": (pa.null(), [None, None, None]),
}


def test_every_type_of_column_comes_back_as_it_was(tmp_path: Path) -> None:
    columns = {name: pa.array(values, type=kind) for name, (kind, values) in VALUES.items()}
    graph = people({"id": ["1", "2", "3"], **columns}, columns)
    write_store(graph, tmp_path / "g")
    names = ", ".join(f"x.`{name}` AS `{name}`" for name in VALUES)
    with EmbeddedStore(tmp_path / "g") as store:
        for pattern in ("(x)", "()-[x]->(n)"):
            order = "x.id" if pattern == "(x)" else "n.id"
            rows = store.query(f"MATCH {pattern} RETURN {names} ORDER BY {order}")
            for name, (_, values) in VALUES.items():
                assert [row[name] for row in rows] == values, name


def test_what_no_column_of_the_database_holds_becomes_text(tmp_path: Path) -> None:
    columns = {
        "clock": pa.array([time(1, 2, 3)]),
        "money": pa.array([Decimal("1.50")]),
        "parts": pa.array([{"x": 1, "y": "ä"}]),
        "pairs": pa.array([[("a", 1)]], type=pa.map_(pa.string(), pa.int64())),
    }
    write_store(people({"id": ["1"], **columns}), tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        (row,) = store.query("MATCH (n) RETURN n.clock AS clock, n.money AS money, n.parts AS parts, n.pairs AS pairs")
    assert row == {"clock": "01:02:03.000000", "money": "1.50", "parts": '{"x": 1, "y": "ä"}', "pairs": '[["a", 1]]'}


HOSTILE = ("", "a", "A", "é", "e\u0301", "x\x00y", "`", "'}) RETURN 1 //", '"', r"\u0041", "None", " a ", "\U0001f600")


def test_hostile_ids_are_ids(tmp_path: Path) -> None:
    ids = [*sorted(HOSTILE), "w" * 100_000]
    graph = people({"id": ids})
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        for id in ids:
            rows = store.query("MATCH (:Person)-[:KNOWS]->(n:Person {id: $id}) RETURN n.id AS id", {"id": id})
            assert rows == [{"id": id}]


NAMES = (
    "Per son) DETACH DELETE (n",
    "DIRE`C]->() RETURN 1 //",
    "it's; COPY x TO 'y'",
    'say "x"',
    "back\\slash\\' x",
    "größe",
    "SELECT",
    "$x",
    "名",
)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_names(tmp_path: Path, name: str) -> None:
    columns = {name: pa.array([7, 8])}
    graph = people(
        {"id": ["1", "2"], **columns},
        columns,
        node_type={"label": name},
        relation={"cypher_type": f"T {name}"},
    )
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert rows_in(store) == rows_of(graph)
        query = CypherQuery(
            f"MATCH (a:{quote(name)})-[r:{quote(f'T {name}')}]->(b:{quote(name)}) WHERE b.{quote(name)} = $v "
            f"RETURN r.{quote(name)} AS {quote(name)}",
            {"v": 8},
        )
        assert store.query(query) == [{name: 8}]
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


@pytest.mark.parametrize(
    ("changes", "nodes", "message"),
    [
        ({"node_type": {"label": r"a\u0060b"}}, {}, "Neo4j reads as a character"),
        ({}, {"a\nb": ["x"]}, "control character"),
        ({}, {"_label": ["x"]}, "_label is a reserved property name"),
    ],
)
def test_names_that_do_not_go_in_are_told_and_leave_no_file(
    tmp_path: Path, changes: dict[str, Any], nodes: dict[str, Any], message: str
) -> None:
    graph = people({"id": ["1"], **nodes}, **changes)
    with pytest.raises(StoreError, match=f"the graph has no embedded store: .*{message.replace(chr(92), '.')}"):
        write_store(graph, tmp_path / "store" / "g")
    assert not list(tmp_path.glob("store/*"))


def test_one_type_may_join_several_pairs_of_labels(tmp_path: Path, toy_graph: KnowledgeGraph) -> None:
    """Columns of all pairs together; a type of numbers, and one of text, where they differ."""
    schema = toy_graph.schema
    genre, director, tag = (
        next(key for key in schema.relations if key.name == name) for name in ("genre", "director", "has_tag")
    )
    shared = schema.with_(relations=[replace(schema.relations[k], cypher_type="IS") for k in (genre, director, tag)])
    edges = dict(toy_graph.edges)
    edges[genre] = edges[genre].append_column("weight", pa.array(range(edges[genre].num_rows)))
    edges[director] = edges[director].append_column("weight", pa.array([0.5] * edges[director].num_rows))
    edges[director] = edges[director].append_column("timestamp", pa.array(["then"] * edges[director].num_rows))
    graph = KnowledgeGraph(shared, toy_graph.nodes, edges)
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        rows = store.query("MATCH ()-[r:`IS`]->(b) RETURN label(b) AS b, r.weight AS w, r.timestamp AS t, r.user AS u")
    expected = [("Genre", float(n), None, None) for n in range(edges[genre].num_rows)]
    expected += [("Person", 0.5, "then", None)] * edges[director].num_rows
    users = toy_graph.users.ids
    expected += [("Tag", None, str(row["timestamp"]), users[row["user"]].as_py()) for row in edges[tag].to_pylist()]
    assert Counter(tuple(row.values()) for row in rows) == Counter(expected)


def test_two_relations_of_one_type_between_the_same_labels_are_refused(
    tmp_path: Path, toy_graph: KnowledgeGraph
) -> None:
    schema = toy_graph.schema
    keys = [key for key in schema.relations if key.target == "person"]
    alike = schema.with_(relations=[replace(schema.relations[key], cypher_type="IS") for key in keys])
    graph = KnowledgeGraph(alike, toy_graph.nodes, toy_graph.edges)
    with pytest.raises(StoreError, match="2 relations from movie to person have the type 'IS'"):
        write_store(graph, tmp_path / "g")


def test_nodes_are_found_by_the_property_that_the_schema_names(tmp_path: Path) -> None:
    number = {"node_type": {"key": "personId", "key_type": "integer"}, "relation": {"properties": {"since": "Since"}}}
    graph = people({"id": ["7", "12"], "name": ["x", "y"]}, {"since": pa.array([1, 2])}, **number)
    write_store(graph, tmp_path / "g")
    text = "MATCH ()-[r:KNOWS]->(n:Person {personId: $id}) RETURN n.id AS id, toString(n.personId) AS key, r.Since AS s"
    with EmbeddedStore(tmp_path / "g") as store:
        assert store.query(text, {"id": 12}) == [{"id": "12", "key": "12", "s": 2}]
    with pytest.raises(StoreError, match="1 person have ids that are no numbers, such as 'x'"):
        write_store(people({"id": ["7", "x"]}, **number), tmp_path / "h")


def test_tables_larger_than_a_part_go_in_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kg.stores.embedded import build as embedded_build

    monkeypatch.setattr(embedded_build, "ROWS", 7)
    count = 50
    columns = {"words": pa.array([None if n % 3 else [str(n)] for n in range(count)])}
    graph = people({"id": [str(n) for n in range(count)], **columns}, columns)
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert rows_in(store) == rows_of(graph)


def test_an_empty_table_stays_a_label_and_a_type(tmp_path: Path) -> None:
    graph = people({"id": pa.array([], type=pa.string())})
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert store.query("MATCH (a:Person)-[r:KNOWS]->(b) RETURN a") == []


def test_answers_are_shaped_like_neo4js(store: EmbeddedStore) -> None:
    query = (
        "MATCH p = (m:Movie {id: $id})-[r:DIRECTOR]->(n) "
        "RETURN m, r, p, type(r) AS kind, {a: [m]} AS nested, startNode(r).id AS start, toFloat(toString(1)) AS one"
    )
    (row,) = store.query(query, {"id": "m3"})
    movie = row["m"]
    assert movie["labels"] == ["Movie"]
    assert movie["properties"]["id"] == "m3"
    assert set(movie["properties"]) == {"id", "title", "year"}
    assert row["r"] == {"type": "DIRECTOR", "properties": {}}
    assert row["p"]["nodes"][0] == movie
    assert row["p"]["nodes"][1]["labels"] == ["Person"]
    assert row["p"]["relationships"] == [row["r"]]
    assert (row["kind"], row["nested"], row["start"], row["one"]) == ("DIRECTOR", {"a": [movie]}, "m3", 1.0)


@pytest.mark.parametrize(
    ("text", "values", "error", "message"),
    [
        ("MATCH (m:Movie {id: $id}) RETURN m /* $y */", {}, StoreError, r"\$id, but no such value"),
        ("RETURN $`odd ``name` AS x", {"name": 1}, StoreError, r"\$odd `name, but no such value"),
        ("RETURN 1 AS x, 2 AS x", {}, StoreError, r"two columns .* alike \(x, x\)"),
        ("MATCH (n:Nowhere) RETURN n", {}, StoreError, "Nowhere does not exist"),
        ("MATCH (n RETURN n", {}, StoreError, "Parser exception"),
        ("RETURN $x", {"x": object()}, StoreError, "Unknown parameter type"),
        ("RETURN $x", {"x": 2**70}, StoreError, "cast"),
        ("RETURN $x", {"x": "\ud800"}, StoreError, "refused a query"),
        ("MATCH (n) SET n.x = 1", {}, QueryRefusedError, "SET"),
        ("CHECKPOINT", {}, QueryRefusedError, "CHECKPOINT"),
        ("LOAD FROM '/etc/hostname' (file_format='csv') RETURN *", {}, QueryRefusedError, "LOAD"),
        ("COPY (MATCH (n) RETURN n.id) TO 'stolen.csv'", {}, QueryRefusedError, "COPY"),
        ("CALL threads = 3", {}, QueryRefusedError, "CALL"),
    ],
)
def test_queries_that_cannot_be_answered(
    store: EmbeddedStore, text: str, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        store.query(text, values)
    assert store.query("MATCH (u:User) RETURN count(*) AS n") == [{"n": 30}]


def test_a_dollar_in_a_string_a_name_or_a_comment_is_no_parameter(store: EmbeddedStore) -> None:
    text = "RETURN '$a' AS `$b`, \"it's $c\" AS x, $`d e` AS y // $f\n"
    assert store.query(text, {"d e": 5}) == [{"$b": "$a", "x": "it's $c", "y": 5}]


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (a)-[]-(b)-[]-(c)-[]-(d)-[]-(e)-[]-(f) RETURN count(*)",  # long in counting
        "MATCH (a), (b), (c), (d) RETURN a.id AS a, b.id AS b",  # counted at once, endless to write out
    ],
)
def test_a_query_stops_at_its_timeout_and_the_next_one_runs(store: EmbeddedStore, text: str) -> None:
    with pytest.raises(QueryTimeoutError, match=r"took longer than 0\.2 seconds"):
        store.query(text, timeout=0.2)
    assert store.query("MATCH (u:User) RETURN count(*) AS n") == [{"n": 30}]


def test_closing_ends_the_queries_that_run(file: Path) -> None:
    store = EmbeddedStore(file)
    errors: list[Exception] = []
    started = threading.Barrier(4)

    def ask() -> None:
        started.wait()
        try:
            store.query("MATCH (a)-[]-(b)-[]-(c)-[]-(d)-[]-(e)-[]-(f)-[]-(g) RETURN count(*)")
        except StoreUnavailableError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    store.close()
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    assert all("closed" in str(error) for error in errors)


def test_a_query_that_needs_too_much_memory_is_refused(file: Path) -> None:
    with EmbeddedStore(file, memory=64 << 20) as store:
        with pytest.raises(StoreError, match="more memory than it may use"):
            store.query("MATCH (a), (b), (c), (d) RETURN DISTINCT a.id + b.id + c.id + d.id AS x ORDER BY x")
        assert store.query("MATCH (u:User) RETURN count(*) AS n") == [{"n": 30}]


def test_limits_must_be_positive(file: Path, store: EmbeddedStore) -> None:
    for make in (
        lambda: EmbeddedStore(file, timeout=0),
        lambda: EmbeddedStore(file, memory=1),
        lambda: store.query("RETURN 1", timeout=-1),
    ):
        with pytest.raises(ConfigError, match="must be"):
            make()


def test_threads_share_a_store(store: EmbeddedStore) -> None:
    wrong: list[Any] = []
    gate = threading.Barrier(6)

    def ask(number: int) -> None:
        gate.wait()
        for turn in range(30):
            id = f"m{(number * 7 + turn) % 40}"
            rows = store.query("MATCH (m:Movie {id: $id}) RETURN m.id AS id", {"id": id})
            if rows != [{"id": id}]:
                wrong.append((id, rows))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_stores_and_processes_read_one_file_and_leave_nothing(file: Path) -> None:
    """Twenty at once: with the library's own settings a process has room for fifteen."""
    before = (file.stat().st_mtime_ns, file.read_bytes())
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        stores = [EmbeddedStore(file, memory=64 << 20) for _ in range(20)]
        program = (
            "import sys; from kg.stores.embedded.store import EmbeddedStore\n"
            "print(EmbeddedStore(sys.argv[1]).query('MATCH (u:User) RETURN count(*) AS n'))"
        )
        done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "[{'n': 30}]", done.stderr
        for store in stores:
            assert store.query("MATCH (u:User) RETURN count(*) AS n") == [{"n": 30}]
            with pytest.raises((StoreError, QueryRefusedError)):
                store.query("CHECKPOINT")
            store.close()
            store.close()
        with pytest.raises(StoreUnavailableError, match="is closed"):
            stores[0].query("RETURN 1")
        assert list(file.parent.iterdir()) == [file]
        assert (file.stat().st_mtime_ns, file.read_bytes()) == before
    finally:
        file.parent.chmod(0o755)


def test_a_file_that_is_not_there_or_damaged_is_told(tmp_path: Path, file: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"there is no embedded store at .*refresh the run"):
        EmbeddedStore(tmp_path / "none")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailableError, match=r"cannot be opened: .*refresh the run"):
        EmbeddedStore(damaged)
    with pytest.raises(ArtifactError, match="is missing"):
        build_store(tmp_path / "nowhere", tmp_path / "g")


def test_a_build_replaces_the_file_whole(tmp_path: Path) -> None:
    write_store(people({"id": ["1"]}), tmp_path / "g")
    write_store(people({"id": ["1", "2"]}), tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert store.query("MATCH (n) RETURN count(*) AS n") == [{"n": 2}]
    assert list(tmp_path.iterdir()) == [tmp_path / "g"]


def test_it_is_built_in_a_process_of_its_own_and_what_that_says_arrives(
    toy_graph: KnowledgeGraph, tmp_path: Path
) -> None:
    save_graph(people({"id": ["1"], "_label": ["x"]}), tmp_path / "graph")
    with pytest.raises(StoreError, match=r"the graph has no embedded store: .*_label is a reserved property name"):
        build_store(tmp_path / "graph", tmp_path / "store" / "g")
    next((tmp_path / "graph").glob("*.parquet")).unlink()
    with pytest.raises(ArtifactError):
        build_store(tmp_path / "graph", tmp_path / "store" / "g")
    assert not list((tmp_path / "store").iterdir())


def dies(graph_folder: str, file: str, progress: Any) -> Iterator[bytes]:
    Path(file).write_text("half of a database")
    os.abort()
    yield b""


def test_when_its_library_ends_the_process_that_is_an_error_and_nothing_stays(
    toy_graph: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kg.stores.embedded import build as embedded_build

    monkeypatch.setattr(embedded_build, "JOB", "tests.kg.stores.embedded.test_embedded:dies")
    with pytest.raises(StoreError, match=r"no embedded store: Ladybug ended its process .SIGABRT"):
        build_store(tmp_path, tmp_path / "store" / "g")
    monkeypatch.setattr(embedded_build, "ROOM", 1 << 62)  # so that the disk counts as full
    with pytest.raises(OSError, match="No space left on device, Ladybug ended its process: SIGABRT"):
        build_store(tmp_path, tmp_path / "store" / "g")
    assert not list((tmp_path / "store").iterdir())
