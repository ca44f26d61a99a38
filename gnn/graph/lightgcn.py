"""LightGCN (He et al., SIGIR 2020), and the same linear propagation over a heterogeneous graph with texts.

Z = sum over layers l of alpha_l A^l E with A = sum over relations r of w_r D_r^-1/2 B_r D_r^-1/2. With the interaction
relation alone, w = 1, no texts and alpha_l = 1 / (L + 1) this is LightGCN as published.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from gnn.distributed import ALONE, Ranks
from gnn.graph.embeddings import FloatArray, LinearParts
from gnn.graph.encoder import rows_of
from gnn.graph.hop import Hop
from gnn.graph.layer0 import EVERY, LayerZero, TextVectors
from gnn.graph.propagation import NOTHING, Mask, Propagation, inner_sums
from gnn.settings import LightGCNConfig
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError

FEW_EDGES = 0.3  # of all: up to this share the last hop of some nodes alone costs less than that of all


def chosen_relations(graph: KnowledgeGraph, names: tuple[str, ...] | None) -> tuple[RelationKey, ...]:
    """The relations of a graph that a model propagates along, in schema order, the interaction always among them.

    Raises:
        ConfigError: a name is no relation of the graph.
    """
    if names is None:
        return tuple(graph.edges)
    possible = {key.name for key in graph.edges}
    if unknown := [name for name in names if name not in possible]:
        raise ConfigError(
            f"relations names {', '.join(map(repr, unknown))}; the relations are {', '.join(sorted(possible))}"
        )
    return tuple(key for key in graph.edges if key.name in names or key == graph.schema.interaction_key)


class LinearEncoded:
    """One pass over the graph, with a last hop for the nodes that are asked for; see `gnn.graph.encoder.Encoded`.

    Attributes:
        base: E, (nodes, dim).
        tail, tail2: the inner sums h and g of `gnn.graph.embeddings.LinearParts`, (nodes, dim) each.
    """

    def __init__(self, hop: Hop, base: Tensor, alphas: Tensor) -> None:
        """Propagate up to the last hop.

        Args:
            hop: A.
            base: E.
            alphas: layer weights, (layers + 1,).
        """
        self._hop, self._alphas = hop, alphas
        self.base = base
        self.tail, self.tail2 = inner_sums(hop, base, alphas)

    @cached_property
    def final(self) -> Tensor:
        """Z, (nodes, dim)."""
        return torch.addcmul(self._hop(self.tail), self.base, self._alphas[0])

    def rows(self, *nodes: Tensor) -> list[Tensor]:
        """Z of some nodes; on a CPU nothing is done for the others, unless these have a large part of all edges."""
        if nodes[0].device.type == "cpu":  # choosing would wait for a GPU
            numbers = torch.cat([some.flatten() for some in nodes])
            distinct, place = numbers.unique(return_inverse=True)  # type: ignore[no-untyped-call]
            if self._hop.share(distinct) <= FEW_EDGES:
                hop = self._hop.rows(self.tail, distinct)
                last = torch.addcmul(hop, rows_of(self.base, distinct), self._alphas[0])
                parts = place.split([some.numel() for some in nodes])
                return [rows_of(last, part.view_as(some)) for part, some in zip(parts, nodes, strict=True)]
        return [rows_of(self.final, some) for some in nodes]


class LightGCN(nn.Module):
    """The linear encoder.

    Attributes:
        layer0: E.
        relation_logits: w = softmax of these, (relations,).
        layer_logits: alphas = softmax of these, (layers + 1,).
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        config: LightGCNConfig,
        *,
        features: TextVectors | None = None,
        seed: int = 0,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        columns: slice = EVERY,
    ) -> None:
        super().__init__()
        device = device or torch.device("cpu")
        keys = chosen_relations(graph, config.relations if config.knowledge == "everywhere" else ())
        if config.knowledge != "everywhere":
            features = None
        self.propagation = Propagation.of(graph, keys).to(device, dtype)
        self.layer0 = LayerZero(
            graph, config=config, relations=keys, features=features, seed=seed, dtype=dtype, columns=columns
        )
        weights = torch.full((len(keys),), (1 - config.interaction_weight) / max(len(keys) - 1, 1), dtype=dtype)
        weights[self.propagation.interaction] = config.interaction_weight if len(keys) > 1 else 1.0
        # A weight of exactly 0 has no logit.
        self.relation_logits = nn.Parameter(
            weights.clamp(min=1e-12).log(), requires_grad=config.learn_relation_weights and len(keys) > 1
        )
        self.layer_logits = nn.Parameter(
            torch.zeros(config.layers + 1, dtype=dtype), requires_grad=config.learn_layer_weights
        )
        self.to(device)

    @property
    def weights(self) -> Tensor:
        """w_r, on the simplex, (relations,)."""
        return self.relation_logits.softmax(0)

    @property
    def alphas(self) -> Tensor:
        """Layer weights, on the simplex, (layers + 1,)."""
        return self.layer_logits.softmax(0)

    def forward(self, mask: Mask = NOTHING, dropped: Tensor | None = None) -> LinearEncoded:
        """Propagate; see `gnn.graph.encoder.GraphEncoder`."""
        base = self.layer0(mask.cold, dropped)
        return LinearEncoded(self.propagation.operator(mask).bind(self.weights), base, self.alphas)

    @torch.no_grad()
    def linear_parts(self, ranks: Ranks = ALONE) -> LinearParts | None:
        """The parts of the propagation on the whole graph, float32, in the first rank; None in the others."""
        encoded = self()
        tables = [encoded.base, encoded.tail, encoded.tail2]
        if self.layer0.projection is not None:
            tables.append(self.layer0.projection)
        base, tail, tail2, *projection = (ranks.gather(table, split=True) for table in tables)
        if base is None or tail is None or tail2 is None:
            return None
        return LinearParts(
            base=to_numpy(base),
            tail=to_numpy(tail),
            tail2=to_numpy(tail2),
            alphas=to_numpy(self.alphas),
            relations=self.propagation.relations,
            weights=to_numpy(self.weights),
            text_projection=to_numpy(projection[0]) if projection and projection[0] is not None else None,
        )


def to_numpy(tensor: Tensor) -> FloatArray:
    """A copy on the CPU, float32."""
    result: FloatArray = tensor.detach().to("cpu", torch.float32).numpy().astype(np.float32, copy=True)
    return result


__all__ = ["LightGCN", "LightGCNConfig", "chosen_relations", "to_numpy"]
