"""Which items are hidden, and what a request looks like."""

from __future__ import annotations

import numpy as np
import torch

from gnn.sequence.bert4rec import HiddenItems
from gnn.sequence.histories import Histories
from gnn.sequence.padding import MASK
from kg import RaggedArray

CPU = torch.device("cpu")
WINDOWS = Histories.of(RaggedArray.from_lists([list(range(row, row + 12)) for row in range(200)]))


def test_the_last_item_is_hidden_and_a_share_of_the_others() -> None:
    examples = HiddenItems(0.3, 10).examples(WINDOWS, seed=0, step=4, device=CPU)
    hidden = np.concatenate([(block.items == MASK).numpy() for block in examples.blocks])
    assert hidden.shape == (200, 10)
    assert hidden[:, -1].all()
    assert abs(hidden[:, :-1].mean() - 0.3) < 0.03
    assert sum(int(at.sum()) for at in examples.answered) == len(examples.targets) == hidden.sum()


def test_the_targets_are_what_is_hidden() -> None:
    examples = HiddenItems(0.5, 10).examples(WINDOWS, seed=0, step=0, device=CPU)
    start = 0
    for block, answered in zip(examples.blocks, examples.answered, strict=True):
        whole = torch.tensor([list(range(row + 2, row + 12)) for row in block.rows.tolist()])
        assert torch.equal(whole[~answered], block.items[~answered])
        count = int(answered.sum())
        assert torch.equal(whole[answered], examples.targets[start : start + count])
        start += count


def test_a_step_hides_the_same_again_and_another_step_others() -> None:
    make = HiddenItems(0.5, 10)
    first, again, other = (make.examples(WINDOWS, seed=0, step=step, device=CPU).targets for step in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_request_ends_with_a_hidden_item() -> None:
    histories = Histories.of(RaggedArray.from_lists([[1, 2, 3, 4, 5], [], [7]]))
    requests = HiddenItems(0.2, 4).requests(histories, 4)
    assert [requests[row].tolist() for row in range(3)] == [[3, 4, 5, MASK], [], [7, MASK]]
