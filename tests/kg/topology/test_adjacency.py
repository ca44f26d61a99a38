from __future__ import annotations

import pyarrow as pa

from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.topology.adjacency import Adjacency, Numbering


def naive_entries(
    graph: KnowledgeGraph, numbering: Numbering, keys: list[RelationKey]
) -> list[list[tuple[int, int, bool]]]:
    """Neighbours of every node as a set of (relation, neighbour, forward), by loops over the tables."""
    listed: list[list[tuple[int, int, bool]]] = [[] for _ in range(len(numbering))]
    for number, key in enumerate(keys):
        edges = set()
        for row in graph.edges[key].to_pylist():
            if key == graph.schema.interaction and not row["rating"] >= 4.0:
                continue
            edges.add((numbering.span(key.source).start + row["src"], numbering.span(key.target).start + row["dst"]))
        for source, target in edges:
            listed[source].append((number, target, True))
            listed[target].append((number, source, False))
    return [sorted(entries, key=lambda e: (e[0], e[1], not e[2])) for entries in listed]


def test_numbering(toy_graph: KnowledgeGraph) -> None:
    numbering = Numbering.of(toy_graph)
    assert len(numbering) == sum(toy_graph.num_nodes(name) for name in toy_graph.nodes)
    expected = [(name, at) for name in toy_graph.nodes for at in range(toy_graph.num_nodes(name))]
    assert [numbering.locate(node) for node in range(len(numbering))] == expected
    for name in toy_graph.nodes:
        span = numbering.span(name)
        assert expected[span] == [(name, at) for at in range(toy_graph.num_nodes(name))]


def test_an_empty_node_type_takes_no_numbers() -> None:
    schema = Schema({name: NodeType(name=name) for name in ("a", "b", "c")}, {})
    ids = {"a": ["x"], "b": [], "c": ["y"]}
    graph = KnowledgeGraph.build(schema, {n: pa.table({"id": pa.array(v, pa.string())}) for n, v in ids.items()}, {})
    numbering = Numbering.of(graph)
    assert [numbering.locate(node) for node in range(len(numbering))] == [("a", 0), ("c", 0)]
    assert len(Adjacency.of(graph).neighbour) == 0


def test_adjacency_against_loops(toy_graph: KnowledgeGraph) -> None:
    keys = list(toy_graph.edges)
    for chosen in (keys, keys[1:3], []):
        adjacency = Adjacency.of(toy_graph, None if chosen == keys else chosen)
        assert list(adjacency.relations) == chosen
        expected = naive_entries(toy_graph, adjacency.numbering, chosen)
        for node, entries in enumerate(expected):
            at = adjacency.at(node)
            found = zip(
                adjacency.relation[at].tolist(),
                adjacency.neighbour[at].tolist(),
                adjacency.forward[at].tolist(),
                strict=True,
            )
            assert list(found) == entries
            for number in range(len(chosen)):
                assert adjacency.degree[number, node] == sum(entry[0] == number for entry in entries)


def test_repeated_edges_count_once_and_loops_twice() -> None:
    key = RelationKey("movie", "similar", "movie")
    schema = Schema({"movie": NodeType(name="movie")}, {key: Relation(key=key)})
    edges = pa.table({"src": ["a", "a", "a", "b"], "dst": ["b", "b", "a", "a"]})
    graph = KnowledgeGraph.build(schema, {"movie": pa.table({"id": ["a", "b"]})}, {key: edges})
    adjacency = Adjacency.of(graph)
    assert adjacency.neighbour.tolist() == [0, 0, 1, 1, 0, 0]
    assert adjacency.forward.tolist() == [True, False, True, False, True, False]
    assert adjacency.degree.tolist() == [[4, 2]]
