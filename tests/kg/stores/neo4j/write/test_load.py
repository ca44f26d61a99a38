"""A graph into a real, empty Neo4j: what arrives, what is refused, and what a killed load leaves."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.errors import InvalidDataError, StoreError
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.load import graph_digest, load_into
from tests.conftest import make_movie_graph
from tests.kg.stores.neo4j.read.interrupting import At

pytestmark = pytest.mark.neo4j


def rows_of(graph: KnowledgeGraph) -> tuple[Counter[Any], Counter[Any]]:
    """Nodes and relationships as they should lie in the database, row by row."""
    nodes: Counter[Any] = Counter()
    for name, table in graph.nodes.items():
        for row in table.drop_columns([c for c in table.column_names if c == "text"]).to_pylist():
            nodes[graph.schema.node_types[name].label, _frozen(row)] += 1
    edges: Counter[Any] = Counter()
    for key, table in graph.edges.items():
        event = graph.schema.relations[key].event
        for row in table.to_pylist():
            ends = [
                graph.nodes[node_type]["id"][row.pop(column)].as_py()
                for column, node_type in (("src", key.source), ("dst", key.target))
            ]
            if event is not None and event.user in row:
                row[event.user] = graph.users.ids[row[event.user]].as_py()
            edges[(graph.schema.relations[key].cypher_type, *ends, _frozen(row))] += 1
    return nodes, edges


def rows_in(store: Neo4jStore) -> tuple[Counter[Any], Counter[Any]]:
    """What the database holds, but for graphrecall's own."""
    nodes = store.read(
        "MATCH (n) WHERE NOT any(l IN labels(n) WHERE l STARTS WITH 'Graphrecall') "
        "RETURN labels(n) AS labels, properties(n) AS properties"
    )
    edges = store.read("MATCH (a)-[r]->(b) RETURN type(r) AS t, a.id AS a, b.id AS b, properties(r) AS properties")
    return (
        Counter((*row["labels"], _frozen(row["properties"])) for row in nodes),
        Counter((row["t"], row["a"], row["b"], _frozen(row["properties"])) for row in edges),
    )


def _frozen(row: dict[str, Any]) -> frozenset[Any]:
    plain = {key: value.to_native() if hasattr(value, "to_native") else value for key, value in row.items()}
    return frozenset((k, tuple(v) if isinstance(v, list) else v) for k, v in plain.items() if v is not None)


def small_graph(**columns: Any) -> KnowledgeGraph:
    """Two things that have each other, with attributes of all kinds."""
    key = RelationKey("thing", "has", "thing")
    return KnowledgeGraph.build(
        Schema(node_types={"thing": NodeType(name="thing")}, relations={key: Relation(key=key)}, item_type="thing"),
        {"thing": pa.table({"id": ["a", "b"], **columns})},
        {key: pa.table({"src": ["a", "a", "b"], "dst": ["b", "b", "b"]})},
    )


def test_every_node_and_relationship_arrives_once_with_its_properties(neo4j_store: Neo4jStore) -> None:
    graph = make_movie_graph()
    facts = load_into(neo4j_store, graph, batch=37)
    nodes, edges = rows_of(graph)
    assert rows_in(neo4j_store) == (nodes, edges)
    assert facts.written == nodes.total() + edges.total()
    assert facts.nodes == {"User": 30, "Movie": 40, "Genre": 4, "Person": 13, "Tag": 3}
    assert facts.relationships["RATED"] == 360


def test_each_label_gets_a_uniqueness_constraint_on_its_id(neo4j_store: Neo4jStore) -> None:
    load_into(neo4j_store, make_movie_graph())
    rows = neo4j_store.read("SHOW CONSTRAINTS YIELD type, labelsOrTypes, properties")
    unique = {(*row["labelsOrTypes"], *row["properties"]) for row in rows if row["type"] == "UNIQUENESS"}
    assert {(label, "id") for label in ("User", "Movie", "Genre", "Person", "Tag")} <= unique


def test_a_second_load_writes_nothing(neo4j_store: Neo4jStore) -> None:
    graph = make_movie_graph()
    load_into(neo4j_store, graph)
    before = rows_in(neo4j_store)
    assert load_into(neo4j_store, graph).written == 0
    assert rows_in(neo4j_store) == before


