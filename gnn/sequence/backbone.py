"""From the vectors of items in order to a state at each place, and which file has which model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from gnn.sampling import Stream, seeded
from gnn.sequence.padding import Block
from gnn.sequence.preparation import NextItem, Preparator
from gnn.sequence.settings import SequenceConfig
from gnn.sequence.times import TimeVectors


class Backbone(nn.Module, ABC):
    """A sequence model between the vectors of the items that it reads and those that it is compared with.

    The score of an item after a place is the inner product of the place's state and the item's vector.

    Attributes:
        name: of the model.
        preparator: how it reads histories.
        times: vectors of when the items came, or None.
    """

    name: ClassVar[str]
    preparator: Preparator

    def __init__(self, config: Any) -> None:
        """Make the layers; torch's own generator draws their weights."""
        super().__init__()
        self.preparator = NextItem()
        self.times = TimeVectors(config) if config.time_parts else None

    @classmethod
    def started(cls, config: SequenceConfig, *, seed: int, device: torch.device, dtype: torch.dtype) -> Self:
        """An untrained one, whose weights depend on the seed alone."""
        with seeded(torch.device("cpu"), seed=seed, step=0, stream=Stream.LAYERS):
            made = cls(config)
        return made.to(device, dtype)

    def read(self, vectors: Tensor, block: Block) -> Tensor:
        """The state at each place of a block, (rows, length, dim).

        Args:
            vectors: of the items, zero where there is none, (rows, length, dim).
            block: items and times.
        """
        states: Tensor = self(vectors if self.times is None else vectors + self.times(block), block.items)
        return states

    @abstractmethod
    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """The state at each place.

        Args:
            vectors: of the items and of their times, (rows, length, dim).
            items: positions, `padding.PAD` or `padding.MASK`, int64 (rows, length).

        Returns:
            (rows, length, dim); what stands at the places of the padding means nothing.
        """
