from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.errors import ConfigError, InvalidDataError
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, PathArrays, Step, path_exists
from kg.topology.search import PathFinder
from kg.topology.shared_users import shared_users

LIKED = RelationKey("user", "liked", "item")
NEXT = RelationKey("item", "next", "item")
LIKE = RelationKey("item", "like", "item")
HAS = RelationKey("item", "has", "thing")
TYPES = {"user": 4, "item": 5, "thing": 3}


def small_graph(edges: dict[RelationKey, list[tuple[int, int]]]) -> KnowledgeGraph:
    schema = Schema(
        {name: NodeType(name=name) for name in TYPES},
        {key: Relation(key=key) for key in (LIKED, NEXT, LIKE, HAS)},
        interaction=LIKED,
        positive=PositiveRule("rating", 1.0),
    )
    tables = {}
    for key in schema.relations:
        pairs = edges.get(key, [])
        columns: dict[str, Any] = {
            "src": pa.array([f"{key.source}{a}" for a, _ in pairs], pa.string()),
            "dst": pa.array([f"{key.target}{b}" for _, b in pairs], pa.string()),
        }
        if key == LIKED:
            columns["rating"] = pa.array([float((a + b) % 4 > 0) for a, b in pairs], pa.float64())
        tables[key] = pa.table(columns)
    nodes = {name: pa.table({"id": [f"{name}{n}" for n in range(count)]}) for name, count in TYPES.items()}
    return KnowledgeGraph.build(schema, nodes, tables)


def pairs(key: RelationKey) -> Any:
    return st.lists(st.tuples(st.integers(0, TYPES[key.source] - 1), st.integers(0, TYPES[key.target] - 1)), max_size=9)


GRAPHS = st.fixed_dictionaries({key: pairs(key) for key in (LIKED, NEXT, LIKE, HAS)}).map(small_graph)


