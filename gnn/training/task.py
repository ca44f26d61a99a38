"""What the trainer needs from a model with weights, whatever the model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gnn.distributed import Ranks

Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Weight:
    """A trained parameter, and how several ranks hold it.

    Attributes:
        value: what the optimiser updates.
        split: each rank holds some of the columns (the last dimension), and its own gradient. Otherwise each rank holds
            all of it, and the gradients of the ranks are added.
    """

    value: nn.Parameter
    split: bool = False

    def gather(self, tensor: Tensor, ranks: Ranks) -> Tensor | None:
        """All columns of a tensor that is held as this weight is, on the CPU of the first rank; None in the others."""
        return ranks.gather(tensor, split=self.split)

    def scatter(self, whole: Tensor | None, ranks: Ranks) -> Tensor:
        """This rank's part of a tensor, on the device of the weight.

        Args:
            whole: with all columns, in the first rank; None in the others.
            ranks: of the training.
        """
        return ranks.scatter(whole, self.value, split=self.split).to(self.value.device)

    @torch.no_grad()
    def assign(self, part: Tensor) -> None:
        """Set the weight to this rank's part of a tensor."""
        self.value.copy_(part)


@dataclass(frozen=True, slots=True)
class Measured:
    """One validation.

    Attributes:
        metric: name of the value that decides which step is the best; higher is better.
        values: metric -> mean; they go into the log.
        choices: what was chosen on validation and belongs to the weights of this step, such as an exponent.
    """

    metric: str
    values: Mapping[str, float]
    choices: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The value that decides."""
        return self.values[self.metric]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training; the weights of the task are those of `steps`.

    Attributes:
        steps: the best step where there was a validation, else the last one.
        seconds: of the whole training, also of what came before a resume.
        history: one entry a validation, as in the log.
        best: the best validation, or None without any.
    """

    steps: int
    seconds: float
    history: Sequence[Mapping[str, Any]]
    best: Measured | None


class TrainingTask(Protocol[Result]):
    """A model, its data, and what is minimised.

    The trainer owns the loop: optimiser, early stopping, checkpoints, resume, guard against divergence, log, ranks. A
    task draws every random number from (seed, step), so that a resumed training, or one of another number of ranks,
    gives the same result (gnn.sampling).
    """

    def parameters(self) -> Mapping[str, Weight]:
        """The weights to train, by a name that stays the same in later trainings; always the same objects."""

    def loss(self, step: int) -> Tensor:
        """The loss of a step (from 0), a number with a gradient; the sum over all ranks is the loss of the step."""

    def validate(self) -> Measured | None:
        """Measure the weights as they are, the same numbers in all ranks; None where there is nothing to measure on."""

    def result(self, outcome: Outcome) -> Result | None:
        """What was trained, in the first rank; None in the others. All ranks call it, at the end."""

    def fingerprint(self) -> str:
        """Digest of data, model, loss and start: the trainer resumes no checkpoint of another digest.

        Only the first rank calls it, and only where checkpoints are written.
        """

    def advice(self) -> Sequence[str]:
        """What may help against divergence beside a lower learning rate, each with the value of now."""
