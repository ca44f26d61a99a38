from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.errors import InvalidDataError

RATED = RelationKey("user", "rated", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")
LIKE = RelationKey("movie", "like", "movie")


def small_schema(**changes: Any) -> Schema:
    return Schema(
        node_types={name: NodeType(name=name) for name in ("user", "movie", "tag")},
        relations={
            RATED: Relation(key=RATED, event=Event()),
            HAS_TAG: Relation(key=HAS_TAG, event=Event("user", "src")),
            LIKE: Relation(key=LIKE),
        },
        **{"item_type": "movie", "interaction": RATED, "positive": PositiveRule("rating", 4.0), **changes},
    )


def small_tables() -> tuple[dict[str, Any], dict[RelationKey, Any]]:
    nodes = {
        "user": pa.table({"id": ["u1", "u2"]}),
        "movie": pa.table({"id": ["m1", "m2", "m3"], "title": ["Alien", None, ""], "text": ["Alien", None, None]}),
        "tag": pa.table({"id": ["slow"], "name": [["Slow", "slow"]]}),
    }
    edges = {
        RATED: pa.table({"src": ["u1", "u1", "u2"], "dst": ["m1", "m2", "m1"], "rating": [4.5, 1.0, 5.0]}),
        HAS_TAG: pa.table({"src": ["m1"], "dst": ["slow"], "user": ["u2"]}),
        LIKE: pa.table({"src": ["m1", "m1"], "dst": ["m2", "m3"]}),
    }
    return nodes, edges


def same(first: KnowledgeGraph, second: KnowledgeGraph) -> bool:
    return (
        first.schema == second.schema
        and list(first.nodes) == list(second.nodes)
        and list(first.edges) == list(second.edges)
        and all(table.equals(second.nodes[name]) for name, table in first.nodes.items())
        and all(table.equals(second.edges[key]) for key, table in first.edges.items())
    )


def test_what_a_graph_says_of_itself() -> None:
    graph = KnowledgeGraph.build(small_schema(), *small_tables())
    assert repr(graph) == "KnowledgeGraph(3 node types, 6 nodes, 3 relations, 6 edges)"
    assert graph.counts()["nodes"] == {"user": 2, "movie": 3, "tag": 1}
    assert graph.counts()["edges"][str(RATED)] == 3
    assert graph.interactions.positive.tolist() == [True, False, True]
    assert [column.tolist() for column in graph.positive_edges(RATED)] == [[0, 1], [0, 0]]
    assert [column.tolist() for column in graph.event_columns(HAS_TAG) or ()] == [[1], [0]]
    assert graph.event_columns(LIKE) is None
    assert [graph.title("movie", n) for n in range(3)] == ["Alien", "m2", "m3"]
    assert graph.title("tag", 0) == "Slow"
    assert graph.texts("movie").to_pylist() == ["Alien", None, None]
    assert graph.texts("user") is None
    assert (len(graph.users), len(graph.items)) == (2, 3)


def test_keeping_some_edges() -> None:
    graph = KnowledgeGraph.build(small_schema(), *small_tables())
    kept = graph.keep_edges({RATED: np.array([True, False, False])})
    assert kept.edges[RATED].num_rows == 1
    assert kept.edges[LIKE].num_rows == 2
    assert graph.edges[RATED].num_rows == 3
    without = graph.without_relations({LIKE})
    assert LIKE not in without.edges
    assert LIKE not in without.schema.relations
    bare = graph.without_relations({RATED})
    with pytest.raises(InvalidDataError, match="no interactions"):
        _ = bare.interactions


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_keeping_some_nodes_is_building_from_the_rows_about_them(toy_graph: KnowledgeGraph, seed: int) -> None:
    random = np.random.default_rng(seed)
    kept = {name: random.random(toy_graph.num_nodes(name)) < 0.7 for name in ("user", "movie", "tag")}
    ids = {name: toy_graph.nodes[name]["id"].to_pylist() for name in toy_graph.nodes}
    stay = {
        name: {i for i, k in zip(ids[name], kept.get(name, [True] * len(ids[name])), strict=True) if k} for name in ids
    }
    nodes = {
        name: pa.Table.from_pylist([row for row in table.to_pylist() if row["id"] in stay[name]], schema=table.schema)
        for name, table in toy_graph.nodes.items()
    }
    edges = {}
    for key, table in toy_graph.edges.items():
        event = toy_graph.schema.relations[key].event
        ends = {"src": key.source, "dst": key.target} | ({} if event is None else {event.user: "user"})
        rows = []
        for row in table.to_pylist():
            row |= {end: ids[node_type][row[end]] for end, node_type in ends.items()}
            if all(row[end] in stay[node_type] for end, node_type in ends.items()):
                rows.append(row)
        named = [pa.field(f.name, pa.string()) if f.name in ends else f for f in table.schema]
        edges[key] = pa.Table.from_pylist(rows, schema=pa.schema(named))
    assert same(toy_graph.keep_nodes(kept), KnowledgeGraph.build(toy_graph.schema, nodes, edges))


def test_nodes_without_an_edge() -> None:
    graph = KnowledgeGraph.build(small_schema(), *small_tables()).keep_nodes({"movie": np.array([True, False, True])})
    masks = graph.connected()
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "user": [True, True],
        "movie": [True, True],
        "tag": [True],
    }
    alone = graph.keep_edges({LIKE: np.array([False]), HAS_TAG: np.array([False])})
    assert alone.connected()["movie"].tolist() == [True, False]
    left = alone.keep_nodes(alone.connected())
    assert left.counts()["nodes"] == {"user": 2, "movie": 1, "tag": 0}
    assert left.edges[RATED].num_rows == 2


