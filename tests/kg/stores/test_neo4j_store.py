from __future__ import annotations

import pytest

from kg.stores.connection import Neo4jConnection
from kg.stores.neo4j import Neo4jStore

pytestmark = pytest.mark.neo4j


def test_the_server_is_a_real_community_edition(neo4j_store: Neo4jStore) -> None:
    (row,) = neo4j_store.read("CALL dbms.components() YIELD name, versions, edition")
    assert row["name"] == "Neo4j Kernel"
    assert row["edition"] == "community"


def test_the_database_is_empty(neo4j_store: Neo4jStore, neo4j_connection: Neo4jConnection) -> None:
    assert neo4j_store.read("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]
