"""Vectors of when an item came: how long after the one before it, and how long after the first that is read.

Seconds fall into classes by powers of two, from less than a second to a century: what tells a minute from an hour tells
nothing of two years.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.sequence.padding import Block
from gnn.sequence.settings import SequenceConfig
from kg.interactions import NO_TIME

CLASSES = 33


class TimeVectors(nn.Module):
    """A vector for each class of each part of the configuration, added to those of the items.

    Where one of the two times is unknown, as of what comes with a request, the vector is zero.
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self._parts = config.time_parts
        self.classes = nn.Parameter(torch.randn(len(self._parts), CLASSES, config.dim) * config.init_scale)

    def forward(self, block: Block) -> Tensor:
        """The sum of the parts, (rows, length, dim).

        Args:
            block: what is read.
        """
        times = block.times
        since = {"gap": torch.cat([times[:, :1], times[:, :-1]], dim=1), "age": times[:, :1].expand_as(times)}
        parts = [self._since(times, since[part], number) for number, part in enumerate(self._parts)]
        return torch.stack(parts).sum(dim=0)

    def _since(self, times: Tensor, before: Tensor, number: int) -> Tensor:
        unknown = (times == NO_TIME) | (before == NO_TIME)
        seconds = (times - before).masked_fill(unknown, 0).clamp(min=0)
        # A double holds every whole number of seconds that there is a class for.
        power = (seconds + 1).double().log2().long().clamp(max=CLASSES - 1)
        return functional.embedding(power, self.classes[number]).masked_fill(unknown[:, :, None], 0)
