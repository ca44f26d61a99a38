"""Sequences of different lengths in blocks of equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnn.sequence.histories import Histories
from kg.arrays import IntArray, places
from kg.interactions import NO_TIME

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
        times: of the items, UTC seconds, `NO_TIME` where unknown, int64 (rows, length).
        lengths: of the sequences, int64 (rows,).
    """

    rows: IntArray
    items: Tensor
    times: Tensor
    lengths: Tensor


def padded(sequences: Histories, device: torch.device) -> Iterator[Block]:
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


def _block(rows: IntArray, sequences: Histories, device: torch.device) -> Block:
    lengths = sequences.counts
    row = sequences.rows()
    at = row, places(row)
    items = np.full((len(rows), int(lengths.max())), PAD, dtype=np.int64)
    times = np.full_like(items, NO_TIME)
    items[at], times[at] = sequences.values, sequences.times
    return Block(rows, *(torch.from_numpy(each).to(device) for each in (items, times, lengths)))
