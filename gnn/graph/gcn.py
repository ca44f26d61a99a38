"""A plain graph convolutional network (Kipf and Welling, ICLR 2017) through PyG's layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gnn.distributed import ALONE, Ranks
from gnn.graph.encoder import WholeEncoded
from gnn.graph.layer0 import LayerZero, TextVectors
from gnn.graph.lightgcn import chosen_relations
from gnn.graph.propagation import NOTHING, Mask, Propagation
from gnn.settings import GCNConfig
from kg import KnowledgeGraph

NODE = "node"


class GCN(nn.Module):
    """One `GCNConv` a relation and layer, summed by `HeteroConv` over all nodes in one numbering.

    GCNConv works on one type of nodes, so every relation is laid into the global numbering; its symmetric normalisation
    with self-loops is then that of each relation's own graph.

    The model is not linear, so `Embeddings.linear` is None: vectors are served as they are, scores have no shares
    (gnn.graph.shares), new users are the mean of their items and new items need a training (gnn.graph.fold_in),
    forgotten users leave the other vectors as they are (gnn.graph.forgetting), a later training starts with zero free
    embeddings of new nodes (gnn.graph.warm_start), items that nobody touched are placed by the simulated cold start of
    training alone (gnn.graph.cold_start asks for a linear model), and several ranks cannot share it.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        config: GCNConfig,
        *,
        features: TextVectors | None = None,
        seed: int = 0,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        from torch_geometric.nn import GCNConv, HeteroConv  # seconds to import, and only needed here

        super().__init__()
        device = device or torch.device("cpu")
        keys = chosen_relations(graph, config.relations)
        self.propagation = Propagation.of(graph, keys).to(device, dtype)
        self.layer0 = LayerZero(graph, config=config, relations=keys, features=features, seed=seed, dtype=dtype)
        self._names = [f"{number}_{key.name}" for number, key in enumerate(keys)]
        with torch.random.fork_rng(devices=[]):  # PyG draws its start from the global generator
            torch.manual_seed(seed)
            self.convolutions = nn.ModuleList(
                HeteroConv({(NODE, name, NODE): GCNConv(config.dim, config.dim) for name in self._names}, aggr="sum")
                for _ in range(config.layers)
            )
        self.to(device, dtype)

    def forward(self, mask: Mask = NOTHING, dropped: Tensor | None = None) -> WholeEncoded:
        """Convolve; see `gnn.graph.encoder.GraphEncoder`."""
        base = self.layer0(mask.cold, dropped)
        ends = self.propagation.edge_indices(mask)
        edges: dict[tuple[str, str, str], Any] = {
            (NODE, name, NODE): index for name, index in zip(self._names, ends, strict=True)
        }
        x = base
        for number, convolution in enumerate(self.convolutions):
            x = convolution({NODE: x if number == 0 else x.relu()}, edges)[NODE]
        return WholeEncoded(x, base)

    def linear_parts(self, ranks: Ranks = ALONE) -> None:
        """A GCN has none: its scores do not split over neighbours."""
        return None


__all__ = ["GCN", "NODE", "GCNConfig"]