class Naive:
    """Depth-first search over simple paths, by loops over the tables' rows."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.numbering = Adjacency.of(graph).numbering
        self.steps: dict[int, set[Step]] = defaultdict(set)
        for key, table in graph.edges.items():
            for row in table.to_pylist():
                if key == graph.schema.interaction and not row["rating"] >= graph.schema.positive.minimum:
                    continue
                source = self.numbering.span(key.source).start + row["src"]
                target = self.numbering.span(key.target).start + row["dst"]
                self.steps[source].add(Step(source, target, key, True))
                self.steps[target].add(Step(target, source, key, False))

    def between(self, source: int, target: int, hops: int, excluded: tuple[str, ...] = ()) -> list[Path]:
        found: list[Path] = []

        def walk(node: int, visited: set[int], steps: tuple[Step, ...]) -> None:
            for step in self.steps[node]:
                if step.target in visited:
                    continue
                if step.target == target:
                    found.append(Path((*steps, step)))
                elif len(steps) + 1 < hops and self.numbering.locate(step.target)[0] not in excluded:
                    walk(step.target, visited | {step.target}, (*steps, step))

        walk(source, {source}, ())
        return found


@settings(max_examples=150)
@given(
    GRAPHS,
    st.integers(0, 11),
    st.integers(0, 11),
    st.integers(1, 4),
    st.sampled_from([(), ("user",), ("user", "thing")]),
)
def test_the_search_finds_what_a_naive_search_finds(
    graph: KnowledgeGraph, source: int, target: int, hops: int, excluded: tuple[str, ...]
) -> None:
    finder = PathFinder(Adjacency.of(graph), max_hops=hops, hub_limit=None, excluded=excluded)
    found = finder.between(source, target)
    expected = [] if source == target else Naive(graph).between(source, target, hops, excluded)
    assert len(found) == len(set(found)) == len(expected)
    assert set(found) == set(expected)
    assert [len(path) for path in found] == sorted(len(path) for path in found)
    for path in found:
        assert path.nodes[0] == source
        assert path.nodes[-1] == target
        assert len(set(path.nodes)) == len(path) + 1
        assert path_exists(graph, path)
    # A limit that no node reaches lifts nothing and drops nothing.
    assert (
        PathFinder(Adjacency.of(graph), max_hops=hops, hub_limit=99, excluded=excluded).between(source, target) == found
    )


def test_parallel_relations_and_directions_are_paths_of_their_own() -> None:
    graph = small_graph({NEXT: [(0, 1), (1, 0), (0, 1), (0, 0)], LIKE: [(0, 1)]})
    start = Adjacency.of(graph).numbering.span("item").start
    found = PathFinder(Adjacency.of(graph)).between(start, start + 1)
    assert [path.shape for path in found] == [((NEXT, False),), ((NEXT, True),), ((LIKE, True),)]


def kept_by(graph: KnowledgeGraph, naive: Naive, limit: int) -> Any:
    """The stated hub rule, step by step: whether a node goes on along a step."""
    edges = {node: len(steps) for node, steps in naive.steps.items()}

    def goes_on(step: Step) -> bool:
        under = [other for other in naive.steps[step.source] if other.relation == step.relation]
        under.sort(key=lambda s: (-edges[s.target], s.target, not s.forward))
        return step in under[:limit]

    return goes_on


def turned(step: Step) -> Step:
    return Step(step.target, step.source, step.relation, not step.forward)


@settings(max_examples=150)
@given(GRAPHS, st.integers(0, 11), st.integers(0, 11), st.integers(1, 3), st.sampled_from([(), ("user",)]))
def test_the_hub_rule_is_the_one_that_is_stated(
    graph: KnowledgeGraph, source: int, target: int, limit: int, excluded: tuple[str, ...]
) -> None:
    naive = Naive(graph)
    goes_on = kept_by(graph, naive, limit)

    def allowed(path: Path) -> bool:
        if len(path) < 3:
            return True
        if len(path) == 3:
            return goes_on(path.steps[1]) or goes_on(turned(path.steps[1]))
        return goes_on(path.steps[1]) and goes_on(turned(path.steps[2]))

    expected = [] if source == target else naive.between(source, target, 4, excluded)
    finder = PathFinder(Adjacency.of(graph), max_hops=4, hub_limit=limit, excluded=excluded)
    found = finder.between(source, target)
    assert len(found) == len(set(found))
    assert set(found) == {path for path in expected if allowed(path)}
    back = {Path(tuple(turned(step) for step in reversed(path.steps))) for path in finder.between(target, source)}
    assert back == set(found)


def test_arrays_say_the_same_as_objects(toy_graph: KnowledgeGraph) -> None:
    adjacency = Adjacency.of(toy_graph)
    finder = PathFinder(adjacency, max_hops=3, excluded=["user"])
    movie = adjacency.numbering.span("movie").start + 7
    arrays = finder.arrays(3, movie)
    assert [part.hops for part in arrays] == [1, 2, 3]
    found = finder.between(3, movie)
    assert [path for part in arrays for path in part.paths()] == found
    assert len(found) > 3
    last = arrays[2]
    assert last.take(np.array([1, 0])).paths() == [last.paths()[1], last.paths()[0]]
    order = [(p.nodes, [adjacency.relations.index(s.relation) for s in p.steps]) for p in last.paths()]
    assert order == sorted(order)


def test_a_hop_before_paths_and_paths_as_one(toy_graph: KnowledgeGraph) -> None:
    finder = PathFinder(Adjacency.of(toy_graph), max_hops=2)
    parts = [finder.arrays(source, 35)[1] for source in (31, 32, 50)]
    assert sum(map(len, parts)) > 3
    longer = PathArrays.concat([part.after(-2, 1) for part in parts])
    relation = longer.relations[1]
    expected = [
        Path((Step(-2, path.nodes[0], relation, forward=True), *path.steps)) for part in parts for path in part.paths()
    ]
    assert longer.paths() == expected
    assert longer.hops == 3


def test_a_path_that_is_not_there_is_noticed(toy_graph: KnowledgeGraph) -> None:
    adjacency = Adjacency.of(toy_graph)
    movie = adjacency.numbering.span("movie").start + 7
    path = PathFinder(adjacency, excluded=["user"]).between(3, movie)[-1]
    assert path_exists(toy_graph, path)
    first, *rest = path.steps
    assert not path_exists(toy_graph, Path((replace(first, forward=not first.forward), *rest)))
    assert not path_exists(toy_graph, Path((first, *rest[1:])))
    assert not path_exists(toy_graph, Path((replace(first, relation=RelationKey("user", "no", "movie")), *rest)))
    assert not path_exists(toy_graph, Path((replace(first, target=10**9),)))
    table = toy_graph.edges[toy_graph.schema.interaction_key]
    numbering = adjacency.numbering
    disliked = next(row for row in table.to_pylist() if row["rating"] < 4)
    source, target = disliked["src"], numbering.span("movie").start + disliked["dst"]
    assert not path_exists(toy_graph, Path((Step(source, target, toy_graph.schema.interaction_key, True),)))


@settings(max_examples=100)
@given(GRAPHS, st.integers(0, 3), st.integers(0, 4))
def test_shared_users_against_a_loop(graph: KnowledgeGraph, user: int, item: int) -> None:
    liked: dict[int, set[int]] = defaultdict(set)
    for row in graph.edges[LIKED].to_pylist():
        if row["rating"] >= 1.0:
            liked[row["src"]].add(row["dst"])
    start = TYPES["user"]
    expected = {}
    for history in liked[user] - {item}:
        others = {other for other in list(liked) if other != user and {history, item} <= liked[other]}
        if others:
            expected[start + history] = others
    found = shared_users(Adjacency.of(graph), user, start + item, LIKED, with_users=True)
    assert dict(zip(found.history.tolist(), found.counts.tolist(), strict=True)) == {
        k: len(v) for k, v in expected.items()
    }
    assert found.users is not None
    assert {node: set(found.users[row].tolist()) for row, node in enumerate(found.history.tolist())} == expected
    ranks = [(-count, node) for count, node in zip(found.counts.tolist(), found.history.tolist(), strict=True)]
    assert ranks == sorted(ranks)
    assert shared_users(Adjacency.of(graph), user, start + item, LIKED).users is None


def test_shared_users_of_both_sizes(toy_graph: KnowledgeGraph) -> None:
    """Whichever side is smaller is expanded; the paths through other users give the same counts."""
    adjacency = Adjacency.of(toy_graph)
    key = toy_graph.schema.interaction_key
    movies = adjacency.numbering.span("movie")
    finder = PathFinder(Adjacency.of(toy_graph, [key]), hub_limit=None)
    for user in (0, 11):
        for movie in range(movies.start, movies.stop):
            others: dict[int, set[int]] = defaultdict(set)
            for path in finder.between(user, movie):
                if len(path) == 3:
                    others[path.nodes[1]].add(path.nodes[2])
            found = shared_users(adjacency, user, movie, key)
            counts = dict(zip(found.history.tolist(), found.counts.tolist(), strict=True))
            assert counts == {node: len(users) for node, users in others.items()}


def test_what_cannot_be_searched_is_refused(toy_graph: KnowledgeGraph) -> None:
    adjacency = Adjacency.of(toy_graph)
    for wrong in ({"max_hops": 0}, {"max_hops": 5}, {"hub_limit": 0}, {"excluded": ["alien"]}):
        with pytest.raises(ConfigError):
            PathFinder(adjacency, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="is no node number: the graph has"):
        PathFinder(adjacency).between(0, len(adjacency.numbering))
    with pytest.raises(InvalidDataError, match="has no relation"):
        shared_users(adjacency, 0, 40, LIKED)