def test_values_of_every_kind_arrive_as_they_are(neo4j_store: Neo4jStore) -> None:
    moment = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    graph = small_graph(
        text=["left", "out"],
        number=pa.array([2**63 - 1, -(2**63)]),
        small=pa.array([7, None], type=pa.uint8()),
        share=pa.array([0.1, float("inf")]),
        flag=[True, None],
        day=pa.array([date(1999, 12, 31), None]),
        moment=pa.array([moment, None], type=pa.timestamp("ns", tz="UTC")),
        plain=pa.array([datetime(2020, 2, 29, 1, 2, 3), None]),
        many=pa.array([["x", None, "y"], []]),
        numbers=pa.array([[1, 2], None], type=pa.large_list(pa.int64())),
        word=pa.array(["one", "one"]).dictionary_encode(),
        hostile=["') DETACH DELETE n //`\\u0060 $rows", "\x00\n\N{BELL}\u2028 \N{GRINNING FACE}"],
        nothing=pa.nulls(2),
    )
    load_into(neo4j_store, graph)
    rows = neo4j_store.read("MATCH (n:Thing) RETURN properties(n) AS p ORDER BY n.id")
    first, second = ({k: getattr(v, "to_native", lambda v=v: v)() for k, v in row["p"].items()} for row in rows)
    assert first == {
        "id": "a",
        "number": 2**63 - 1,
        "small": 7,
        "share": 0.1,
        "flag": True,
        "day": date(1999, 12, 31),
        "moment": moment,
        "plain": datetime(2020, 2, 29, 1, 2, 3),
        "many": ["x", "y"],
        "numbers": [1, 2],
        "word": "one",
        "hostile": "') DETACH DELETE n //`\\u0060 $rows",
    }
    assert second == {
        "id": "b",
        "number": -(2**63),
        "share": float("inf"),
        "many": [],
        "word": "one",
        "hostile": "\x00\n\N{BELL}\u2028 \N{GRINNING FACE}",
    }


def test_parallel_relationships_and_self_loops_stay(neo4j_store: Neo4jStore) -> None:
    load_into(neo4j_store, small_graph(), batch=1)
    rows = neo4j_store.read("MATCH (a)-[:HAS]->(b) RETURN a.id + b.id AS ends ORDER BY ends")
    assert [row["ends"] for row in rows] == ["ab", "ab", "bb"]


def test_ids_and_columns_go_under_the_names_that_the_schema_gives_them(neo4j_store: Neo4jStore) -> None:
    key = RelationKey("thing", "has", "part")
    graph = KnowledgeGraph.build(
        Schema(
            node_types={
                "thing": NodeType(name="thing", key="thingNumber", key_type="integer"),
                "part": NodeType(name="part", key="name"),
            },
            relations={key: Relation(key=key, properties={"weight": "howMany"})},
            item_type="thing",
        ),
        {"thing": pa.table({"id": ["1", "-20"]}), "part": pa.table({"id": ["wheel"], "name": ["wheel"]})},
        {key: pa.table({"src": ["-20"], "dst": ["wheel"], "weight": [4.0]})},
    )
    load_into(neo4j_store, graph)
    (row,) = neo4j_store.read("MATCH (a:Thing)-[r:HAS]->(b:Part) RETURN a {.*} AS a, r {.*} AS r, b {.*} AS b")
    assert row == {"a": {"thingNumber": -20}, "r": {"howMany": 4.0}, "b": {"name": "wheel"}}
    assert load_into(neo4j_store, graph).written == 0


def test_hostile_names_are_names(neo4j_store: Neo4jStore) -> None:
    label, kind, attribute = "Th`ing) DETACH DELETE n //", 'ha"s`]->() //', "it's `quoted` } $x"
    key = RelationKey("thing", "has", "thing")
    graph = KnowledgeGraph.build(
        Schema(
            node_types={"thing": NodeType(name="thing", label=label)},
            relations={key: Relation(key=key, cypher_type=kind)},
            item_type="thing",
        ),
        {"thing": pa.table({"id": ["a", "b"], attribute: [1, 2]})},
        {key: pa.table({"src": ["a"], "dst": ["b"], attribute: ["x"]})},
    )
    load_into(neo4j_store, graph)
    assert rows_in(neo4j_store) == rows_of(graph)
    assert load_into(neo4j_store, graph).written == 0


