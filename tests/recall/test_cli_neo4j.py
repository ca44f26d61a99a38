"""The commands that write into a Neo4j database."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kg.stores.connection import Neo4jConnection
from kg.stores.neo4j import Neo4jStore

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