def test_masks_of_nodes_must_fit() -> None:
    graph = KnowledgeGraph.build(small_schema(), *small_tables())
    with pytest.raises(InvalidDataError, match="no node type 'film': the graph has user, movie, tag"):
        graph.keep_nodes({"film": np.array([True])})
    with pytest.raises(InvalidDataError, match=r"mask of 'movie' has shape \(2,\), not \(3,\)"):
        graph.keep_nodes({"movie": np.array([True, False])})


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_source_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    nodes, edges = small_tables()
    rows = 12
    edges[RATED] = pa.table(
        {
            "src": random.choice(["u1", "u2"], rows),
            "dst": random.choice(["m1", "m2", "m3"], rows),
            "rating": pa.array([None if r == 3 else float(r) for r in random.integers(1, 6, rows)]),
            "timestamp": pa.array([None if t == 0 else int(t) for t in random.integers(0, 3, rows)]),
            "note": random.choice(["a", "b"], rows),
            "words": pa.array([list(map(int, random.integers(0, 3, size=n))) for n in random.integers(0, 3, rows)]),
            "kind": pa.array(random.choice(["x", "y"], rows)).dictionary_encode(),
            "nothing": pa.nulls(rows),
            "flag": random.integers(0, 2, rows).astype(bool),
        }
    )

    def shuffled(table: Any) -> Any:
        return table.take(pa.array(random.permutation(table.num_rows)))

    first = KnowledgeGraph.build(small_schema(), nodes, edges)
    second = KnowledgeGraph.build(
        small_schema(),
        {name: shuffled(nodes[name]) for name in reversed(nodes)},
        {key: shuffled(edges[key]) for key in reversed(edges)},
    )
    assert same(first, second)
    assert first.edges[RATED].num_rows == rows


def test_ids_of_other_string_kinds_are_taken() -> None:
    nodes, edges = small_tables()
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        other = {**nodes, "user": pa.table({"id": pa.array(["u2", "u1"]).cast(kind)})}
        assert same(
            KnowledgeGraph.build(small_schema(), other, edges), KnowledgeGraph.build(small_schema(), nodes, edges)
        )


def refused(nodes: dict[str, Any], edges: dict[RelationKey, Any], message: str, schema: Schema | None = None) -> None:
    base_nodes, base_edges = small_tables()
    with pytest.raises(InvalidDataError, match=message):
        KnowledgeGraph.build(schema or small_schema(), {**base_nodes, **nodes}, {**base_edges, **edges})


