"""The items that the targets of a batch are compared with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnn.sampling import NegativeSampler, Stream, permutation
from gnn.sequence.settings import SequenceTraining
from kg.arrays import IntArray


class Negatives(NamedTuple):
    """Of one step.

    Attributes:
        items: positions, int64 (m,).
        log_q: log of the probability that one draw gives each of them, (m,); None where they are not drawn.
        rate: share of the items of the training that they are, as gBCE needs it.
    """

    items: Tensor
    log_q: Tensor | None
    rate: float


class NegativeItems:
    """Negatives by the configured rule, as a function of seed and step.

    An item that is in no example of the training is no negative either: it would only ever be pushed away.
    """

    def __init__(
        self,
        targets: IntArray,
        seen: npt.NDArray[np.bool_],
        training: SequenceTraining,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        """Prepare it.

        Args:
            targets: how often each item is a target of the training, int64 (items,).
            seen: items that are in examples at all, bool (items,).
            training: the rule, and the number of negatives.
            seed: of the training.
            device: of the positions.
        """
        self._training, self._seed = training, seed
        allowed = np.flatnonzero(seen)
        self._all = torch.from_numpy(allowed).to(device)
        power = 0.0 if training.sampling == "uniform" else 1.0
        self._sampler = NegativeSampler(targets, power=power, allowed=allowed, device=device)

    def __call__(self, targets: Tensor, step: int) -> Negatives:
        """The negatives of a step.

        Args:
            targets: of the batch, int64 (m,).
            step: of the training.
        """
        wanted = self._training.negatives
        if self._training.sampling == "in_batch":
            items = targets
            if 0 < wanted < len(targets):
                places = torch.arange(len(targets), device=targets.device)
                items = targets[permutation(places, seed=self._seed, step=step, stream=Stream.NEGATIVES)[:wanted]]
        elif wanted == 0:
            return Negatives(self._all, None, 1.0)
        else:
            items = self._sampler(wanted, seed=self._seed, step=step, stream=Stream.NEGATIVES)
        return Negatives(items, self._sampler.log_q[items], min(len(items) / max(len(self._all), 1), 1.0))
