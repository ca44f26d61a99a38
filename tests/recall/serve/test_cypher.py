"""Asking a run in Cypher, from Python and from the command line, in its own file and in a Neo4j."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kg.errors import ArtifactError, ConfigError, QueryRefusedError, StoreError, StoreUnavailableError
from kg.io.files import MANIFEST, write_manifest
from kg.stores.base import Row
from recall.cli.render.cypher import rows_data
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender
from recall.serve.store import RunStore

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recommender(refreshed: RefreshResult) -> Recommender:
    return Recommender.load(refreshed.run.path)


def changed(run: RunLayout, folder: Path, **config: Any) -> Path:
    """A copy of a run with another configuration."""
    shutil.copytree(run.path, folder)
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, **config}))
    write_manifest_again(folder)
    return folder


def write_manifest_again(folder: Path) -> None:
    """Let the manifest of a changed run list what is there now."""
    own = ("format_version", "files", "digest")
    facts = {key: value for key, value in json.loads((folder / MANIFEST).read_text()).items() if key not in own}
    write_manifest(folder, facts)


class Recorder:
    """A store of the user's own."""

    name = "recorder"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def query(self, query: Any, parameters: Any = None, *, timeout: float | None = None) -> list[Row]:
        self.asked.append((query, dict(parameters), timeout))
        return [{"x": 1}]

    def close(self) -> None:
        raise AssertionError("a store that was given is not ours to close")


def test_values_come_by_name_or_as_a_mapping(recommender: Recommender) -> None:
    query = "MATCH (m:Movie {id: $id}) RETURN m.id AS id, m.name AS name"
    expected = [{"id": "m1", "name": recommender.title("m1")}]
    assert recommender.cypher(query, id="m1") == expected
    assert recommender.cypher(query, {"id": "m1"}) == expected
    assert recommender.cypher(query, {"id": "m2"}, id="m1") == expected
    (row,) = recommender.cypher("MATCH (m:Movie {id: $id})-[r:DIRECTOR]->(p) RETURN m, r, p", id="m1")
    assert row["m"]["labels"] == ["Movie"]
    assert row["m"]["properties"]["id"] == "m1"
    assert row["r"] == {"type": "DIRECTOR", "properties": {}}
    recommender.close()


def test_the_query_of_an_explanations_path_finds_that_path(recommender: Recommender) -> None:
    (row,) = recommender.recommend(["u1"], k=1)
    (explanation,) = recommender.explain([("u1", row["item_id"])])
    paths = [path for path in explanation.paths if not path.users]
    assert paths
    for path in paths:
        found = recommender.cypher(path.cypher)
        assert [found_path["ids"][0] for found_path in found] == ["u1"]
        assert [found_path["ids"][-1] for found_path in found] == [row["item_id"]]
    recommender.close()


@pytest.mark.parametrize(
    "query", ["CREATE (:X)", "LOAD FROM '/etc/passwd' RETURN *", "MATCH (n) RETURN n; MATCH (n) RETURN n"]
)
def test_more_than_reading_is_refused(recommender: Recommender, query: str) -> None:
    with pytest.raises(QueryRefusedError):
        recommender.cypher(query)


def test_a_mistake_is_the_stores_error(recommender: Recommender) -> None:
    for query in ("MATCH (n:Nonsense) RETURN n", "MATCH (n RETURN n", "RETURN $missing AS x"):
        with pytest.raises(StoreError):
            recommender.cypher(query)
    recommender.close()


def test_a_run_is_asked_again_after_it_was_closed(recommender: Recommender) -> None:
    query = "MATCH (m:Movie) RETURN count(m) AS n"
    first = recommender.cypher(query)
    recommender.close()
    recommender.close()
    assert recommender.cypher(query) == first
    recommender.close()


def test_threads_that_ask_first_open_one_store(refreshed: RefreshResult, monkeypatch: pytest.MonkeyPatch) -> None:
    import kg.stores.embedded.store

    opened = []

    class Counted(kg.stores.embedded.store.EmbeddedStore):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            opened.append(arguments)
            super().__init__(*arguments, **more)

    monkeypatch.setattr(kg.stores.embedded.store, "EmbeddedStore", Counted)
    store = RunStore(refreshed.run)
    assert not opened
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: store.query("RETURN $n AS n", {"n": n}), range(32)))
    assert found == [[{"n": n}] for n in range(32)]
    assert len(opened) == 1
    store.close()


