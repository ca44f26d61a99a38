"""Random numbers as a function of (seed, step, stream, index), without a generator that has a state.

A resumed training, or one on another number of devices, draws the same batches, negatives and masks. The function is
splitmix64 (Steele, Lea and Flood, 2014) over a counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from kg.arrays import IntArray

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Stream(IntEnum):
    """The purpose of a number; streams are independent of one another."""

    START = 0
    TEXT_START = 1
    SHUFFLE = 2
    NEGATIVES = 3
    COLD_ITEMS = 4
    COLD_NEGATIVES = 5
    DROPOUT = 6
    COLD_DROPOUT = 7
    VALIDATION = 8
    LAYERS = 9
    KNOWLEDGE_START = 10
    HIDDEN_ITEMS = 11


def uniform(index: Tensor, *, seed: int, step: int, stream: Stream) -> Tensor:
    """One number in [0, 1) for each index.

    Args:
        index: int64, any shape.
        seed: of the run.
        step: of the training.
        stream: its purpose.

    Returns:
        float64, the shape of `index`, on its device.
    """
    return _shift(_bits(index, seed, step, stream), 11).to(torch.float64) * 2.0**-53


def normal(rows: Tensor, columns: Tensor, *, seed: int, stream: Stream) -> Tensor:
    """Standard normal numbers by row and column, float64 (rows, columns); a column is the same in any rank."""
    draw = uniform(rows[:, None] * (1 << 20) + columns[None, :], seed=seed, step=0, stream=stream)
    # Half a unit in the last place keeps the quantile function away from minus infinity.
    quantile: Tensor = torch.special.ndtri(draw + 2.0**-54)
    return quantile


def permutation(numbers: Tensor, *, seed: int, step: int, stream: Stream) -> Tensor:
    """A random order of numbered entries, int64 (entries,); those of one number stay together, in their order."""
    return torch.argsort(_bits(numbers, seed, step, stream), stable=True)


@contextmanager
def seeded(device: torch.device, *, seed: int, step: int, stream: Stream) -> Iterator[None]:
    """Within it torch's own generators, which draw for its layers, give numbers that depend on these alone.

    Args:
        device: whose generator is meant, beside that of the CPU; afterwards both go on as if nothing had been drawn.
        seed: of the run.
        step: of the training.
        stream: the purpose.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_key(seed, step, stream) >> 1)  # torch takes 63 bits
        yield


class Batches:
    """Shuffled passes over the training pairs, a batch a step; the last batch of a pass is filled from the next one.

    Every step has the same number of pairs.
    """

    def __init__(
        self, count: int, size: int, *, seed: int, device: torch.device, together: Tensor | None = None
    ) -> None:
        """Prepare them.

        Args:
            count: pairs.
            size: of a batch, at most.
            seed: of the orders.
            device: of the positions.
            together: number of each pair's group, (count,); the groups are shuffled whole, and only the first
                and the last one of a batch can be cut. None: pairs are shuffled one by one.
        """
        self._together = together
        self.count, self.size, self.seed, self.device = count, min(size, count), seed, device
        self._orders: dict[int, Tensor] = {}

    def __call__(self, step: int) -> Tensor:
        """Positions of the pairs of one step (from 0), int64 (size,)."""
        start = step * self.size
        first, last = start // self.count, (start + self.size - 1) // self.count
        self._orders = {epoch: self._order(epoch) for epoch in range(first, last + 1)}
        orders = torch.cat([self._orders[epoch] for epoch in range(first, last + 1)])
        return orders[start - first * self.count :][: self.size]

    def _order(self, epoch: int) -> Tensor:
        if epoch in self._orders:
            return self._orders[epoch]
        numbers = torch.arange(self.count, device=self.device) if self._together is None else self._together.long()
        return permutation(numbers, seed=self.seed, step=epoch, stream=Stream.SHUFFLE)


class NegativeSampler:
    """Items drawn with replacement, with probability proportional to popularity^power among the allowed ones.

    Attributes:
        log_q: log of each item's probability, float64 (items,); -inf where it is never drawn.
    """

    def __init__(self, popularity: IntArray, *, power: float, allowed: IntArray | None, device: torch.device) -> None:
        weight = np.maximum(popularity, 1).astype(np.float64) ** power
        if allowed is not None:
            weight = np.where(np.isin(np.arange(len(weight)), allowed), weight, 0.0)
        probability = torch.from_numpy(weight / weight.sum()).to(device)
        self._ends = probability.cumsum(0)
        self._last = int(np.flatnonzero(weight)[-1])
        self.log_q = probability.log()

    def __call__(self, count: int, *, seed: int, step: int, stream: Stream) -> Tensor:
        """Item positions, int64 (count,)."""
        index = torch.arange(count, device=self._ends.device)
        draw = uniform(index, seed=seed, step=step, stream=stream)
        # Rounding can leave the last end a little below 1.
        return torch.searchsorted(self._ends, draw, right=True).clamp(max=self._last)


def _key(seed: int, step: int, stream: Stream) -> int:
    return _mix(_mix(_mix(seed & _MASK) + step & _MASK) + int(stream) & _MASK)


def _bits(index: Tensor, seed: int, step: int, stream: Stream) -> Tensor:
    x = index * _signed(_GOLDEN) + _signed(_key(seed, step, stream))
    x = (x ^ _shift(x, 30)) * _signed(_FIRST)
    x = (x ^ _shift(x, 27)) * _signed(_SECOND)
    return x ^ _shift(x, 31)


_MASK = (1 << 64) - 1


def _mix(x: int) -> int:
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * _FIRST) & _MASK
    x = ((x ^ (x >> 27)) * _SECOND) & _MASK
    return x ^ (x >> 31)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def _shift(x: Tensor, places: int) -> Tensor:
    """Logical shift to the right: the sign bit moves, too."""
    return (x >> places) & ((1 << (64 - places)) - 1)
