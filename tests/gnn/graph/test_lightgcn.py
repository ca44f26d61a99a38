"""The linear model against PyG's LightGCN, and what layer 0 gives to whom."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gnn.graph import lightgcn
from gnn.graph.lightgcn import LightGCN, LightGCNConfig
from gnn.graph.propagation import Mask
from kg import KnowledgeGraph
from kg.errors import ConfigError, InvalidDataError
from kg.topology.adjacency import Numbering


def features(graph: KnowledgeGraph, width: int = 5, seed: int = 0) -> SimpleNamespace:
    """Random text vectors of all items."""
    span = Numbering.of(graph).span(graph.schema.item_type)
    nodes = np.arange(span.start, span.stop)
    vectors = np.random.default_rng(seed).normal(size=(len(nodes), width)).astype(np.float32)
    return SimpleNamespace(nodes=nodes, vectors=vectors)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_same_start_gives_the_embeddings_of_pyg(toy_graph: KnowledgeGraph, layers: int) -> None:
    from torch_geometric.nn.models import LightGCN as Oracle

    config = LightGCNConfig(dim=6, layers=layers, relations=(), text=False)
    model = LightGCN(toy_graph, config, seed=3, dtype=torch.float64)
    users, items = model.propagation.pairs
    numbering = model.propagation.numbering
    source, target = users + numbering.span("user").start, items + numbering.span("movie").start
    oracle = Oracle(len(numbering), 6, num_layers=layers).double()
    encoded = model()
    with torch.no_grad():
        oracle.embedding.weight.copy_(encoded.base)
        oracle.alpha.fill_(1 / (layers + 1))  # made in float32
    both = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    torch.testing.assert_close(encoded.final, oracle.get_embedding(both), rtol=1e-12, atol=1e-14)


def test_the_parts_make_up_the_whole(toy_graph: KnowledgeGraph) -> None:
    config = LightGCNConfig(dim=6, layers=3)
    texts = features(toy_graph)
    model = LightGCN(toy_graph, config, features=texts, dtype=torch.float64)
    parts, encoded = model.linear_parts(), model()
    operator = model.propagation.operator()
    z = model.alphas[0] * encoded.base + operator(encoded.tail, model.weights)
    torch.testing.assert_close(z, encoded.final)
    assert parts.text_projection is not None
    free = model.layer0.free.detach().numpy() * model.layer0.get_buffer("owns").numpy()
    expected = free[texts.nodes] + texts.vectors @ parts.text_projection
    np.testing.assert_allclose(parts.base[texts.nodes], expected, rtol=1e-5, atol=1e-6)
    assert parts.relations == tuple(toy_graph.edges)
    assert parts.weights.sum() == pytest.approx(1)
    assert parts.alphas == pytest.approx([0.25] * 4)


def test_the_interaction_starts_with_its_weight(toy_graph: KnowledgeGraph) -> None:
    model = LightGCN(toy_graph, LightGCNConfig(interaction_weight=0.7))
    weights = model.weights.detach().numpy()
    assert weights[0] == pytest.approx(0.7)
    assert weights[1:] == pytest.approx([0.05] * 6)
    alone = LightGCN(toy_graph, LightGCNConfig(relations=()))
    assert alone.weights.detach().numpy() == pytest.approx([1])


def test_chosen_relations_come_with_the_interaction(toy_graph: KnowledgeGraph) -> None:
    model = LightGCN(toy_graph, LightGCNConfig(relations=("genre",)))
    assert [key.name for key in model.propagation.relations] == ["rated", "genre"]
    with pytest.raises(ConfigError, match=r"'genres'; the relations are director, genre"):
        LightGCN(toy_graph, LightGCNConfig(relations=("genres",)))


def test_only_nodes_that_training_can_teach_have_free_embeddings(toy_graph: KnowledgeGraph) -> None:
    key = toy_graph.schema.interaction_key
    user, item = toy_graph.positive_edges(key)
    untouched = int(item[0])
    views = {}
    for event_key in toy_graph.schema.events():
        columns = toy_graph.event_columns(event_key)
        assert columns is not None
        views[event_key] = (columns[1] != untouched) & (columns[0] != user[-1])
    graph = toy_graph.keep_edges(views)
    model = LightGCN(graph, LightGCNConfig(dim=4, knowledge_degree=1))
    base = model().base.detach()
    numbering = Numbering.of(graph)
    assert not base[numbering.span("movie").start + untouched].any()
    assert not base[numbering.span("user").start + int(user[-1])].any()
    assert not base[numbering.span("genre")].any()  # knowledge starts at zero
    model().final[numbering.span("movie").start + untouched].sum().backward()
    assert model.layer0.free.grad is not None
    assert model.layer0.free.grad[numbering.span("genre")].any()  # but places the item, and is trained
    assert not model.layer0.free.grad[numbering.span("movie").start + untouched].any()
    without = LightGCN(graph, LightGCNConfig(dim=4, user_embedding=False))
    assert not without().base[numbering.span("user")].any()
    assert without().final[numbering.span("user").start + int(user[0])].any()


def test_a_cold_item_is_placed_as_one_that_nobody_ever_touched(toy_graph: KnowledgeGraph) -> None:
    """The simulation of the second pass equals the evaluator's: a graph without the traces."""
    cold = np.zeros(len(toy_graph.items), dtype=bool)
    cold[[1, 5, 7]] = True
    views = {}
    for key in toy_graph.schema.events():
        columns = toy_graph.event_columns(key)
        assert columns is not None
        views[key] = ~cold[columns[1]]
    config = LightGCNConfig(dim=4, layers=3, knowledge_degree=1)
    texts = features(toy_graph)
    # Attributes start at zero; with another value they are propagated in the same way.
    simulated = LightGCN(toy_graph, config, features=texts, dtype=torch.float64)
    real = LightGCN(toy_graph.keep_edges(views), config, features=texts, dtype=torch.float64)
    numbering = Numbering.of(toy_graph)
    reached = real.layer0.get_buffer("owns").clone()
    simulated.layer0.get_buffer("owns")[:] = reached  # users whose every like is on a cold item
    simulated.layer0.get_buffer("owns")[numbering.span("movie")][torch.from_numpy(cold)] = 1
    with torch.no_grad():
        for model in (simulated, real):
            model.layer0.free[numbering.span("genre")] = 0.3
            model.layer0.free[numbering.span("tag")] = 0.2
    encoded = simulated(Mask(cold=torch.from_numpy(cold)))
    torch.testing.assert_close(encoded.final, real().final)


