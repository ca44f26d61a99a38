"""Hyper-parameters of the sequence models; they are apart from what uses them, so that no torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kg.settings import Settings

ItemPart = Literal["id", "text", "knowledge"]
TimePart = Literal["gap", "age"]


class SequenceConfig(Settings):
    """What all sequence models have."""

    dim: int = Field(default=64, ge=1, description="Columns of every vector.")
    max_length: int = Field(
        default=50, ge=1, description="Items of a history that are read: the latest ones. Older ones are left out."
    )
    item_parts: tuple[ItemPart, ...] = Field(
        default=("id", "text", "knowledge"),
        min_length=1,
        description='What the vector of an item is the sum of: "id", an embedding of its own; "text", its projected '
        'text vector; "knowledge", embeddings of the nodes it is joined to. An item that no training has seen has a '
        "vector by the last two.",
    )
    relations: tuple[str, ...] | None = Field(
        default=None,
        description='Names of the relations that "knowledge" reads, from items to nodes that are neither items nor '
        "users. Default: all of these.",
    )
    time_parts: tuple[TimePart, ...] = Field(
        default=(),
        description='What is read of the times: "gap", how long an item came after the one before it; "age", how long '
        "after the first one that is read. They need interactions with times; items of a request have none, and are "
        "read without.",
    )
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of the values left out at random in training.")
    init_scale: float = Field(default=0.02, gt=0, description="Standard deviation of the embeddings at the start.")

    @model_validator(mode="after")
    def _each_part_once(self) -> Self:
        for name in ("item_parts", "time_parts"):
            parts = getattr(self, name)
            if twice := [part for part in parts if parts.count(part) > 1]:
                raise ValueError(f"{name} names {twice[0]!r} twice")
        return self


class TransformerConfig(SequenceConfig):
    """What the Transformers have."""

    blocks: int = Field(default=2, ge=1, description="Transformer blocks.")
    heads: int = Field(default=1, ge=1, description="Attention heads of each block; they share its columns.")
    feed_forward: int = Field(
        default=4, ge=1, description="Size of the inner layer of each block, as a multiple of dim."
    )

    @model_validator(mode="after")
    def _heads_share_the_columns(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be divided among heads = {self.heads}: choose a multiple of it")
        return self


class SASRecConfig(TransformerConfig):
    """Hyper-parameters of SASRec."""

    section: ClassVar[str] = "channels.sasrec"

    feed_forward: int = Field(
        default=1,
        ge=1,
        description="Size of the inner layer of each block, as a multiple of dim. 1 is the paper's; 4, as in other "
        "Transformers, takes a third longer.",
    )


class BERT4RecConfig(TransformerConfig):
    """Hyper-parameters of BERT4Rec."""

    section: ClassVar[str] = "channels.bert4rec"

    max_length: int = Field(
        default=50,
        ge=2,
        description="Items of a history that are read, the latest ones, and one more that stands for the next. Older "
        "ones are left out.",
    )
    hidden_share: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share of the items that are hidden in training, to be answered; the last one always is.",
    )


class GRU4RecConfig(SequenceConfig):
    """Hyper-parameters of GRU4Rec."""

    section: ClassVar[str] = "channels.gru4rec"

    layers: int = Field(default=1, ge=1, description="GRU layers, one upon the other.")


class NARMConfig(SequenceConfig):
    """Hyper-parameters of NARM."""

    section: ClassVar[str] = "channels.narm"

    layers: int = Field(default=1, ge=1, description="GRU layers, one upon the other.")


class SequenceTraining(Settings):
    """How a sequence model is trained."""

    section: ClassVar[str] = "training"

    loss: Literal["softmax", "gbce", "bpr", "bpr_max"] = Field(
        default="softmax",
        description="Loss of a step: softmax (cross-entropy), gBCE (calibrated binary cross-entropy), BPR, or BPR-max.",
    )
    negatives: int = Field(
        default=1024,
        ge=0,
        description="Items that the targets of a step are compared with, shared by the batch. 0: all items of the "
        "training, or all targets of the batch.",
    )
    sampling: Literal["uniform", "popularity", "in_batch"] = Field(
        default="uniform",
        description="Where they are drawn from: all items of the training alike, by popularity, or the other targets "
        "of the batch.",
    )
    log_q: bool = Field(
        default=True, description="Correct the softmax for the distribution that the negatives are drawn from."
    )
    temperature: float = Field(default=1.0, gt=0, description="Divisor of the scores in the softmax.")
    gbce_calibration: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="gBCE: 0 is plain binary cross-entropy, 1 undoes all of the overconfidence that sampling causes.",
    )
    bpr_max_penalty: float = Field(
        default=1.0, ge=0, description="BPR-max: weight of the squared scores of the negatives."
    )
    batch_size: int = Field(default=128, ge=1, description="Users a step, each with the latest items.")
    learning_rate: float = Field(default=0.001, gt=0, description="Learning rate of Adam.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled weight decay (AdamW): a step shrinks by learning_rate * weight_decay."
    )
    max_steps: int = Field(default=10_000, ge=1, description="Steps at most.")
    last_rate: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the learning rate that is left at max_steps; it falls by the same amount every step. 1: "
        "it stays. 0 suits trainings whose number of steps is known before, such as what the time allows.",
    )
    eval_every: int = Field(default=200, ge=1, description="Steps between two validations, each with a checkpoint.")
    patience: int = Field(default=10, ge=1, description="Validations without a better one before training stops.")
    validation_users: int = Field(
        default=10_000,
        ge=1,
        description="Users that a validation during training ranks for, at most; a seeded choice.",
    )

    def continued(self, *, max_steps: int, learning_rate: float, recipe: Mapping[str, Any]) -> Self:
        """The settings of a training that goes on from an earlier one; see `gnn.settings.TrainingConfig.continued`."""
        return self.changed(max_steps=max_steps, learning_rate=learning_rate)
