"""LightGCN (He et al., SIGIR 2020), and the same linear propagation over a heterogeneous graph with texts.

Z = sum over layers l of alpha_l A^l E with A = sum over relations r of w_r D_r^-1/2 B_r D_r^-1/2. With the interaction
relation alone, w = 1, no texts and alpha_l = 1 / (L + 1) this is LightGCN as published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gnn.distributed import ALONE, Ranks
from gnn.embeddings import FloatArray, LinearParts
from gnn.encoder import Encoded
from gnn.layer0 import EVERY, LayerZero, TextVectors
from gnn.propagation import NOTHING, Mask, Propagation, horner
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGCNConfig:
    """Hyper-parameters of the linear model.

    Attributes:
        dim: columns of every vector.
        layers: hops, at least 1.
        relations: names of the relations to propagate along, the interaction always being one of them; None: all;
            (): the interaction alone, LightGCN as published.
        interaction_weight: weight of the interaction relation at the start; the others share the rest equally.
        learn_relation_weights: train the weights (softmax) or leave them as they start.
        learn_layer_weights: train the alphas (softmax) or leave them at 1 / (layers + 1).
        text: add projected text vectors, where there are any.
        knowledge: where texts and the relations beside the interaction act. "everywhere": on all nodes, all through
            training. "cold_items": training is of the interactions alone, and they place the items that nobody has
            touched afterwards (gnn.cold_start); the rest of the model is as if they were not there.
        knowledge_degree: edges from which on a node that is neither user nor item has a free embedding. A person of one
            film alone would learn that film by heart: a second free embedding, which simulated cold start leaves in.
        text_scale: factor of the text vectors. Every text moves with each step of all rows of the projection, so that
            texts taken whole learn an order of magnitude faster than free embeddings, and overfit.
        user_embedding: give users a free embedding; without, a user is only the sum of the history.
        init_scale: standard deviation of the start.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dim: int = 64
    layers: int = 2
    relations: tuple[str, ...] | None = None
    interaction_weight: float = 0.8
    learn_relation_weights: bool = True
    learn_layer_weights: bool = False
    text: bool = True
    knowledge: Literal["everywhere", "cold_items"] = "everywhere"
    text_scale: float = 0.1
    user_embedding: bool = True
    knowledge_degree: int = 20
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        check_at_least("model", self, 1, "dim", "layers", "knowledge_degree")
        if self.knowledge not in ("everywhere", "cold_items"):
            raise ConfigError(f"model.knowledge = {self.knowledge!r} is unknown: use 'everywhere' or 'cold_items'")
        if not 0 < self.interaction_weight <= 1:
            raise ConfigError(f"model.interaction_weight = {self.interaction_weight} must be above 0 and at most 1")
        for name in ("init_scale", "text_scale"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"model.{name} = {getattr(self, name)} must be above 0")


def check_at_least(section: str, config: object, minimum: float, *names: str) -> None:
    """Refuse values below a minimum, and what is no number, naming the key.

    Raises:
        ConfigError: the first value out of range.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not (value >= minimum and math.isfinite(value)):
            raise ConfigError(f"{section}.{name} = {value} must be at least {minimum:g}")


def chosen_relations(graph: KnowledgeGraph, names: tuple[str, ...] | None) -> tuple[RelationKey, ...]:
    """The relations of a graph that a model propagates along, in schema order, the interaction always among them.

    Raises:
        ConfigError: a name is no relation of the graph.
    """
    if names is None:
        return tuple(graph.edges)
    known = {key.name for key in graph.edges}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"model.relations names {', '.join(map(repr, unknown))}; the relations are {', '.join(sorted(known))}"
        )
    return tuple(key for key in graph.edges if key.name in names or key == graph.schema.interaction_key)


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
        # A weight of exactly 0 has no logit; this one is as good as 0.
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

    def forward(self, mask: Mask = NOTHING, dropped: Tensor | None = None) -> Encoded:
        """Propagate; see `gnn.encoder.Encoder`."""
        base = self.layer0(mask.cold, dropped)
        final, tail, tail2 = horner(self.propagation.operator(mask), base, self.weights, self.alphas)
        return Encoded(final, base, tail, tail2)

    @torch.no_grad()
    def linear_parts(self, ranks: Ranks = ALONE) -> LinearParts | None:
        """The pieces of the propagation on the whole graph, float32; of several ranks the first gets them."""
        encoded = self()
        tables = [encoded.base, encoded.tail, encoded.tail2]
        if self.layer0.projection is not None:
            tables.append(self.layer0.projection)
        base, tail, tail2, *projection = (ranks.gather(table) for table in tables)
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
    """float32 on the CPU."""
    result: FloatArray = tensor.detach().to("cpu", torch.float32).numpy().astype(np.float32, copy=True)
    return result