def test_a_store_of_the_users_own_answers_and_stays_open(refreshed: RefreshResult) -> None:
    store = Recorder()
    loaded = Recommender.load(refreshed.run.path, store=store)
    made = Recommender(loaded.graph, loaded.pipeline, store=store)
    for one in (loaded, made):
        assert one.cypher("RETURN $a AS a", {"a": 1}, timeout=5, b=2) == [{"x": 1}]
        one.close()
    assert store.asked == [("RETURN $a AS a", {"a": 1, "b": 2}, 5)] * 2


def test_a_recommender_in_memory_has_no_store_and_says_so(recommender: Recommender) -> None:
    made = Recommender(recommender.graph, recommender.pipeline)
    with pytest.raises(ConfigError, match="has no store to query: give one"):
        made.cypher("RETURN 1 AS one")
    made.close()


def test_a_run_without_its_database_serves_and_tells_only_who_asks(refreshed: RefreshResult, tmp_path: Path) -> None:
    folder = changed(refreshed.run, tmp_path / "run")
    shutil.rmtree(folder / "store")
    write_manifest_again(folder)
    recommender = Recommender.load(folder, verify=False)
    assert len(recommender.recommend(["u1"], k=3)) == 3
    with pytest.raises(StoreUnavailableError, match="refresh the run"):
        recommender.cypher("RETURN 1 AS one")


def test_a_database_that_was_changed_is_not_asked(refreshed: RefreshResult, tmp_path: Path, command: Command) -> None:
    folder = changed(refreshed.run, tmp_path / "run")
    recommender = Recommender.load(folder)
    unverified = Recommender.load(folder, verify=False)
    store = RunLayout.open(folder).store
    title = str(recommender.title("m1")).encode()
    data = store.read_bytes()
    assert title in data
    store.write_bytes(data.replace(title, title.swapcase()))
    query = "MATCH (m:Movie {id: 'm1'}) RETURN m.name AS name"
    with pytest.raises(ArtifactError, match=r"graph\.lbug is damaged: its checksum differs"):
        recommender.cypher(query)
    code, out, err = command("cypher", folder, query)
    assert (code, out) == (1, "")
    assert "graph.lbug is damaged: its checksum differs" in err
    assert len(unverified.cypher(query)) == 1
    unverified.close()
    store.unlink()
    with pytest.raises(ArtifactError, match=r"incomplete: store/graph\.lbug missing"):
        recommender.cypher(query)


