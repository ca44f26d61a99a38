"""The heterogeneous propagation against dense float64 products, with and without masks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from gnn.graph.propagation import Mask, Propagation, horner
from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.topology.adjacency import Adjacency, Numbering

CPU = torch.device("cpu")


def dense(
    graph: KnowledgeGraph, cold: np.ndarray | None = None, dropped: set[tuple[int, int]] | None = None
) -> list[np.ndarray]:
    """D^-1/2 B D^-1/2 of every relation by a plain loop over edge tables."""
    numbering = Numbering.of(graph)
    cold = np.zeros(len(graph.items), dtype=bool) if cold is None else cold
    result = []
    for key, table in graph.edges.items():
        matrix = np.zeros((len(numbering), len(numbering)))
        event = graph.schema.relations[key].event
        pairs = set()
        for row in table.to_pylist():
            if key == graph.schema.interaction and row["rating"] < 4:
                continue
            if event is not None and cold[row[event.item]]:
                continue
            if key == graph.schema.interaction and (row["src"], row["dst"]) in (dropped or set()):
                continue
            pairs.add((row["src"], row["dst"]))
        for source, target in pairs:
            i, j = numbering.span(key.source).start + source, numbering.span(key.target).start + target
            matrix[i, j] += 1
            matrix[j, i] += 1
        degree = matrix.sum(axis=1)
        scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
        result.append(scale[:, None] * matrix * scale)
    return result


def inputs(graph: KnowledgeGraph, dim: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(1)
    x = torch.from_numpy(random.normal(size=(len(Numbering.of(graph)), dim)))
    return x, torch.from_numpy(random.dirichlet(np.ones(len(graph.edges))))


def masks(graph: KnowledgeGraph) -> dict[str, tuple[Mask, np.ndarray | None, set[tuple[int, int]] | None]]:
    random = np.random.default_rng(2)
    cold = random.random(len(graph.items)) < 0.4
    users, items = graph.positive_edges(graph.schema.interaction_key)
    gone = random.choice(len(users), size=len(users) // 3, replace=False)
    dropped = {(int(users[e]), int(items[e])) for e in gone}
    cold_mask, edge_mask = torch.from_numpy(cold), torch.from_numpy(gone)
    return {
        "nothing": (Mask(), None, None),
        "cold": (Mask(cold=cold_mask), cold, None),
        "edges": (Mask(edges=edge_mask), None, dropped),
        "both": (Mask(cold=cold_mask, edges=edge_mask), cold, dropped),
    }


@pytest.mark.parametrize("name", ["nothing", "cold", "edges", "both"])
def test_a_product_is_that_of_the_dense_matrices(toy_graph: KnowledgeGraph, name: str) -> None:
    mask, cold, dropped = masks(toy_graph)[name]
    x, weights = inputs(toy_graph)
    propagation = Propagation.of(toy_graph).to(CPU, torch.float64)
    expected = sum(
        w * matrix @ x.numpy() for w, matrix in zip(weights.numpy(), dense(toy_graph, cold, dropped), strict=True)
    )
    np.testing.assert_allclose(propagation.operator(mask)(x, weights).numpy(), expected, atol=1e-12)


def test_a_mask_leaves_nothing_behind(toy_graph: KnowledgeGraph) -> None:
    x, weights = inputs(toy_graph)
    propagation = Propagation.of(toy_graph).to(CPU, torch.float64)
    before = propagation.operator()(x, weights)
    for mask, _, _ in masks(toy_graph).values():
        propagation.operator(mask)(x, weights)
    torch.testing.assert_close(propagation.operator()(x, weights), before, rtol=0, atol=0)


def test_float32_is_close_to_float64(toy_graph: KnowledgeGraph) -> None:
    x, weights = inputs(toy_graph)
    wide = Propagation.of(toy_graph).to(CPU, torch.float64).operator()(x, weights)
    narrow = Propagation.of(toy_graph).operator()(x.float(), weights.float())
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["nothing", "cold", "edges", "both"])
def test_gradients_are_those_of_finite_differences(toy_graph: KnowledgeGraph, name: str) -> None:
    mask = masks(toy_graph)[name][0]
    x, weights = inputs(toy_graph, dim=2)
    operator = Propagation.of(toy_graph).to(CPU, torch.float64).operator(mask)
    mixed = torch.from_numpy(np.random.default_rng(3).normal(size=x.shape))

    def objective(some: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        rows = x.clone()
        rows[::7] = some
        return (operator(operator(rows, w), w) * mixed).sum(dim=0)

    start = x[::7].clone().requires_grad_()
    assert torch.autograd.gradcheck(objective, (start, weights.clone().requires_grad_()))


def test_degrees_are_those_of_the_shared_adjacency(toy_graph: KnowledgeGraph) -> None:
    """An edge's value is 1 / sqrt(d_i d_j): explanations divide by the same degrees."""
    adjacency = Adjacency.of(toy_graph)
    propagation = Propagation.of(toy_graph).to(CPU, torch.float64)
    assert propagation.relations == adjacency.relations
    for number in range(len(adjacency.relations)):
        weights = torch.zeros(len(adjacency.relations), dtype=torch.float64)
        weights[number] = 1
        # A D^1/2 1 = D^-1/2 B 1 = D^1/2 1: holds for these degrees only.
        root = torch.from_numpy(np.sqrt(adjacency.degree[number].astype(np.float64)))[:, None]
        torch.testing.assert_close(propagation.operator()(root, weights), root)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_horner_gives_the_polynomial_and_its_inner_sums(toy_graph: KnowledgeGraph, layers: int) -> None:
    base, weights = inputs(toy_graph)
    alphas = torch.from_numpy(np.random.default_rng(4).dirichlet(np.ones(layers + 1)))
    a = sum(w * matrix for w, matrix in zip(weights.numpy(), dense(toy_graph), strict=True))
    operator = Propagation.of(toy_graph).to(CPU, torch.float64).operator()
    final, tail, tail2 = horner(operator, base, weights, alphas)
    powers = [np.linalg.matrix_power(a, power) @ base.numpy() for power in range(layers + 1)]
    for value, first in ((final, 0), (tail, 1), (tail2, 2)):
        expected = sum((alphas[n].item() * powers[n - first] for n in range(first, layers + 1)), np.zeros(base.shape))
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(final, alphas[0] * base + operator(tail, weights))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_rows_of_a_product_are_those_of_the_whole_with_the_same_gradients(
    toy_graph: KnowledgeGraph, share: float, masked: bool
) -> None:
    base, weights = inputs(toy_graph)
    random = np.random.default_rng(7)
    nodes = torch.from_numpy(np.flatnonzero(random.random(len(base)) < share))
    cold = torch.from_numpy(random.random(len(toy_graph.items)) < 0.3)
    operator = Propagation.of(toy_graph).to(CPU, torch.float64).operator(Mask(cold=cold) if masked else Mask())
    factors = torch.from_numpy(random.normal(size=(len(nodes), base.shape[1])))
    results = []
    for whole in (True, False):
        x, w = base.clone().requires_grad_(), weights.clone().requires_grad_()
        hop = operator.bind(w)
        rows = hop(x)[nodes] if whole else hop.rows(x, nodes)
        (rows * factors).sum().backward()
        results.append((rows.detach(), x.grad, w.grad))
    for expected, value in zip(*results, strict=True):
        torch.testing.assert_close(value, expected)
    assert operator.bind(weights).share(torch.arange(len(base))) == 1
    # Sums are taken in the same order: not even the last digit differs.
    assert torch.equal(results[0][0], results[1][0])


