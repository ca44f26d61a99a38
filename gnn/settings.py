"""Hyper-parameters: of each model, and of how it is trained.

They are apart from what uses them, so that a configuration is read without importing torch: that takes longer than a
whole refresh that finds nothing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kg.settings import Settings

_RELATIONS = (
    "Names of the relations to propagate along, beside the interactions, which always are one of them. Default: all. "
    "An empty list: the interactions alone, LightGCN as published."
)
_TEXT = "Add projected text vectors to the node vectors, where there are texts."
_TEXT_SCALE = (
    "Factor of the text vectors. Every text moves with each step of all rows of the projection, so at full size texts "
    "learn an order of magnitude faster than free embeddings, and overfit."
)
_KNOWLEDGE_DEGREE = (
    "Edges from which on a node that is neither user nor item has a free embedding. A node with a single edge would "
    "only be a second embedding of the item at its other end."
)


class LightGCNConfig(Settings):
    """Hyper-parameters of the linear model."""

    section: ClassVar[str] = "channels.lightgcn"

    dim: int = Field(default=64, ge=1, description="Columns of every vector.")
    layers: int = Field(default=2, ge=1, description="Number of propagation steps (hops).")
    relations: tuple[str, ...] | None = Field(default=None, description=_RELATIONS)
    interaction_weight: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Weight of the interactions at the start; the other relations share the rest equally.",
    )
    learn_relation_weights: bool = Field(
        default=True, description="Train the relation weights (softmax), or leave them as they start."
    )
    learn_layer_weights: bool = Field(
        default=False, description="Train the layer weights (softmax), or leave them at 1 / (layers + 1)."
    )
    text: bool = Field(default=True, description=_TEXT)
    knowledge: Literal["everywhere", "cold_items"] = Field(
        default="everywhere",
        description='Where texts and the relations beside the interactions act. "everywhere": on all nodes, during the '
        'whole training. "cold_items": training uses the interactions alone; texts and relations then place the items '
        "that nobody has touched, and the rest of the model is as if they were not there.",
    )
    text_scale: float = Field(default=0.1, gt=0, description=_TEXT_SCALE)
    user_embedding: bool = Field(
        default=True,
        description="Give users a free embedding. Without, a user is only the sum of the history.",
    )
    knowledge_degree: int = Field(default=20, ge=1, description=_KNOWLEDGE_DEGREE)
    init_scale: float = Field(default=0.1, gt=0, description="Standard deviation of the embeddings at the start.")


class GCNConfig(Settings):
    """Hyper-parameters of the GCN."""

    section: ClassVar[str] = "channels.gcn"

    dim: int = Field(default=64, ge=1, description="Columns of every vector.")
    layers: int = Field(default=2, ge=1, description="Number of convolutions, with a ReLU between them.")
    relations: tuple[str, ...] | None = Field(default=None, description=_RELATIONS)
    text: bool = Field(default=True, description=_TEXT)
    text_scale: float = Field(default=0.1, gt=0, description=_TEXT_SCALE)
    user_embedding: bool = Field(default=True, description="Give users a free embedding.")
    knowledge_degree: int = Field(default=20, ge=1, description=_KNOWLEDGE_DEGREE)
    init_scale: float = Field(default=0.1, gt=0, description="Standard deviation of the embeddings at the start.")


ModelConfig = LightGCNConfig | GCNConfig


class TrainingConfig(Settings):
    """How a model is trained."""

    section: ClassVar[str] = "training"

    loss: Literal["softmax", "bpr"] = Field(
        default="softmax", description="Loss of a step: sampled softmax, or Bayesian personalised ranking (BPR)."
    )
    similarity: Literal["cosine", "dot"] = Field(
        default="cosine", description="What the softmax compares; BPR always takes the dot product."
    )
    temperature: float = Field(default=0.1, gt=0, description="Divisor of the scores in the softmax.")
    learn_temperature: bool = Field(default=False, description="Train the temperature, from that start.")
    negatives: int = Field(
        default=1024,
        ge=0,
        description="Items drawn as negatives for each step, shared by the batch. 0: all items (full softmax).",
    )
    negative_power: float = Field(
        default=0.0, ge=0, description="Negatives are drawn by popularity to this power; 0 is uniform."
    )
    log_q: bool = Field(
        default=True, description="Correct the softmax for the distribution that the negatives are drawn from."
    )
    touched_only: bool = Field(default=False, description="Only items with a positive interaction are negatives.")
    batch_size: int = Field(default=2048, ge=1, description="Positive pairs (user, item) a step.")
    whole_users: bool = Field(
        default=False,
        description="Shuffle users, not pairs: a batch holds all pairs of its users, who share the scores of the "
        "negatives. A batch of four times the pairs then costs about half; for data with many users.",
    )
    learning_rate: float = Field(default=0.01, gt=0, description="Learning rate of Adam.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled weight decay (AdamW): a step shrinks by learning_rate * weight_decay."
    )
    l2: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the L2 term on the layer-0 embeddings of the batch, as in the LightGCN paper.",
    )
    node_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the nodes whose free embedding is left out of a step."
    )
    drop_batch_edges: bool = Field(
        default=False,
        description="Take the positive edges of the batch out of the graph for the step, because each of them is also "
        "an edge to propagate along.",
    )
    cold_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight of the second pass, in which some items are treated as if nobody had touched them. 0 "
        "leaves it out, as does a model with neither texts nor relations to place such items by.",
    )
    cold_fraction: float = Field(
        default=1 / 3, ge=0, lt=1, description="Share of the items that are treated as untouched in the second pass."
    )
    cold_ridge: float = Field(
        default=2.0,
        gt=0,
        description='With knowledge = "cold_items": penalty of the ridge regression that places untouched items.',
    )
    cold_attributes: float = Field(
        default=0.03,
        gt=0,
        description="Prior variance of an attribute's vector in that regression; that of a text coordinate is 1.",
    )
    cold_reliability: float = Field(
        default=0.25,
        ge=0,
        description="A touched item counts with its number of interactions to this power in that regression.",
    )
    cold_cost: float = Field(
        default=0.0075,
        ge=0,
        description="Share of the recall@20 on validation that the placed items may cost; it sets their factor.",
    )
    max_steps: int = Field(default=240, ge=1, description="Steps at most.")
    eval_every: int = Field(default=20, ge=1, description="Steps between two validations, each with a checkpoint.")
    patience: int = Field(default=5, ge=1, description="Validations without a better one before training stops.")
    betas: tuple[float, ...] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0),
        description="Popularity exponents of the score to choose from on validation (0: cosine, 1: dot product).",
    )
    priors: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.04, 0.08, 0.12, 0.16),
        description="Weights of the items' popularity to choose from as well, each with the cosine; an empty list for "
        "none.",
    )
    validation_users: int = Field(
        default=10_000,
        ge=1,
        description="Users that a validation during training ranks for, at most; a seeded choice.",
    )

    def continued(self, *, max_steps: int, learning_rate: float, recipe: Mapping[str, Any]) -> Self:
        """The settings of a training that goes on from an earlier one for a few steps.

        How popularity enters the score stays as it was: what is best after a few steps changes with every draw.

        Args:
            max_steps: steps to take.
            learning_rate: at which rate.
            recipe: what the earlier training chose: `beta` and `prior`, the popularity exponent and weight.
        """
        prior, beta = recipe.get("prior", 0.0), recipe.get("beta", 0.0)
        return self.changed(
            max_steps=max_steps,
            learning_rate=learning_rate,
            betas=() if prior else (beta,),
            priors=(prior,) if prior else (),
        )

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if self.whole_users and self.drop_batch_edges:
            raise ValueError(
                "whole_users and drop_batch_edges together leave the users of a batch without any edge: choose one"
            )
        if not self.betas and not self.priors:
            raise ValueError("betas and priors are both empty: name at least one way to rank")
        return self
