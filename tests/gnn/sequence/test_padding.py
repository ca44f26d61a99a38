"""Sequences in blocks: nothing is lost, little is padding, no block is too large."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnn.sequence import padding
from gnn.sequence.histories import Histories
from gnn.sequence.padding import PAD, padded
from kg import RaggedArray

CPU = torch.device("cpu")


def histories(lists: list[list[int]]) -> Histories:
    return Histories.of(RaggedArray.from_lists(lists))


@pytest.mark.parametrize("places", [1, 30, 1 << 11])
def test_every_sequence_is_in_one_block_from_the_left(monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    monkeypatch.setattr(padding, "CPU_PLACES", places)
    random = np.random.default_rng(0)
    lists = [random.integers(0, 50, size=size).tolist() for size in random.integers(0, 12, size=40)]
    seen = {}
    for block in padded(histories(lists), CPU):
        assert block.items.numel() <= max(places, block.items.shape[1])
        assert len(block.rows) == 1 or block.items.numel() <= places
        for row, items, length in zip(block.rows.tolist(), block.items.tolist(), block.lengths.tolist(), strict=True):
            seen[row] = items[:length]
            assert set(items[length:]) <= {PAD}
    assert seen == {row: items for row, items in enumerate(lists) if items}


def test_short_and_long_sequences_do_not_share_a_block() -> None:
    lists = [[1] * 2] * 500 + [[2] * 100] * 20
    blocks = list(padded(histories(lists), CPU))
    padding_share = sum(int((block.items == PAD).sum()) for block in blocks) / sum(map(len, lists))
    assert padding_share < 0.5


def test_no_sequences_make_no_blocks() -> None:
    assert list(padded(histories([[], [], []]), CPU)) == []
