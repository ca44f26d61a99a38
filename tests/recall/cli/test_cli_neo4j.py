"""The commands that write into a Neo4j database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kg.cypher.ready import neo4j_queries
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.own_names import is_own
from recall.jobs.refresh import RefreshResult
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender

pytestmark = pytest.mark.neo4j

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name the emptied test server; its password is where people put it."""
    monkeypatch.setenv("NEO4J_PASSWORD", os.environ[neo4j_connection.password_env])
    return ["--neo4j", neo4j_connection.uri, "--user", neo4j_connection.user]


def counts(store: Neo4jStore) -> dict[str, int]:
    rows = store.read("MATCH (n) UNWIND labels(n) AS label RETURN label, count(*) AS n")
    return {row["label"]: row["n"] for row in rows}


def test_load_puts_the_graph_of_a_configuration_into_the_database(
    command: Command, deployment: Path, server: list[str], neo4j_store: Neo4jStore
) -> None:
    code, out, err = command("load", deployment, *server)
    assert (code, err) == (0, "")
    assert "(:Movie)" in out
    assert "nodes and relationships written" in out
    assert counts(neo4j_store) == {"User": 16, "Movie": 24, "Person": 5, "GraphrecallMark": 1}
    assert neo4j_store.read("MATCH (:User)-[r:RATED]->(:Movie) RETURN count(r) AS n") == [{"n": 192}]
    code, out, _ = command("load", deployment, *server)
    assert code == 0
    assert "nothing to do" in out


def test_load_tells_its_facts_as_json(command: Command, deployment: Path, server: list[str]) -> None:
    code, out, _ = command("load", deployment, *server, "--json")
    facts: dict[str, Any] = json.loads(out)
    assert code == 0
    assert facts["nodes"] == {"User": 16, "Movie": 24, "Person": 5}
    assert facts["relationships"] == {"RATED": 192, "DIRECTOR": 24}
    assert facts["written"] == 261


def test_load_takes_the_server_of_the_configuration(
    command: Command, make_deployment: Callable[[Path], Path], tmp_path: Path, server: list[str]
) -> None:
    config = make_deployment(tmp_path)
    assert command("load", config)[0] == 2
    config.write_text(config.read_text() + f'[neo4j]\nuri = "{server[1]}"\nuser = "{server[3]}"\n')
    assert command("load", config)[0] == 0


def test_load_into_a_database_in_use_fails_with_advice(
    command: Command, deployment: Path, server: list[str], neo4j_store: Neo4jStore
) -> None:
    neo4j_store.write("CREATE (:Movie {id: 'mine'})")
    code, _, err = command("load", deployment, *server)
    assert code == 1
    assert "holds other data under the graph's labels (1 nodes Movie)" in err
    assert "load into an empty database" in err


def test_a_wrong_password_is_told_without_the_password(
    command: Command, deployment: Path, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "not-the-secret")
    code, out, err = command("load", deployment, *server)
    assert code == 1
    assert "check the user and the password" in err
    assert "not-the-secret" not in out + err


def test_a_server_that_is_not_there_is_told(
    command: Command, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "secret")
    code, _, err = command("load", deployment, "--neo4j", "bolt://127.0.0.1:1")
    assert code == 1
    assert "does not answer" in err


