"""Sequences of different lengths in blocks of equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kg import RaggedArray
from kg.arrays import IntArray, places

PAD, MASK = -1, -2

# Places of a block, those of the padding included: what fits a CPU's cache, and what keeps a GPU busy.
CPU_PLACES = 1 << 9
GPU_PLACES = 1 << 17


class Block(NamedTuple):
    """Sequences of about the same length, each from the left and filled up at the right.

    A causal model needs no mask of the padding then, and a place has the same state whatever comes after it.

    Attributes:
        rows: which sequences these are, int64 (rows,).
        items: positions of items, `PAD` after the end and `MASK` for a hidden one, int64 (rows, length).
        lengths: of the sequences, int64 (rows,).
    """

    rows: IntArray
    items: Tensor
    lengths: Tensor


def latest(sequences: RaggedArray, count: int) -> RaggedArray:
    """The last `count` items of each sequence."""
    lengths = np.minimum(sequences.counts, count)
    ends = np.repeat(sequences.offsets[1:], lengths)
    rows = np.repeat(np.arange(len(sequences)), lengths)
    values = sequences.values[ends - np.repeat(lengths, lengths) + places(rows)]
    return RaggedArray.from_grouped(rows, values, num_rows=len(sequences))


def padded(sequences: RaggedArray, device: torch.device) -> Iterator[Block]:
    """All sequences in blocks, the shortest first; of a block's places few are padding, and none has too many.

    Args:
        sequences: (n,) lists; empty ones are in no block.
        device: of the tensors.
    """
    lengths = sequences.counts
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    room = CPU_PLACES if device.type == "cpu" else GPU_PLACES
    start = 0
    while start < len(order):
        # The longest comes last: as many rows as long as that one must fit.
        following = lengths[order[start : start + room]]
        sizes = following * np.arange(1, len(following) + 1)
        stop = start + max(int(np.searchsorted(sizes, room, side="right")), 1)
        rows = order[start:stop]
        yield _block(rows, sequences.take(rows), device)
        start = stop


def _block(rows: IntArray, sequences: RaggedArray, device: torch.device) -> Block:
    lengths = sequences.counts
    items = np.full((len(rows), int(lengths.max())), PAD, dtype=np.int64)
    row = sequences.rows()
    items[row, places(row)] = sequences.values
    return Block(rows, torch.from_numpy(items).to(device), torch.from_numpy(lengths).to(device))