class Listener:
    """A server that writes down what it is sent, and answers nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"bolt://127.0.0.1:{self._socket.getsockname()[1]}"
        self.received: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self.received.append(connection.recv(1000))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def test_no_server_that_a_run_names_is_ever_spoken_to(
    refreshed: RefreshResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, listener: Listener
) -> None:
    (tmp_path / "secret").write_text("hunter2-secret")
    for variable in ("NEO4J_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "hunter2-secret")
    section = {"uri": listener.uri, "password_env": "AWS_SECRET_ACCESS_KEY", "password_file": str(tmp_path / "secret")}
    folder = changed(refreshed.run, tmp_path / "runs" / refreshed.run.name, neo4j=section)
    recommender = Recommender.load(folder)
    query = "MATCH (m:Movie) RETURN count(*) AS n"
    assert recommender.cypher(query) == [{"n": len(recommender.graph.items)}]
    recommender.explain([("u1", "m1")])
    recommender.close()
    code, out, _ = command("cypher", folder, query, "--json")
    assert (code, json.loads(out)) == (0, {"rows": [{"n": len(recommender.graph.items)}]})
    assert command("cypher", folder)[0] == 0
    for unclear in (["write-back", folder], ["cypher", folder, query, "--database", "x"]):
        code, _, err = command(*unclear)
        assert code == 2
        assert "which server?" in err
    code, _, err = command("forget", folder.parent, "--user", "u1")
    assert code == 1
    assert "give CONFIG" in err
    for asked in (["evaluate", folder], ["export", folder, "--out", tmp_path / "out"], ["similar", folder, "m1"]):
        command(*asked)
    assert listener.received == []
    code, _, err = command("cypher", folder, query, "--neo4j", listener.uri)
    assert code == 1
    assert listener.received, "the one that the caller names is"
    assert "hunter2" not in err


def test_every_kind_of_value_has_a_place_in_json() -> None:
    rows = [
        {
            "times": [date(1999, 12, 31), datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=-1, seconds=2.5)],
            "floats": [math.nan, math.inf, -math.inf, 1.5],
            "bytes": b"\x00\xff",
            "map": {1: {date(2020, 1, 1): None}},
            "big": 2**70,
            "true": True,
        }
    ]
    data = rows_data(rows)
    assert json.loads(json.dumps(data, allow_nan=False)) == [
        {
            "times": ["1999-12-31", "2020-01-01T00:00:00+00:00", "P-1DT2.5S"],
            "floats": ["NaN", "Infinity", "-Infinity", 1.5],
            "bytes": "AP8=",
            "map": {"1": {"2020-01-01": None}},
            "big": 2**70,
            "true": True,
        }
    ]


def test_the_command_prints_a_table_or_json(
    command: Command, refreshed: RefreshResult, recommender: Recommender
) -> None:
    query = (
        "MATCH (m:Movie {id: $id})-[r:DIRECTOR]->(p) RETURN m.name AS name, p, r, 1.5 AS x, NULL AS nothing, 'y' AS y"
    )
    code, out, err = command("cypher", refreshed.run.path, query, "--param", "id=m1")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "The river" in text
    assert "(:Person {" in text
    assert "[:DIRECTOR]" in text
    assert "1 row" in text
    code, out, err = command("cypher", refreshed.run.path, query, "--param", "id=m1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"rows": rows_data(recommender.cypher(query, id="m1"))}
    code, out, _ = command("cypher", refreshed.run.path, "MATCH (m:Movie {id: 'x'}) RETURN m")
    assert (code, out) == (0, "no rows\n")
    recommender.close()


def test_long_lists_such_as_vectors_are_cut_in_tables_only(command: Command, refreshed: RefreshResult) -> None:
    query = "RETURN range(1, 2000) AS long, range(1, 20) AS short"
    _, out, _ = command("cypher", refreshed.run.path, query)
    shown = " ".join(out.split())
    assert "... 2,000 in all]" in shown
    assert "1999" not in shown
    assert shown.count("...") == 1
    _, out, _ = command("cypher", refreshed.run.path, query, "--json")
    assert json.loads(out)["rows"][0]["long"] == list(range(1, 2001))


def test_a_parameter_is_a_text_unless_it_is_given_as_json(command: Command, refreshed: RefreshResult) -> None:
    query = "RETURN $a AS a, $b AS b, $c AS c"
    given = ["--param", "a=5", "--param", "b:=5", "--param", 'c:=["x=y", null]']
    _, out, _ = command("cypher", refreshed.run.path, query, *given, "--json")
    assert json.loads(out) == {"rows": [{"a": "5", "b": 5, "c": ["x=y", None]}]}
    _, out, _ = command("cypher", refreshed.run.path, "RETURN $a AS a", "--param", "a=x:=y=z", "--json")
    assert json.loads(out) == {"rows": [{"a": "x:=y=z"}]}
    for wrong in ("a", "=x", "a b=1", "a:={", ":=1"):
        code, _, err = command("cypher", refreshed.run.path, query, "--param", wrong)
        assert code == 2
        assert "--param" in err
    assert command("cypher", refreshed.run.path, query, "--param", "a=1", "--param", "a=2")[0] == 2


def test_what_a_terminal_would_obey_is_shown_instead(command: Command, refreshed: RefreshResult) -> None:
    nasty = "\x1b[31mred\x07 \u202eturned [bold]x[/bold] :smile:"
    code, out, _ = command(
        "cypher", refreshed.run.path, "RETURN $a AS `[bold]a[/bold]`, [$a] AS b", "--param", f"a={nasty}"
    )
    assert code == 0
    assert not set(out) & set("\x1b\x07\u202e")
    assert "[bold]a[/bold]" in out
    assert "[bold]x[/bold] :smile:" in " ".join(out.split())
    assert "\\u001b[31mred" in out


def test_a_refused_query_is_one_line_and_fails(command: Command, refreshed: RefreshResult) -> None:
    for query in (
        "MATCH (n)\nDETACH DELETE n",
        "MATCH (n) RETURN n.set",
        "nonsense",
        "",
        "MATCH (n:Nonsense) RETURN n",
    ):
        code, out, err = command("cypher", refreshed.run.path, query)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert "Traceback" not in err


def test_ready_queries_are_listed_and_asked_by_name(command: Command, refreshed: RefreshResult) -> None:
    run = refreshed.run.path
    code, out, err = command("cypher", run)
    assert (code, err) == (0, "")
    assert "neighbourhood" in out
    assert "similar_items" not in out  # needs a Neo4j
    listed = json.loads(command("cypher", run, "--json")[1])["ready"]
    assert {"name", "help", "parameters", "defaults", "text"} == set(listed[0])
    code, out, err = command(
        "cypher", run, "--ready", "neighbourhood", "--param", "item_id=m1", "--param", "k:=1", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"]
    assert command("cypher", run, "--ready", "nonsense")[0] == 2
    assert command("cypher", run, "RETURN 1", "--ready", "neighbourhood")[0] == 2
    code, _, err = command("cypher", run, "--ready", "neighbourhood")
    assert code == 1
    assert "needs item_id" in err


@pytest.fixture(scope="module")
def configured(
    make_deployment: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory, neo4j_connection: Neo4jConnection
) -> RunLayout:
    """A run whose configuration names the server, with the password in a file beside it."""
    folder = tmp_path_factory.mktemp("configured")
    config = make_deployment(folder)
    (folder / "password").write_text(os.environ[neo4j_connection.password_env] + "\n")
    section = f"""
