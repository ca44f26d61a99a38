"""Histories into examples: what a model reads, at which places it answers, and which items it should answer with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gnn.distributed import Ranks
from gnn.sequence.histories import Histories
from gnn.sequence.padding import Block, padded
from kg.errors import InvalidDataError


def training_windows(sequences: Histories, max_length: int) -> Histories:
    """The part of each sequence that is trained on: the last `max_length` inputs and their targets.

    Somebody with a single item gives nothing to learn, and has no row.

    Raises:
        InvalidDataError: nobody has two items.
    """
    windows = sequences.latest(max_length + 1)
    windows = windows.take(np.flatnonzero(windows.counts > 1))
    if not len(windows):
        raise InvalidDataError(
            "no user likes two items, so that there is no next item to learn: check the positive rule and the split"
        )
    return windows


class Examples(NamedTuple):
    """A batch.

    Attributes:
        blocks: what the model reads.
        answered: the places of each block where it answers, bool (rows, length).
        targets: the items that it should answer with, block by block and row by row, int64 (m,).
    """

    blocks: Sequence[Block]
    answered: Sequence[Tensor]
    targets: Tensor

    def share(self, ranks: Ranks) -> Examples:
        """The part of one of several ranks: some rows of each block, and their targets."""
        if ranks.count == 1:
            return self
        blocks, answered, targets, start = [], [], [], 0
        for block, at in zip(self.blocks, self.answered, strict=True):
            rows = ranks.share(len(at))
            bounds = functional.pad(at.sum(dim=1).cumsum(0), (1, 0)) + start
            start = int(bounds[-1])
            if rows.start < rows.stop:
                blocks.append(Block(block.rows[rows], block.items[rows], block.times[rows], block.lengths[rows]))
                answered.append(at[rows])
                targets.append(self.targets[bounds[rows.start] : bounds[rows.stop]])
        return Examples(blocks, answered, torch.cat(targets) if targets else self.targets[:0])


class Preparator(Protocol):
    """How a kind of model reads histories."""

    def examples(self, windows: Histories, *, seed: int, step: int, device: torch.device) -> Examples:
        """The examples of some windows of `training_windows`.

        Args:
            windows: of a batch, (n,) lists.
            seed: of the training, for what is chosen at random.
            step: of the training.
            device: of the tensors.
        """

    def requests(self, histories: Histories, max_length: int) -> Histories:
        """What the model reads of histories to say what comes next: its answer is the state at the last place."""


class NextItem:
    """Each place of a window answers with the item after it."""

    def examples(self, windows: Histories, *, seed: int, step: int, device: torch.device) -> Examples:
        """See `Preparator`; nothing is random."""
        blocks, answered, targets = [], [], []
        for block in padded(windows, device):
            inputs = Block(block.rows, block.items[:, :-1], block.times[:, :-1], block.lengths - 1)
            at = torch.arange(inputs.items.shape[1], device=device) < inputs.lengths[:, None]
            blocks.append(inputs)
            answered.append(at)
            targets.append(block.items[:, 1:][at])
        return Examples(blocks, answered, torch.cat(targets))

    def requests(self, histories: Histories, max_length: int) -> Histories:
        """The latest items."""
        return histories.latest(max_length)
