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
        last_rate: share of the learning rate that is left at `max_steps`; it falls by the same amount every step.
    """

    max_steps: int
    eval_every: int
    patience: int
    learning_rate: float
    weight_decay: float = 0.0
    last_rate: float = 1.0

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        return self.learning_rate * (1 - (1 - self.last_rate) * step / self.max_steps)
