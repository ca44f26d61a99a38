"""How long and how fast to train, whatever the model is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the trainer reads of a training's settings.

    Attributes:
        max_steps: steps at most.
        eval_every: steps between validations and checkpoints.
        patience: validations without a better one before training stops.
        learning_rate: of Adam.
        weight_decay: decoupled (AdamW): a step shrinks the weights by learning_rate * weight_decay.
    """

    max_steps: int
    eval_every: int
    patience: int
    learning_rate: float
    weight_decay: float = 0.0