def test_bad_nodes_are_refused_by_name() -> None:
    refused(
        {"movie": pa.table({"id": ["m1", "m2", "m3", "m1"]})}, {}, "'movie' has ids more than once, the first is 'm1'"
    )
    refused({"tag": pa.table({"id": ["slow", None]})}, {}, "'tag' has 1 rows without an id")
    refused({"tag": pa.table({"name": ["slow"]})}, {}, "'tag' needs a column 'id'; there are name")
    refused({"tag": pa.table({"id": [1]})}, {}, "'tag' needs strings in 'id', not int64")
    with pytest.raises(InvalidDataError, match=r"needs a string column 'id', it has id \(int64\)"):
        KnowledgeGraph(Schema({"tag": NodeType(name="tag")}, {}), {"tag": pa.table({"id": [1]})}, {})
    refused({"alien": pa.table({"id": ["x"]})}, {}, "tables that the schema does not name: alien")


def test_bad_edges_are_refused_by_name() -> None:
    refused({}, {LIKE: pa.table({"src": ["m1", "m9", None], "dst": ["m2"] * 3})}, r"2 of 3 edges .* have a src .* 'm9'")
    refused({}, {HAS_TAG: pa.table({"src": ["m1"], "dst": ["slow"], "user": ["u9"]})}, "have a user that is no user")
    refused({}, {HAS_TAG: pa.table({"src": ["m1"], "dst": ["slow"]})}, "need a column 'user'; there are src, dst")
    refused({}, {LIKE: pa.table({"from": ["m1"], "dst": ["m2"]})}, "need a column 'src'; there are from, dst")
    other = RelationKey("movie", "by", "person")
    refused({}, {other: pa.table({"src": ["m1"], "dst": ["p"]})}, "node type 'person', which has no table")
    other = RelationKey("movie", "by", "tag")
    refused({}, {other: pa.table({"src": ["m1"], "dst": ["slow"]})}, "tables that the schema does not name: .*by")


def test_a_schema_whose_roles_do_not_fit_is_refused() -> None:
    backwards = small_schema().with_(relations=[Relation(key=LIKE, event=Event("src", "dst"))])
    refused({}, {}, r"the event of \(movie\)-\[like\]->\(movie\) names 'src' \(a movie\) as the user", backwards)
    no_item = small_schema().with_(relations=[Relation(key=HAS_TAG, event=Event("user", "dst"))])
    refused({}, {}, r"'dst' \(a tag\) as the item", no_item)
    refused({}, {}, r"must go from the user type 'user' to the item type 'tag'", small_schema(item_type="tag"))
    lonely = small_schema().with_(node_types=[NodeType(name="genre")])
    refused({}, {}, "node type 'genre' is in the schema but has no table", lonely)


def test_positions_are_checked() -> None:
    graph = KnowledgeGraph.build(small_schema(), *small_tables())

    def with_edges(table: Any) -> None:
        KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, LIKE: table})

    for table, message in (
        (pa.table({"src": [0], "dst": [3]}), "points outside the 3 nodes of 'movie'"),
        (pa.table({"src": [-1], "dst": [0]}), "points outside"),
        (pa.table({"src": pa.array([0], pa.int32()), "dst": [0]}), "needs an int64 column 'src'"),
        (pa.table({"src": pa.array([None], pa.int64()), "dst": [0]}), "has a src without a value"),
    ):
        with pytest.raises(InvalidDataError, match=message):
            with_edges(table)
    with_edges(pa.table({"src": pa.array([], pa.int64()), "dst": pa.array([], pa.int64())}))


def test_a_promised_interaction_table_that_is_not_there() -> None:
    nodes, edges = small_tables()
    graph = KnowledgeGraph.build(small_schema(), nodes, {LIKE: edges[LIKE]})
    with pytest.raises(InvalidDataError, match="has no table: add interactions first"):
        _ = graph.interactions


def test_build_keeps_every_row(toy_graph: KnowledgeGraph) -> None:
    table = toy_graph.edges[toy_graph.schema.interaction_key]
    assert table.num_rows == 30 * 12
    order = pc.sort_indices(table, sort_keys=[("src", "ascending"), ("dst", "ascending")])
    assert order.to_pylist() == list(range(table.num_rows))
    ids = toy_graph.nodes["movie"]["id"].to_pylist()
    assert ids == sorted(ids)
