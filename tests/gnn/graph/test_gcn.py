"""The plain GCN against a dense computation of its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnn.graph.gcn import GCN, GCNConfig
from gnn.graph.propagation import Mask
from kg import KnowledgeGraph
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering


def dense_layer(model: GCN, layer: int, x: torch.Tensor, mask: Mask) -> torch.Tensor:
    """Sum over relations of D^-1/2 (B + I) D^-1/2 x W + b (Kipf and Welling)."""
    total = torch.zeros_like(x)
    for name, index in zip(model._names, model.propagation.edge_indices(mask), strict=True):
        adjacency = torch.zeros(len(x), len(x), dtype=x.dtype)
        adjacency.index_put_((index[0], index[1]), torch.ones(index.shape[1], dtype=x.dtype), accumulate=True)
        loops = adjacency.diagonal() == 0
        adjacency = adjacency + torch.diag(loops.to(x.dtype))
        scale = adjacency.sum(dim=1).rsqrt()
        convolution = model.convolutions[layer].convs[("node", name, "node")]
        total = total + (scale[:, None] * adjacency * scale) @ convolution.lin(x) + convolution.bias
    return total


@pytest.mark.parametrize("cold", [False, True])
def test_layers_are_those_of_the_formula(toy_graph: KnowledgeGraph, cold: bool) -> None:
    model = GCN(toy_graph, GCNConfig(dim=5, layers=2), dtype=torch.float64)
    chosen = torch.from_numpy(np.random.default_rng(0).random(len(toy_graph.items)) < 0.5)
    mask = Mask(cold=chosen if cold else None, edges=torch.arange(0, 50, 3))
    encoded = model(mask)
    expected = dense_layer(model, 1, dense_layer(model, 0, encoded.base, mask).relu(), mask)
    torch.testing.assert_close(encoded.final, expected)
    assert model.linear_parts() is None


def test_a_cold_item_keeps_only_its_attributes(toy_graph: KnowledgeGraph) -> None:
    model = GCN(toy_graph, GCNConfig(dim=4))
    cold = torch.ones(len(toy_graph.items), dtype=torch.bool)
    items = Numbering.of(toy_graph).span("movie")
    kept = {
        key.name: index
        for key, index in zip(model.propagation.relations, model.propagation.edge_indices(Mask(cold=cold)), strict=True)
    }
    assert kept["rated"].shape == kept["tagged"].shape == kept["has_tag"].shape == (2, 0)
    assert kept["genre"].shape[1] > 0
    assert not model(Mask(cold=cold)).base[items].any()


def test_the_start_depends_on_the_seed_and_leaves_torch_alone(toy_graph: KnowledgeGraph) -> None:
    before = torch.random.get_rng_state()
    first, same, other = (GCN(toy_graph, GCNConfig(dim=4), seed=seed)().final for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"channels\.gcn\.layers = 0"):
        GCNConfig(layers=0)