def small(**tables: list[tuple[str, str]]) -> KnowledgeGraph:
    """Two users, three items, and an item-to-item relation."""
    keys = {"liked": RelationKey("user", "liked", "item"), "next": RelationKey("item", "next", "item")}
    edges = {
        keys[name]: pa.table({"src": [s for s, _ in rows], "dst": [d for _, d in rows]})
        for name, rows in tables.items()
    }
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "item")},
        relations={keys[name]: Relation(key=keys[name], event=Event() if name == "liked" else None) for name in tables},
        item_type="item",
        interaction=keys["liked"],
        positive=PositiveRule(),
    )
    nodes = {"user": ["u0", "u1"], "item": ["i0", "i1", "i2"]}
    return KnowledgeGraph.build(schema, {name: pa.table({"id": ids}) for name, ids in nodes.items()}, edges)


def product(graph: KnowledgeGraph, number: int, mask: Mask | None = None) -> np.ndarray:
    propagation = Propagation.of(graph).to(CPU, torch.float64)
    weights = torch.zeros(len(propagation.relations), dtype=torch.float64)
    weights[number] = 1
    return propagation.operator(mask or Mask())(
        torch.eye(len(propagation.numbering), dtype=torch.float64), weights
    ).numpy()


def test_a_self_loop_and_an_edge_both_ways_count_at_both_ends() -> None:
    graph = small(liked=[("u0", "i0")], next=[("i0", "i0"), ("i1", "i2"), ("i2", "i1")])
    matrix = product(graph, 1)[2:5, 2:5]
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_a_relation_without_edges_adds_nothing() -> None:
    graph = small(liked=[("u0", "i0")])
    bare = graph.keep_edges({graph.schema.interaction_key: np.zeros(1, dtype=bool)})
    assert not product(bare, 0).any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_close_to_float64_on_the_cpu(toy_graph: KnowledgeGraph) -> None:
    x, weights = inputs(toy_graph, dim=16)
    device = torch.device("cuda")
    for mask, _, _ in masks(toy_graph).values():
        there = Mask(
            cold=None if mask.cold is None else mask.cold.to(device),
            edges=None if mask.edges is None else mask.edges.to(device),
        )
        expected = Propagation.of(toy_graph).to(CPU, torch.float64).operator(mask)(x, weights)
        operator = Propagation.of(toy_graph).to(device, torch.float32).operator(there)
        product = operator(x.float().to(device), weights.float().to(device))
        torch.testing.assert_close(product.cpu().double(), expected, rtol=1e-4, atol=1e-5)
