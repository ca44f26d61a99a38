from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.errors import ConfigError, InvalidDataError, UnknownIdError
from kg.io.views import neighbourhood, to_networkx, write_graphml
from kg.topology.adjacency import Adjacency


def hostile_graph() -> KnowledgeGraph:
    rated, similar = RelationKey("user", "rated", "item"), RelationKey("item", "similar", "item")
    tagged = RelationKey("item", "tagged", "item")
    schema = Schema(
        {"user": NodeType(name="user"), "item": NodeType(name="item")},
        {
            rated: Relation(key=rated, event=Event()),
            similar: Relation(key=similar),
            tagged: Relation(key=tagged, event=Event("user", "src")),
        },
        interaction=rated,
    )
    return KnowledgeGraph.build(
        schema,
        {
            "user": pa.table({"id": ["a", "b"]}),
            "item": pa.table(
                {
                    "id": ["a", 'x"<&>\x00\n'],
                    "words": pa.array([["p", "q\x07"], None]),
                    "node_type": ["shadow", "shadow"],
                    "when": pa.array([datetime.date(2020, 1, 2), None]),
                    "year": pa.array([1999, None]),
                    "score": [0.5, 2.0],
                    "good": [True, False],
                }
            ),
        },
        {
            rated: pa.table(
                {"src": ["a", "a", "b"], "dst": ["a", "a", "a"], "key": [1, 2, 3], "timestamp": [1, 2, None]}
            ),
            similar: pa.table({"src": ["a"], "dst": ["a"]}),
            tagged: pa.table({"src": ["a"], "dst": ['x"<&>\x00\n'], "user": ["b"]}),
        },
    )


def test_the_whole_graph(toy_graph: KnowledgeGraph) -> None:
    view = to_networkx(toy_graph)
    assert isinstance(view, nx.MultiDiGraph)
    assert view.number_of_nodes() == sum(toy_graph.counts()["nodes"].values())
    assert view.number_of_edges() == sum(toy_graph.counts()["edges"].values())
    movie = toy_graph.nodes["movie"].slice(4, 1).to_pylist()[0]
    assert view.nodes["movie", movie["id"]] == {key: movie[key] for key in ("title", "year", "text")}
    key = toy_graph.schema.interaction_key
    row = toy_graph.edges[key].slice(0, 1).to_pylist()[0]
    ends = ("user", toy_graph.users.ids[row["src"]].as_py()), ("movie", toy_graph.items.ids[row["dst"]].as_py())
    assert view.edges[(*ends, "rated")] == {"rating": row["rating"], "timestamp": row["timestamp"]}


def test_repeated_edges_loops_and_event_users_are_kept() -> None:
    view = to_networkx(hostile_graph())
    assert view.number_of_edges() == 5
    repeated = view[("user", "a")][("item", "a")]
    assert repeated == {"rated": {"key": 1, "timestamp": 1}, "rated#2": {"key": 2, "timestamp": 2}}
    assert view[("user", "b")][("item", "a")] == {"rated": {"key": 3}}
    assert view.has_edge(("item", "a"), ("item", "a"), "similar")
    assert view[("item", "a")][("item", 'x"<&>\x00\n')]["tagged"]["user"] == "b"
    assert "words" not in view.nodes["item", 'x"<&>\x00\n']


@pytest.mark.parametrize("whole", [True, False])
def test_graphml_is_read_back(tmp_path: Path, whole: bool) -> None:
    graph = hostile_graph()
    source = to_networkx(graph)
    write_graphml(graph if whole else source, tmp_path / "g.graphml")
    assert [path.name for path in tmp_path.iterdir()] == ["g.graphml"]
    again = nx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)
    assert again.number_of_nodes() == source.number_of_nodes()
    nodes = {(data["node_type"], data["id"]): data for _, data in again.nodes(data=True)}
    assert set(nodes) == {("user", "a"), ("user", "b"), ("item", "a"), ("item", 'x"<&>\ufffd\n')}
    assert nodes["item", "a"] == {
        "node_type": "item",
        "id": "a",
        "words": json.dumps(["p", "q\x07"]),
        "when": "2020-01-02",
        "year": 1999,
        "score": 0.5,
        "good": True,
    }
    assert "year" not in nodes["item", 'x"<&>\ufffd\n']
    edges = sorted((data["relation"], data.get("key"), data.get("user")) for *_, data in again.edges(data=True))
    assert [edge[0] for edge in edges] == ["rated", "rated", "rated#2", "similar", "tagged"]
    assert edges[2][1] == 2
    assert edges[4][2] == "b"
    assert len({key for *_, key in again.edges(keys=True)}) == 5


