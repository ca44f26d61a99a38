"""Names that differ only in case, in a store that does not look at case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.stores.embedded.build import write_store
from kg.stores.embedded.names import StoredNames
from kg.stores.embedded.store import EmbeddedStore
from tests.kg.stores.embedded.test_embedded import people, rows_in, rows_of

HOME = RelationKey("person", "hometown", "hometown")
ROAD = RelationKey("hometown", "road", "hometown")


def towns() -> KnowledgeGraph:
    """Untyped RDF makes such graphs: objects called after their relation."""
    schema = Schema(
        {
            "person": NodeType(name="person"),
            "hometown": NodeType(name="hometown", label="Hometown"),
        },
        {
            HOME: Relation(key=HOME, cypher_type="HOMETOWN"),
            ROAD: Relation(key=ROAD, cypher_type="hometown_2"),
        },
    )
    return KnowledgeGraph(
        schema,
        {
            "person": pa.table({"id": ["p", "q"], "Name": ["P", "Q"], "name": ["pp", None]}),
            "hometown": pa.table({"id": ["t"], "Name": ["T"]}),
        },
        {
            HOME: pa.table({"src": [0, 1], "dst": [0, 0], "Weight": [1.0, 2.0], "weight": [3.0, 4.0]}),
            ROAD: pa.table({"src": [0], "dst": [0]}),
        },
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    file = tmp_path_factory.mktemp("names") / "g"
    write_store(towns(), file)
    with EmbeddedStore(file) as opened:
        yield opened


def test_the_rule() -> None:
    names = StoredNames.of(towns())
    assert names.labels == {}
    assert names.types == {"HOMETOWN": "HOMETOWN_3"}, "a name that is there in any case is no free one"
    assert names.properties == {"Name": "name_2", "Weight": "weight_2"}
    assert StoredNames.from_json(names.to_json()) == names
    assert not StoredNames.of(people({"id": ["1"], "name": ["x"]}))


def test_everything_is_there_under_the_names_of_the_schema(store: EmbeddedStore) -> None:
    nodes, edges = rows_in(store)
    expected = rows_of(towns())
    assert nodes == expected[0]
    assert edges == expected[1]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("MATCH (:person)-[r:HOMETOWN]->(t:Hometown) RETURN count(r) AS n", [{"n": 2}]),
        ("MATCH (:Person)-[r:`HOMETOWN`]->(t:`Hometown`) RETURN count(r) AS n", [{"n": 2}]),
        ("MATCH (:Person)-[r:HOMETOWN_3]->(t) RETURN count(r) AS n", [{"n": 2}]),
        ("MATCH ()-[r:HOMETOWN|hometown_2]->() RETURN count(r) AS n", [{"n": 3}]),
        ("MATCH ()-[r]->() WHERE type(r) = 'HOMETOWN' RETURN count(r) AS n", [{"n": 2}]),
        ("MATCH (p:Person {Name: 'P'}) RETURN p.Name, p.name", [{"p.Name": "P", "p.name": "pp"}]),
        ("MATCH (p:Person {name_2: 'P'}) RETURN p.`Name` AS x", [{"x": "P"}]),
        ("MATCH (p:Person)-[r:HOMETOWN {weight: 4}]->() RETURN r.Weight AS w, p.id AS id", [{"w": 2.0, "id": "q"}]),
        (
            "MATCH (p:Person {id: 'p'})-[r:HOMETOWN]->(t) RETURN p, r, [t] AS t",
            [
                {
                    "p": {"labels": ["Person"], "properties": {"id": "p", "Name": "P", "name": "pp"}},
                    "r": {"type": "HOMETOWN", "properties": {"Weight": 1.0, "weight": 3.0}},
                    "t": [{"labels": ["Hometown"], "properties": {"id": "t", "Name": "T"}}],
                }
            ],
        ),
        ("RETURN 'HOMETOWN' AS HOMETOWN, 'a.Name' AS `Name` // HOMETOWN", [{"HOMETOWN": "HOMETOWN", "Name": "a.Name"}]),
    ],
)
def test_queries_under_both_names(store: EmbeddedStore, query: str, answer: list[dict[str, Any]]) -> None:
    assert store.query(query) == answer


def test_a_property_that_plays_the_key_may_differ_from_id_only_in_case(tmp_path: Path) -> None:
    graph = people({"id": ["1"], "ID": ["x"]})
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert store.query("MATCH (n {ID: 'x'}) RETURN n.id AS id, n.ID AS other") == [{"id": "1", "other": "x"}]
        assert rows_in(store) == rows_of(graph)


def test_names_that_are_hard_to_write_go_through_the_map(tmp_path: Path) -> None:
    nasty = "O'N\\'eil \"`x"
    graph = people({"id": ["1"], nasty: ["a"], nasty.lower(): ["b"]})
    write_store(graph, tmp_path / "g")
    with EmbeddedStore(tmp_path / "g") as store:
        assert rows_in(store) == rows_of(graph)


def test_no_name_is_looked_at_where_all_differ() -> None:
    text = "MATCH (n:Person)-[r:KNOWS]->(m {Name: 1}) RETURN n.Name"
    assert StoredNames().query(text) is text
