"""Loads and write-backs whose process or server is killed: the next one completes them, nothing comes twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from kg.errors import StoreError, StoreUnavailableError
from kg.io.graph_folder import save_graph
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.write.batches import Mark
from kg.stores.neo4j.write.load import load_into
from kg.stores.neo4j.write.write_back import serving, write_back
from tests.conftest import connect, make_movie_graph
from tests.kg.stores.neo4j.read.interrupting import At
from tests.kg.stores.neo4j.write.test_load import rows_in, rows_of
from tests.kg.stores.neo4j.write.test_write_back import candidates, leftovers, make_results
from tests.neo4j_server.server import Neo4jServer

pytestmark = pytest.mark.neo4j

LOADER = """
import sys
from pathlib import Path
from kg.io.graph_folder import load_graph
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.write.load import load_into

_, folder, uri, user, password_env = sys.argv
with Neo4jConnection(uri=uri, user=user, password_env=password_env).open() as store:
    load_into(store, load_graph(Path(folder)), batch=2)
"""


def test_a_loader_that_is_killed_again_and_again_leaves_what_the_next_completes(
    neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection, tmp_path: Path
) -> None:
    graph = make_movie_graph(users=40)
    save_graph(graph, tmp_path / "graph")
    command = [sys.executable, "-c", LOADER, str(tmp_path / "graph")]
    command += [neo4j_connection.uri, neo4j_connection.user, neo4j_connection.password_env]
    for threshold in (1, 150, 400):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        while (found := Mark.read(neo4j_store, "load")) is None or found["done"] < threshold:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
    nodes, edges = rows_of(graph)
    assert 400 <= load_into(neo4j_store, graph).written < nodes.total() + edges.total()
    assert rows_in(neo4j_store) == (nodes, edges)


@pytest.mark.timeout(900)  # the server starts three times
def test_a_server_killed_during_a_load_or_a_write_back_loses_and_doubles_nothing(
    own_neo4j_server: Neo4jServer,
) -> None:
    server, graph = own_neo4j_server, make_movie_graph()
    with patient(server, seconds=240) as store:

        def restart() -> None:
            server.kill()
            server.start()

        during = At("loading RATED", 100, restart)
        load_into(store, graph, batch=10, progress=during)  # it waits for the server, and goes on
        during.join()
        assert rows_in(store) == rows_of(graph)
        write_back(store, graph.schema, make_results(graph, "run-0"))

    following = make_results(graph, "run-1", seed=1)
    with patient(server, seconds=1) as store:
        during = At("writing candidates", 50, server.kill)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            write_back(store, graph.schema, following, batch=10, progress=during)
        during.join()
    server.start()
    with connect(server) as store:
        assert {row["run"] for row in candidates(store, graph, "u3")} == {"run-0"}
        assert len(candidates(store, graph, "u3")) == 5
        before = leftovers(store)["slots"]
        assert before["a"] == 150
        assert 50 <= before["b"] < 150
        write_back(store, graph.schema, following, batch=10)
        pointer = serving(store)
        assert pointer is not None
        assert (pointer["run"], pointer["missing"]) == ("run-1", 0)
        assert leftovers(store) == {"slots": {"b": 150}, "a": 0, "b": 69, "indexes": 2}
        expected = [row["item_id"] for row in following.candidates.to_pylist() if row["user_id"] == "u3"]
        assert [row["item"] for row in candidates(store, graph, "u3")] == expected


def test_a_load_whose_mark_was_removed_stops(neo4j_store: Neo4jStore) -> None:
    def remove() -> None:
        neo4j_store.write("MATCH (m:GraphrecallMark) DELETE m")

    during = At("loading RATED", 20, remove, wait=True)
    with pytest.raises(StoreError, match="its mark was removed"):
        load_into(neo4j_store, make_movie_graph(), batch=10, progress=during)


@contextmanager
def patient(server: Neo4jServer, *, seconds: float) -> Iterator[Neo4jStore]:
    """A store that tries again for so long while its server is away."""
    auth = (server.user, server.password)
    with GraphDatabase.driver(server.uri, auth=auth, max_transaction_retry_time=seconds) as driver:
        yield Neo4jStore(driver, name=server.uri)