def test_a_view_is_written_with_its_facts(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    view = neighbourhood(toy_graph, "movie", "m3", depth=2, max_nodes=20)
    write_graphml(view, tmp_path / "around.graphml")
    again = nx.read_graphml(tmp_path / "around.graphml", force_multigraph=True)
    assert again.number_of_nodes() == 20
    assert again.number_of_edges() == view.number_of_edges()
    assert again.graph["depth"] == 2
    assert json.loads(again.graph["centre"]) == ["movie", "m3"]


def walked(graph: KnowledgeGraph) -> Any:
    """The whole graph without the interactions that are not positive."""
    key = graph.schema.interaction_key
    return to_networkx(graph.keep_edges({key: graph.schema.positive.mask(graph.edges[key])}))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("centre", [("movie", "m3"), ("user", "u7"), ("genre", "drama")])
def test_a_neighbourhood_without_caps_is_a_ball(toy_graph: KnowledgeGraph, depth: int, centre: tuple[str, str]) -> None:
    whole = walked(toy_graph)
    ball = nx.single_source_shortest_path_length(whole.to_undirected(as_view=True), centre, cutoff=depth)
    expected = whole.subgraph(ball)
    view = neighbourhood(toy_graph, *centre, depth=depth, max_nodes=10**6, max_neighbours=10**6)
    assert dict(view.nodes(data=True)) == dict(expected.nodes(data=True))
    assert sorted(view.edges(keys=True, data="rating"), key=str) == sorted(
        expected.edges(keys=True, data="rating"), key=str
    )
    assert view.graph["capped_neighbours"] == []
    assert view.graph["capped_nodes"] == 0
    assert view.graph["centre"] == centre


def test_caps_are_kept_and_recorded(toy_graph: KnowledgeGraph) -> None:
    adjacency = Adjacency.of(toy_graph)
    view = neighbourhood(toy_graph, "genre", "drama", depth=1, max_neighbours=3, adjacency=adjacency)
    edges = np.diff(adjacency.offsets)[adjacency.numbering.span("movie")]
    drama = toy_graph.vocabulary("genre").index(["drama"])[0]
    table = toy_graph.edges[RelationKey("movie", "genre", "genre")]
    movies = [row["src"] for row in table.to_pylist() if row["dst"] == drama]
    best = sorted(movies, key=lambda movie: (-edges[movie], movie))[:3]
    ids = toy_graph.items.ids.to_pylist()
    assert set(view.nodes) == {("genre", "drama")} | {("movie", ids[movie]) for movie in best}
    assert view.graph["capped_neighbours"] == [("genre", "drama")]
    assert view.graph["max_neighbours"] == 3
    full = neighbourhood(toy_graph, "movie", "m3", depth=3, max_nodes=10**6)
    few = neighbourhood(toy_graph, "movie", "m3", depth=3, max_nodes=9)
    assert len(few) == 9
    assert few.graph["capped_nodes"] > 0
    assert set(few.nodes) < set(full.nodes)
    again = neighbourhood(toy_graph, "movie", "m3", depth=3, max_nodes=9, adjacency=adjacency)
    assert nx.utils.graphs_equal(few, again)


def test_what_is_not_there_is_named(toy_graph: KnowledgeGraph) -> None:
    with pytest.raises(UnknownIdError, match="unknown movie id: 'm333'"):
        neighbourhood(toy_graph, "movie", "m333")
    with pytest.raises(InvalidDataError, match="no node type 'film': the graph has user, movie"):
        neighbourhood(toy_graph, "film", "m3")
    for wrong in ({"depth": -1}, {"max_nodes": 0}, {"max_neighbours": 0}):
        with pytest.raises(ConfigError, match="must be at least"):
            neighbourhood(toy_graph, "movie", "m3", **wrong)
