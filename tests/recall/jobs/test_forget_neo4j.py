"""Users forgotten who come from a Neo4j database, and whose results were written back into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kg.errors import ConfigError, StoreUnavailableError
from kg.io.graph_folder import load_graph
from recall.config.deployment import load_config
from recall.jobs.forget import forget
from recall.jobs.privacy import Privacy
from recall.jobs.refresh import refresh
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from tests.recall.decoding import places
from tests.recall.jobs.test_refresh_neo4j import from_neo4j, graph_of

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection

pytestmark = pytest.mark.neo4j

MALLORY = "mallory.grün@example.org"
RESULTS = """
MATCH (u:User) OPTIONAL MATCH (u)-[c:GRAPHRECALL_CANDIDATE]->()
RETURN u.id AS id, count(c) AS n,
       u.graphrecall_vector_a IS NOT NULL OR u.graphrecall_vector_b IS NOT NULL AS vector
"""
SOURCE = """
[write_back]
k = 3
[sources.neo4j]
interactions = [{type = "RATED"}]
watermark = "updated_at"
patience = 1
[neo4j]
"""


def results(store: Neo4jStore) -> dict[str, tuple[int, bool]]:
    return {row["id"]: (row["n"], row["vector"]) for row in store.read(RESULTS)}


def test_results_go_from_the_database_and_its_copy_from_the_runs(
    neo4j_connection: Neo4jConnection,
    neo4j_store: Neo4jStore,
    make_deployment: Callable[..., Path],
    tmp_path: Path,
) -> None:
    from kg.stores.neo4j.write.load import load_into

    rdf = load_config(make_deployment(tmp_path / "rdf", users=10, movies=12, ratings=8))
    load_into(neo4j_store, graph_of(rdf))
    neo4j_store.write("MATCH (u:User {id: 'u3'}) SET u.id = $id", {"id": MALLORY})
    neo4j_store.write("MATCH (n) SET n.updated_at = 1")
    neo4j_store.write("MATCH ()-[r]->() SET r.updated_at = 1")
    file = from_neo4j(tmp_path / "neo4j", neo4j_connection, source=SOURCE)
    config = load_config(file)
    runs = RunsFolder(config.runs_folder)
    assert refresh(config).status == "published"
    assert results(neo4j_store)[MALLORY] == (3, True)
    assert runs.database_copies()

    with pytest.raises(ConfigError, match="give CONFIG"):
        forget(runs, [MALLORY], patience=0.0)
    result = forget(runs, [MALLORY], config=config, patience=0.0)
    assert result.done
    assert result.database == 1
    found = results(neo4j_store)
    assert found.pop(MALLORY) == (0, False)  # the node is the source's own
    assert set(found.values()) == {(3, True)}
    assert runs.database_copies() == []
    assert not any(places(runs.path, {"id": MALLORY.encode()}).values())

    assert refresh(config).status == "unchanged"
    neo4j_store.write(
        "MATCH (u:User {id: $id}), (m:Movie) WITH u, m LIMIT 3 MERGE (u)-[r:RATED]->(m) "
        "SET r.rating = 5.0, r.timestamp = 9000000, r.updated_at = 2, u.updated_at = 2",
        {"id": MALLORY},
    )
    neo4j_store.write("MATCH (:User {id: 'u1'})-[r:RATED]->() SET r.rating = 5.0, r.updated_at = 2")
    second = refresh(config)
    assert second.status == "published"
    assert MALLORY not in load_graph(RunLayout.open(runs.link).graph).users.ids.to_pylist()
    found = results(neo4j_store)
    assert found.pop(MALLORY) == (0, False)
    assert set(found.values()) == {(3, True)}
    assert not any(places(runs.path, {"id": MALLORY.encode()}).values())


def test_what_a_database_that_is_away_holds_goes_later(
    neo4j_connection: Neo4jConnection,
    neo4j_store: Neo4jStore,
    make_deployment: Callable[..., Path],
    tmp_path: Path,
) -> None:
    from kg.stores.neo4j.write.load import load_into

    rdf = load_config(make_deployment(tmp_path / "rdf", users=10, movies=12, ratings=8))
    load_into(neo4j_store, graph_of(rdf))
    file = from_neo4j(tmp_path / "neo4j", neo4j_connection, source=SOURCE.replace('watermark = "updated_at"\n', ""))
    runs = RunsFolder(load_config(file).runs_folder)
    refresh(load_config(file))
    there = file.read_text()
    file.write_text(there.replace(neo4j_connection.uri, "bolt://127.0.0.1:1"))
    with pytest.raises(StoreUnavailableError):
        forget(runs, ["u3"], config=load_config(file), patience=0.0)
    assert results(neo4j_store)["u3"] == (3, True)
    assert len(Privacy.open(runs.path).pending) == 1
    assert "u3" not in load_graph(RunLayout.open(runs.link).graph).users.ids.to_pylist()
    file.write_text(there)
    refresh(load_config(file))
    assert results(neo4j_store)["u3"] == (0, False)
    assert Privacy.open(runs.path).pending == frozenset()
