from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch_geometric.transforms as transforms

from gnn.graph.hetero import to_hetero_data
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, RelationKey
from kg.errors import ArtifactError
from kg.interactions import NO_TIME
from kg.splits import SplitConfig, hide_items, split_interactions
from kg.topology.adjacency import Numbering

RATED = RelationKey("user", "rated", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")


@pytest.fixture
def features(toy_graph: KnowledgeGraph) -> TextFeatures:
    start = Numbering.of(toy_graph).span("movie").start
    nodes = np.array([start, start + 3, start + 39])
    return TextFeatures(nodes=nodes, vectors=np.arange(12, dtype=np.float32).reshape(3, 4) + 1, model="some")


def test_every_table_arrives(toy_graph: KnowledgeGraph, features: TextFeatures) -> None:
    data = to_hetero_data(toy_graph, features)
    assert data.validate()
    assert data.node_types == list(toy_graph.nodes)
    for name in toy_graph.nodes:
        assert data[name].num_nodes == toy_graph.num_nodes(name)
        assert data.node_ids[name] == toy_graph.nodes[name]["id"].to_pylist()
        assert ("x" in data[name]) == (name == "movie")
    x = data["movie"].x
    assert x.dtype == torch.float32
    assert x.shape == (40, 4)
    assert x[[0, 3, 39]].tolist() == features.vectors.tolist()
    assert int(x.abs().sum(dim=1).count_nonzero()) == 3
    assert data.edge_types == [tuple(key) for key in toy_graph.edges]
    for key, table in toy_graph.edges.items():
        store = data[tuple(key)]
        assert store.edge_index.dtype == torch.int64
        assert store.edge_index.T.tolist() == [
            [s, t] for s, t in zip(table["src"].to_pylist(), table["dst"].to_pylist(), strict=True)
        ]
    rated = data[tuple(RATED)]
    table = toy_graph.edges[RATED]
    assert rated.time.tolist() == table["timestamp"].to_pylist()
    assert rated.rating.tolist() == table["rating"].to_pylist()
    assert rated.positive.tolist() == [rating >= 4 for rating in table["rating"].to_pylist()]
    assert 0 < int(rated.positive.sum()) < len(rated.positive)
    assert data[tuple(HAS_TAG)].user.tolist() == toy_graph.edges[HAS_TAG]["user"].to_pylist()


def test_values_that_are_missing_or_no_numbers(toy_graph: KnowledgeGraph) -> None:
    key = RelationKey("movie", "sequel_of", "movie")
    count = toy_graph.edges[key].num_rows
    table = toy_graph.edges[key]
    table = table.append_column("timestamp", pa.array([None, *range(1, count)], type=pa.int64()))
    table = table.append_column("weight", pa.array([None, *range(1, count)], type=pa.int32()))
    table = table.append_column("sure", pa.array([n % 2 == 0 for n in range(count)]))
    table = table.append_column("note", pa.array(["x"] * count))
    graph = KnowledgeGraph(toy_graph.schema, toy_graph.nodes, {**toy_graph.edges, key: table})
    store = to_hetero_data(graph)[tuple(key)]
    assert store.time.tolist() == [NO_TIME, *range(1, count)]
    assert store.weight.isnan().tolist() == [True] + [False] * (count - 1)
    assert store.weight[1:].tolist() == list(range(1, count))
    assert store.sure.tolist() == [n % 2 == 0 for n in range(count)]
    assert "note" not in store


def test_undirected_and_subgraph(toy_graph: KnowledgeGraph, features: TextFeatures) -> None:
    data = transforms.ToUndirected()(to_hetero_data(toy_graph, features))
    assert data.validate()
    back = data["movie", "rev_rated", "user"]
    assert torch.equal(back.edge_index.flip(0), data["user", "rated", "movie"].edge_index)
    assert torch.equal(back.time, data["user", "rated", "movie"].time)
    part = data.subgraph({"movie": torch.tensor([5, 9])})
    assert [part.node_ids["movie"][n] for n in part["movie"].n_id] == [
        toy_graph.items.ids[5].as_py(),
        toy_graph.items.ids[9].as_py(),
    ]


def user_item_pairs(data: Any, graph: KnowledgeGraph) -> set[tuple[int, int]]:
    """All pairs of a user and an item that any edge of any type gives away."""
    pairs: set[tuple[int, int]] = set()
    user, item = graph.schema.user_type, graph.schema.item_type
    for source, name, target in data.edge_types:
        store = data[source, name, target]
        ends = {source: store.edge_index[0].tolist(), target: store.edge_index[1].tolist()}
        if "user" in store:
            ends[user] = store.user.tolist()
        if user in ends and item in ends:
            pairs |= set(zip(ends[user], ends[item], strict=True))
    return pairs


@pytest.mark.parametrize("kind", ["per_user_time", "global_time", "random", "hidden items"])
def test_a_training_view_leaks_no_held_out_edge(toy_graph: KnowledgeGraph, kind: Any) -> None:
    if kind == "hidden items":
        split = hide_items(toy_graph, fraction=0.2)
    else:
        split = split_interactions(toy_graph, SplitConfig(kind=kind))
    held_out = toy_graph.interactions.select(~split.mask("train"))
    secret = set(zip(held_out.user.tolist(), held_out.item.tolist(), strict=True))
    assert len(secret) > 20
    everything = user_item_pairs(transforms.ToUndirected()(to_hetero_data(toy_graph)), toy_graph)
    assert secret <= everything
    data = transforms.ToUndirected()(to_hetero_data(split.view(toy_graph, "train")))
    assert any(name.startswith("rev_") for _, name, _ in data.edge_types)
    seen = user_item_pairs(data, toy_graph)
    assert seen
    assert not seen & secret


def test_features_of_another_graph_are_refused(toy_graph: KnowledgeGraph) -> None:
    far = TextFeatures(nodes=np.array([90]), vectors=np.ones((1, 4), dtype=np.float32), model="some")
    with pytest.raises(ArtifactError, match="the graph has 90"):
        to_hetero_data(toy_graph, far)
