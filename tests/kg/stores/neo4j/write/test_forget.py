"""Users taken out of what was written back into a real Neo4j."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from kg import KnowledgeGraph
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.forget import forget_results
from kg.stores.neo4j.write.load import load_into
from kg.stores.neo4j.write.write_back import serving, write_back
from tests.conftest import make_movie_graph
from tests.kg.stores.neo4j.write.test_write_back import make_results

pytestmark = pytest.mark.neo4j


def results(store: Neo4jStore) -> dict[str, tuple[bool, int]]:
    """Of every user: whether there is a vector in any slot, and the candidates."""
    rows = store.read(
        "MATCH (u:User) OPTIONAL MATCH (u)-[c:GRAPHRECALL_CANDIDATE]->() "
        "RETURN u.id AS id, u.graphrecall_vector_a IS NOT NULL OR u.graphrecall_vector_b IS NOT NULL AS vector, "
        "count(c) AS n"
    )
    return {row["id"]: (row["vector"], row["n"]) for row in rows}


def among(users: Sequence[str]) -> Callable[[Sequence[str]], list[bool]]:
    return lambda ids: [id in users for id in ids]


@pytest.fixture
def written(neo4j_store: Neo4jStore) -> tuple[Neo4jStore, KnowledgeGraph]:
    graph = make_movie_graph()
    load_into(neo4j_store, graph)
    write_back(neo4j_store, graph.schema, make_results(graph, "run-1"))
    return neo4j_store, graph


@pytest.mark.parametrize("at_once", [1, 4, 10_000])
def test_results_of_some_users_go_and_all_others_stay(written: tuple[Neo4jStore, KnowledgeGraph], at_once: int) -> None:
    store, graph = written
    user = graph.schema.node_types["user"]
    before = results(store)
    gone = graph.users.ids.to_pylist()[3:9]
    assert forget_results(store, user, among([*gone, "nobody"]), at_once=at_once) == len(gone)
    after = results(store)
    assert {id: after[id] for id in gone} == dict.fromkeys(gone, (False, 0))
    assert {id: one for id, one in after.items() if id not in gone} == {
        id: one for id, one in before.items() if id not in gone
    }
    assert serving(store) is not None
    assert forget_results(store, user, among(gone), at_once=at_once) == 0


def test_what_a_killed_write_back_left_in_the_other_slot_goes_too(written: tuple[Neo4jStore, KnowledgeGraph]) -> None:
    store, graph = written
    gone = graph.users.ids.to_pylist()[0]
    store.write(
        "MATCH (u:User {id: $id}), (m:Movie) WITH u, m LIMIT 3 SET u.graphrecall_vector_b = [1.0, 2.0] "
        "CREATE (u)-[:GRAPHRECALL_CANDIDATE {slot: 'b', run: 'run-2', rank: 1, score: 1.0, source: 'x'}]->(m)",
        {"id": gone},
    )
    assert forget_results(store, graph.schema.node_types["user"], among([gone])) == 1
    assert results(store)[gone] == (False, 0)
