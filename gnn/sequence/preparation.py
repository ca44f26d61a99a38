"""Histories into examples: what a model reads, at which places it answers, and which items it should answer with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnn.sequence.padding import Block, latest, padded
from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import InvalidDataError
from kg.history import InteractionHistory


def liked_sequences(history: InteractionHistory, users: IntArray) -> RaggedArray:
    """What some users liked, oldest first and with repeats; order without times is that of `kg.history`.

    Args:
        history: of all users.
        users: positions, (n,); -1 gives an empty row.
    """
    events = history.sequence(users)
    events = events.select(events.positive & (events.kinds == 0))
    return RaggedArray(events.offsets, events.values)


def training_windows(sequences: RaggedArray, max_length: int) -> RaggedArray:
    """The part of each sequence that is trained on: the last `max_length` inputs and their targets.

    Somebody with a single item gives nothing to learn, and has no row.

    Raises:
        InvalidDataError: nobody has two items.
    """
    windows = latest(sequences, max_length + 1)
    windows = windows.take(np.flatnonzero(windows.counts > 1))
    if not len(windows):
        raise InvalidDataError(
            "no user likes two items, so that there is no next item to learn: check the positive rule and the split"
        )
    return windows


def with_vectors(histories: RaggedArray, described: npt.NDArray[np.bool_]) -> RaggedArray:
    """Histories without the items that are not described, bool (items,)."""
    there = described[histories.values]
    return RaggedArray.from_grouped(histories.rows()[there], histories.values[there], num_rows=len(histories))


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


class Preparator(Protocol):
    """How a kind of model reads histories."""

    def examples(self, windows: RaggedArray, *, seed: int, step: int, device: torch.device) -> Examples:
        """The examples of some windows of `training_windows`.

        Args:
            windows: of a batch, (n,) lists.
            seed: of the training, for what is chosen at random.
            step: of the training.
            device: of the tensors.
        """

    def requests(self, histories: RaggedArray, max_length: int) -> RaggedArray:
        """What the model reads of histories to say what comes next: its answer is the state at the last place."""


class NextItem:
    """Each place of a window answers with the item after it."""

    def examples(self, windows: RaggedArray, *, seed: int, step: int, device: torch.device) -> Examples:
        """See `Preparator`; nothing is random."""
        blocks, answered, targets = [], [], []
        for block in padded(windows, device):
            inputs = Block(block.rows, block.items[:, :-1], block.lengths - 1)
            at = torch.arange(inputs.items.shape[1], device=device) < inputs.lengths[:, None]
            blocks.append(inputs)
            answered.append(at)
            targets.append(block.items[:, 1:][at])
        return Examples(blocks, answered, torch.cat(targets))

    def requests(self, histories: RaggedArray, max_length: int) -> RaggedArray:
        """The latest items."""
        return latest(histories, max_length)