def test_without_any_text_there_is_no_projection(toy_graph: KnowledgeGraph) -> None:
    none = SimpleNamespace(nodes=np.zeros(0, dtype=np.int64), vectors=np.zeros((0, 5), dtype=np.float32))
    with_none, without = (LightGCN(toy_graph, LightGCNConfig(dim=4), features=features) for features in (none, None))
    assert with_none.linear_parts().text_projection is None
    assert [name for name, _ in with_none.named_parameters()] == [name for name, _ in without.named_parameters()]


def test_text_vectors_of_no_node_are_refused(toy_graph: KnowledgeGraph) -> None:
    wrong = features(toy_graph)
    wrong.nodes = wrong.nodes + 1000
    with pytest.raises(InvalidDataError, match="belongs to no node"):
        LightGCN(toy_graph, LightGCNConfig(), features=wrong)


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"layers": 0}, {"interaction_weight": 0.0}, {"init_scale": float("nan")}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"channels.lightgcn.{next(iter(wrong))} = "):
        LightGCNConfig(**wrong)


def test_knowledge_reaches_as_far_as_its_degree(toy_graph: KnowledgeGraph) -> None:
    """A hub's free embedding is multiplied by the root of its degree, which A divides by; users and items by 1."""
    model = LightGCN(toy_graph, LightGCNConfig(dim=4, relations=("genre",), knowledge_degree=15))
    owns = model.layer0.get_buffer("owns")[:, 0]
    numbering = Numbering.of(toy_graph)
    _, genres = toy_graph.positive_edges(model.propagation.relations[1])
    counts = np.bincount(genres)
    assert (counts < 15).any()
    assert (counts >= 15).any()
    assert owns[numbering.span("genre")].tolist() == pytest.approx(np.where(counts >= 15, np.sqrt(counts), 0))
    assert not owns[numbering.span("person")].any()
    assert set(owns[numbering.span("user")].tolist()) == {1.0}


def test_the_last_hop_of_a_few_nodes_gives_the_rows_of_the_whole_and_their_gradients(
    toy_graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nodes are repeated and some have no edge; above the share of edges the whole is taken."""
    nodes = torch.tensor([[5, 0, 5], [33, 2, 40]]), torch.tensor([2, 17])
    gradients = []
    for share in (0.0, 1.0):  # the whole, or the rows alone
        monkeypatch.setattr(lightgcn, "FEW_EDGES", share)
        model = LightGCN(toy_graph, LightGCNConfig(dim=6, layers=2), features=features(toy_graph), dtype=torch.float64)
        encoded = model()
        rows = encoded.rows(*nodes)
        assert ("final" in vars(encoded)) == (share == 0.0)
        (rows[0].pow(3).sum() + rows[1].pow(2).sum()).backward()
        whole = model().final
        for values, some in zip(rows, nodes, strict=True):
            torch.testing.assert_close(values, whole[some])
        gradients.append(
            {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
        )
    assert set(gradients[0]) >= {"layer0.free", "relation_logits"}
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected)