[neo4j]
uri = "{neo4j_connection.uri}"
user = "{neo4j_connection.user}"
password_env = "GRAPHRECALL_NO_SUCH_VARIABLE"
password_file = "password"
"""
    config.write_text(config.read_text() + section)
    return refresh(load_config(config)).run


@pytest.fixture
def loaded(configured: RunLayout, neo4j_store: Neo4jStore) -> RunLayout:
    """The same, its graph in the database."""
    from kg.io.graph_folder import load_graph
    from kg.stores.neo4j.write.load import load_into

    load_into(neo4j_store, load_graph(configured.graph))
    return configured


@pytest.mark.neo4j
def test_a_run_is_answered_by_a_server_of_the_caller_as_by_its_own_file(
    loaded: RunLayout, neo4j_store: Neo4jStore
) -> None:
    recommender = Recommender.load(loaded.path, store=neo4j_store)
    embedded = Recommender.load(loaded.path)
    queries = [
        ("MATCH (m:Movie {id: $id}) RETURN m.name AS name, m.identifier AS identifier", {"id": "m3"}),
        (
            "MATCH (u:User)-[r:RATED]->(:Movie {id: $id}) RETURN u.id AS id, r.rating AS rating ORDER BY id",
            {"id": "m3"},
        ),
        ("MATCH (m:Movie) RETURN count(m) AS n", {}),
    ]
    explanations = recommender.explain([("u1", "m1"), ("u2", "m5")])
    paths = [path.cypher for one in explanations for path in one.paths if not path.users]
    assert paths
    for query, values in queries + [(path, {}) for path in paths]:
        found = recommender.cypher(query, values)
        assert found
        assert found == embedded.cypher(query, values)
    neo4j_store.write("CREATE (:Movie {id: 'only here'})")
    assert recommender.cypher("MATCH (m:Movie {id: $id}) RETURN m.id AS id", id="only here") == [{"id": "only here"}]
    assert embedded.cypher("MATCH (m:Movie {id: $id}) RETURN m.id AS id", id="only here") == []


@pytest.mark.neo4j
def test_no_file_of_a_run_holds_the_password(configured: RunLayout) -> None:
    secret = (configured.path.parent.parent / "password").read_text().strip().encode()
    files = [file for file in configured.path.parent.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [file for file in files if secret in file.read_bytes()] == []


@pytest.mark.neo4j
def test_the_command_asks_the_server_of_the_configuration_or_that_of_the_option(
    command: Command,
    loaded: RunLayout,
    refreshed: RefreshResult,
    neo4j_connection: Neo4jConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = "CALL dbms.components() YIELD edition RETURN edition"
    config = loaded.path.parent.parent / "config.toml"
    code, out, err = command("cypher", loaded.path, query, "--config", config, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"rows": [{"edition": "community"}]}
    code, _, err = command("cypher", loaded.path, query)
    assert code == 1  # the run's own file has no such procedure
    monkeypatch.setenv("NEO4J_PASSWORD", os.environ[neo4j_connection.password_env])
    server = ["--neo4j", neo4j_connection.uri, "--user", neo4j_connection.user]
    code, out, err = command("cypher", refreshed.run.path, query, *server, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"rows": [{"edition": "community"}]}
    assert "similar_items" in command("cypher", refreshed.run.path, *server)[1]
    code, _, err = command("cypher", refreshed.run.path, query, *server, "--database", "nowhere")
    assert code == 1
    assert "has no database 'nowhere'" in err
    code, _, err = command("cypher", refreshed.run.path, query, "--database", "neo4j")
    assert code == 2
    code, _, err = command(
        "cypher", loaded.path, "UNWIND range(1, 1000000000) AS x RETURN count(x)", "--timeout", "0.3", *server
    )
    assert code == 1
    assert "took longer than it may" in err