def test_a_server_that_is_not_there_is_told_in_one_line(deployment: Path) -> None:
    # In a process of its own: in this one pytest catches what the driver logs.
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "from recall.cli.main import main; main()",
            "load",
            deployment,
            "--neo4j",
            "neo4j://127.0.0.1:1",
        ],
        env={**os.environ, "NEO4J_PASSWORD": "secret"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: neo4j://127.0.0.1:1 does not answer")
    assert process.stderr.count("\n") == 1


def write_config(config: Path, server: list[str], connection: Neo4jConnection, more: str = "") -> None:
    """Name the test server in a deployment's configuration."""
    section = f'[neo4j]\nuri = "{connection.uri}"\nuser = "{connection.user}"\n'
    config.write_text(config.read_text() + section + more)


def test_write_back_serves_the_candidates_of_a_run_from_the_database(
    command: Command, refreshed: RefreshResult, deployment: Path, server: list[str], neo4j_store: Neo4jStore
) -> None:
    assert command("load", deployment, *server)[0] == 0
    ask = ["cypher", refreshed.run.path, *server, "--ready", "similar_items", "--param"]
    code, _, err = command(*ask, "item_id=m3")
    assert code == 1
    assert f"holds nothing that was written back: graphrecall write-back {refreshed.run.path}" in err
    code, out, err = command("write-back", refreshed.run.path, *server, "-k", 3)
    assert (code, err) == (0, "")
    assert command(*ask, "item_id=nobody") == (0, "no rows\n", "")
    assert "candidates, vectors of 24 items, vectors of 16 users written back" in " ".join(out.split())
    recommender = Recommender.load(refreshed.run.path)
    ready = neo4j_queries(recommender.graph.schema)
    for user in ("u1", "u9"):
        rows = neo4j_store.query(ready["candidates_of_user"].query(user_id=user))
        expected = recommender.recommend([user], k=3).table
        assert [row["item"] for row in rows] == expected["item_id"].to_pylist()
        assert [row["score"] for row in rows] == expected["score"].to_pylist()
        assert {row["run"] for row in rows} == {refreshed.run.name}
    rows = neo4j_store.query(ready["similar_items"].query(item_id="m3", k=5))
    assert [row["item"] for row in rows] == recommender.similar(["m3"], k=5).table["similar_id"].to_pylist()
    code, out, _ = command("write-back", refreshed.run.path, *server, "-k", 3, "--json")
    facts = json.loads(out)
    assert (code, facts["status"], facts["run"]) == (0, "unchanged", refreshed.run.name)


def test_write_back_into_an_empty_database_fails_with_advice(
    command: Command, refreshed: RefreshResult, server: list[str]
) -> None:
    code, _, err = command("write-back", refreshed.run.path, *server)
    assert code == 1
    assert "holds none of the first" in err
    assert "graphrecall load" in err


def test_refresh_writes_back_when_the_configuration_says_so(
    command: Command,
    make_deployment: Callable[[Path], Path],
    tmp_path: Path,
    server: list[str],
    neo4j_store: Neo4jStore,
    neo4j_connection: Neo4jConnection,
) -> None:
    config = make_deployment(tmp_path)
    write_config(config, server, neo4j_connection, '[write_back]\nk = 4\nvectors = ["items"]\n')
    code, _, err = command("refresh", config)
    assert code == 1  # the database is empty
    assert "is published and serves" in err
    assert f"graphrecall write-back {tmp_path}" in err
    run = RunLayout.open(tmp_path / "runs" / "current")

    assert command("load", config)[0] == 0
    code, out, _ = command("refresh", config, "--json")
    result = json.loads(out)
    assert (code, result["status"], result["run"]) == (0, "unchanged", run.name)
    assert result["written_back"] == {
        "run": run.name,
        "status": "written",
        "vectors": {"items": 24},
        "candidates": 64,
        "missing": 0,
    }
    code, out, _ = command("refresh", config, "--json")
    assert json.loads(out)["written_back"]["status"] == "unchanged"
    code, out, _ = command("write-back", run.path, "--config", config, "--json")
    assert json.loads(out)["status"] == "unchanged"


def test_write_back_needs_a_database_in_the_configuration(
    command: Command, make_deployment: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = make_deployment(tmp_path)
    config.write_text(config.read_text() + "[write_back]\nk = 4\n")
    code, _, err = command("refresh", config)
    assert code == 1
    assert "write_back needs the section neo4j" in err


def test_a_database_that_was_written_back_to_reads_as_the_same_graph(
    command: Command,
    make_deployment: Callable[[Path], Path],
    tmp_path: Path,
    server: list[str],
    neo4j_connection: Neo4jConnection,
) -> None:
    config = make_deployment(tmp_path)
    assert command("load", config, *server)[0] == 0
    text = config.read_text()
    begin, end = text.index("[graph.nodes.movie]"), text.index("[channels.lightgcn]")
    config.write_text(text[:begin] + '[graph.nodes.movie]\ntext = "{name}"\n' + text[end:])
    write_config(
        config, server, neo4j_connection, '[sources.neo4j]\ninteractions = [{ type = "RATED" }]\n[write_back]\n'
    )
    results = []
    for _ in range(2):
        code, out, err = command("refresh", config, "--json")
        assert (code, err) == (0, "")
        results.append(json.loads(out))
    assert [result["status"] for result in results] == ["published", "unchanged"]
    assert [result["written_back"]["status"] for result in results] == ["written", "unchanged"]
    assert results[0]["run"] == results[1]["run"]
    graph = Recommender.load(results[0]["path"]).graph
    assert graph.counts() == {
        "nodes": {"user": 16, "movie": 24, "person": 5},
        "edges": {"(user)-[rated]->(movie)": 192, "(movie)-[director]->(person)": 24},
    }
    assert not [column for table in graph.nodes.values() for column in table.column_names if is_own(column)]
