"""Hyper-parameters: of each model, and of how it is trained.

They are apart from what uses them, so that a configuration is read without importing torch: that takes longer than all
that a refresh does which finds nothing changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

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
            touched afterwards (gnn.graph.cold_start); the rest of the model is as if they were not there.
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
        check_above_zero("model", self, "init_scale", "text_scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class GCNConfig:
    """Hyper-parameters of the GCN.

    Attributes:
        dim: columns of every vector.
        layers: convolutions, at least 1, with a ReLU between them.
        relations: as in `LightGCNConfig`.
        text: add projected text vectors, where there are any.
        knowledge_degree: edges from which on a node that is neither user nor item has a free embedding. A person of one
            film alone would learn that film by heart: a second free embedding, which simulated cold start leaves in.
        text_scale: factor of the text vectors. Every text moves with each step of all rows of the projection, so that
            texts taken whole learn an order of magnitude faster than free embeddings, and overfit.
        user_embedding: give users a free embedding.
        init_scale: standard deviation of the embeddings' start.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dim: int = 64
    layers: int = 2
    relations: tuple[str, ...] | None = None
    text: bool = True
    text_scale: float = 0.1
    user_embedding: bool = True
    knowledge_degree: int = 20
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        check_at_least("model", self, 1, "dim", "layers", "knowledge_degree")
        check_above_zero("model", self, "init_scale", "text_scale")


ModelConfig = LightGCNConfig | GCNConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        loss: "softmax" or "bpr".
        similarity: what the softmax compares, "cosine" or "dot" (BPR is always the dot product).
        temperature: the softmax's divisor.
        learn_temperature: train it, from that start.
        negatives: items drawn for each step, shared by the batch; 0: all items compete (full softmax).
        negative_power: negatives are drawn by popularity to this power, 0 is uniform.
        log_q: correct the softmax for what the negatives were drawn from.
        touched_only: only items with a positive interaction compete as negatives.
        batch_size: positive pairs a step.
        whole_users: shuffle users, not pairs: a batch holds all pairs of its users. They share the scores of the
            negatives, so that a batch of four times the pairs costs about half; where there are many users.
        learning_rate: of Adam.
        weight_decay: decoupled (AdamW), a step's shrinkage is learning_rate * weight_decay.
        l2: weight of the L2 term on the layer-0 embeddings of the batch, as in the LightGCN paper.
        node_dropout: share of the nodes whose free embedding is left out of a step.
        drop_batch_edges: take the batch's own positive edges out of the step: each is an edge of A as well.
        cold_weight: weight of the second pass, in which items are made to look cold; 0 leaves it out, as does a model
            with neither texts nor knowledge to place them by.
        cold_fraction: share of the items that are cold in the second pass of a step.
        cold_ridge: with `model.knowledge = "cold_items"`: penalty of the regression that places untouched items.
        cold_attributes: variance of an attribute's vector there, that of a text's coordinate being 1.
        cold_reliability: a touched item weighs its interactions to this power there.
        cold_cost: share of recall@20 on validation that the placed items may cost; it sets their factor.
        max_steps: steps at most.
        eval_every: steps between validations and checkpoints.
        patience: validations without a better one before training stops.
        betas: popularity exponents to choose from on validation (0 cosine, 1 dot product).
        priors: weights of the items' popularity to choose from as well (gnn.graph.embeddings.item_prior), each with the
            cosine.
        validation_users: users that a validation during training ranks for, at most; a seeded choice.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    loss: Literal["softmax", "bpr"] = "softmax"
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = 0.1
    learn_temperature: bool = False
    negatives: int = 1024
    negative_power: float = 0.0
    log_q: bool = True
    touched_only: bool = False
    batch_size: int = 2048
    whole_users: bool = False
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    l2: float = 0.0
    node_dropout: float = 0.0
    drop_batch_edges: bool = False
    cold_weight: float = 0.5
    cold_fraction: float = 1 / 3
    cold_ridge: float = 2.0
    cold_attributes: float = 0.03
    cold_reliability: float = 0.25
    cold_cost: float = 0.0075
    max_steps: int = 240
    eval_every: int = 20
    patience: int = 5
    betas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    priors: tuple[float, ...] = (0.04, 0.08, 0.12, 0.16)
    validation_users: int = 10_000

    def __post_init__(self) -> None:
        for name, allowed in (("loss", ("softmax", "bpr")), ("similarity", ("cosine", "dot"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"training.{name} = {getattr(self, name)!r} is unknown: use {' or '.join(allowed)}")
        check_at_least("training", self, 1, "batch_size", "max_steps", "eval_every", "patience", "validation_users")
        check_at_least("training", self, 0, "negatives", "negative_power", "weight_decay", "l2", "cold_weight")
        check_at_least("training", self, 0, "cold_reliability", "cold_cost")
        check_above_zero("training", self, "temperature", "learning_rate", "cold_ridge", "cold_attributes")
        for name in ("node_dropout", "cold_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"training.{name} = {getattr(self, name)} must be at least 0 and below 1")
        if self.whole_users and self.drop_batch_edges:
            raise ConfigError(
                "training.whole_users and training.drop_batch_edges together leave the users of a batch without any "
                "edge: choose one"
            )
        if not all(math.isfinite(beta) for beta in self.betas):
            raise ConfigError(f"training.betas = {self.betas} must be finite numbers")
        if not self.betas and not self.priors:
            raise ConfigError("training.betas and training.priors are both empty: name at least one way to rank")
        if not all(prior > 0 and math.isfinite(prior) for prior in self.priors):
            raise ConfigError(f"training.priors = {self.priors} must be numbers above 0; () for none")


def check_above_zero(section: str, config: object, *names: str) -> None:
    """Refuse what is not a finite number above 0, naming the key.

    Raises:
        ConfigError: the first value out of range.
    """
    for name in names:
        value = getattr(config, name)
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"{section}.{name} = {value} must be above 0")


def check_at_least(section: str, config: object, minimum: float, *names: str) -> None:
    """Refuse values below a minimum, and what is no number, naming the key.

    Raises:
        ConfigError: the first value out of range.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not (value >= minimum and math.isfinite(value)):
            raise ConfigError(f"{section}.{name} = {value} must be at least {minimum:g}")