@pytest.mark.parametrize("name", ["a\\u0060b", "line\nbreak", ""])
def test_names_that_cannot_be_quoted_are_refused_before_anything_is_written(neo4j_store: Neo4jStore, name: str) -> None:
    with pytest.raises(InvalidDataError):
        load_into(neo4j_store, small_graph(**{name: [1, 2]}))
    assert neo4j_store.read("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]


def test_a_column_that_no_property_holds_is_named(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(InvalidDataError, match=r"'deep' of 'thing'.*list<.*list"):
        load_into(neo4j_store, small_graph(deep=[[[1]], [[2]]]))
    with pytest.raises(InvalidDataError, match="'huge' of 'thing'"):
        load_into(neo4j_store, small_graph(huge=pa.array([2**63, 1], type=pa.uint64())))


def test_names_of_graphrecall_itself_are_refused(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(InvalidDataError, match="graphrecall_vector_a"):
        load_into(neo4j_store, small_graph(graphrecall_vector_a=[1, 2]))


def test_two_types_of_one_label_are_refused(neo4j_store: Neo4jStore) -> None:
    schema = Schema(
        node_types={"thing": NodeType(name="thing"), "item": NodeType(name="item", label="Thing")}, relations={}
    )
    tables = {"thing": pa.table({"id": ["a"]}), "item": pa.table({"id": ["a"]})}
    with pytest.raises(InvalidDataError, match="2 node types have the label 'Thing'"):
        load_into(neo4j_store, KnowledgeGraph.build(schema, tables, {}))


def test_other_data_under_a_label_of_the_graph_is_refused_and_untouched(neo4j_store: Neo4jStore) -> None:
    neo4j_store.write("CREATE (:Movie {id: 'mine'})")
    with pytest.raises(StoreError, match=r"1 nodes Movie.*empty database"):
        load_into(neo4j_store, make_movie_graph())
    assert rows_in(neo4j_store)[0] == Counter({("Movie", frozenset({("id", "mine")})): 1})
    assert neo4j_store.read("SHOW CONSTRAINTS") == []


def test_data_under_other_labels_stays(neo4j_store: Neo4jStore) -> None:
    neo4j_store.write("CREATE (:Invoice {id: 'mine'})")
    load_into(neo4j_store, small_graph())
    assert neo4j_store.read("MATCH (n:Invoice) RETURN n.id AS id") == [{"id": "mine"}]


def test_another_graph_is_refused_where_one_was_loaded(neo4j_store: Neo4jStore) -> None:
    load_into(neo4j_store, small_graph())
    with pytest.raises(StoreError, match=r"load of another graph.*empty"):
        load_into(neo4j_store, small_graph(more=[1, 2]))


def test_a_database_changed_since_its_load_is_told(neo4j_store: Neo4jStore) -> None:
    load_into(neo4j_store, small_graph())
    neo4j_store.write("MATCH (n:Thing {id: 'a'}) DETACH DELETE n")
    with pytest.raises(StoreError, match="holds 1 Thing, the graph 2"):
        load_into(neo4j_store, small_graph())


def test_a_node_deleted_while_relationships_are_written_stops_the_load(neo4j_store: Neo4jStore) -> None:
    graph = make_movie_graph()

    def delete() -> None:
        neo4j_store.write("MATCH (n:Movie {id: 'm3'}) DETACH DELETE n")

    with pytest.raises(StoreError, match="for want of a node to hang on"):
        load_into(neo4j_store, graph, batch=50, progress=At("loading RATED", 100, delete, wait=True))


def test_an_emptied_database_takes_the_load_again(neo4j_store: Neo4jStore) -> None:
    load_into(neo4j_store, small_graph())
    neo4j_store.write("MATCH (n) DETACH DELETE n")
    load_into(neo4j_store, small_graph(more=[1, 2]))
    assert rows_in(neo4j_store) == rows_of(small_graph(more=[1, 2]))


def test_two_loaders_at_once_write_everything_once(neo4j_store: Neo4jStore) -> None:
    graph = make_movie_graph(users=60)
    failed: list[BaseException] = []
    written = []

    def load() -> None:
        try:
            written.append(load_into(neo4j_store, graph, batch=7).written)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    nodes, edges = rows_of(graph)
    assert rows_in(neo4j_store) == (nodes, edges)
    assert sum(written) == nodes.total() + edges.total()


def test_the_digest_follows_content_alone() -> None:
    graph = small_graph(value=[1.5, None], words=[["x"], None])
    again = small_graph(
        value=[*pa.array([1.5, 2.5]).filter(pa.array([True, False])).to_pylist(), None], words=[["x"], None]
    )
    assert graph_digest(graph) == graph_digest(again)
    assert graph_digest(graph) != graph_digest(small_graph(value=[1.5, 0.0], words=[["x"], None]))
    assert graph_digest(graph) != graph_digest(small_graph(value=[1.5, None], words=[["x"], []]))
    assert graph_digest(graph) != graph_digest(small_graph(values=[1.5, None], words=[["x"], None]))


def test_times_of_a_named_zone_arrive_as_the_same_moments(neo4j_store: Neo4jStore) -> None:
    kind = pa.timestamp("us", "Europe/Berlin")
    moments = [datetime(2024, month, 1, 12, tzinfo=UTC) for month in range(1, 13)] * 20
    ids = [f"m{n}" for n in range(len(moments))]
    schema = Schema(node_types={"user": NodeType(name="user"), "item": NodeType(name="item")}, relations={})
    nodes = {"user": pa.table({"id": ["u"]}), "item": pa.table({"id": ids, "seen": pa.array(moments, kind)})}
    load_into(neo4j_store, KnowledgeGraph.build(schema, nodes, {}))
    rows = neo4j_store.query("MATCH (n:Item) RETURN n.id AS id, n.seen AS seen")
    assert {row["id"]: row["seen"].astimezone(UTC) for row in rows} == dict(zip(ids, moments, strict=True))
