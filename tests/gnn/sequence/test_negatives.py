"""Which items targets are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnn.sequence.negatives import NegativeItems
from gnn.sequence.settings import SequenceTraining

CPU = torch.device("cpu")
TARGETS = np.array([0, 8, 1, 1, 0, 6])
SEEN = np.array([True, True, True, True, False, True])


def negatives(**settings: object) -> NegativeItems:
    return NegativeItems(TARGETS, SEEN, SequenceTraining(**settings), seed=0, device=CPU)  # type: ignore[arg-type]


def test_all_items_of_the_training() -> None:
    drawn = negatives(negatives=0)(torch.tensor([1, 2]), 0)
    assert drawn.items.tolist() == [0, 1, 2, 3, 5]
    assert drawn.log_q is None
    assert drawn.rate == 1


@pytest.mark.parametrize(("sampling", "weights"), [("uniform", [1, 1, 1, 1, 0, 1]), ("popularity", [1, 8, 1, 1, 0, 6])])
def test_they_are_drawn_as_they_say(sampling: str, weights: list[int]) -> None:
    drawn = negatives(negatives=20_000, sampling=sampling)(torch.tensor([1]), 3)
    share = np.array(weights) / sum(weights)
    np.testing.assert_allclose(np.bincount(drawn.items.numpy(), minlength=6) / 20_000, share, atol=0.02)
    assert drawn.log_q is not None
    np.testing.assert_allclose(drawn.log_q.exp().numpy(), share[drawn.items.numpy()])
    assert drawn.rate == 1  # more than there are


def test_a_step_always_draws_the_same_and_another_step_others() -> None:
    make = negatives(negatives=50)
    first, again, other = make(TARGETS_OF_BATCH, 1).items, make(TARGETS_OF_BATCH, 1).items, make(TARGETS_OF_BATCH, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other.items)


TARGETS_OF_BATCH = torch.tensor([1, 1, 5, 2, 3])


def test_other_targets_of_the_batch() -> None:
    assert negatives(sampling="in_batch", negatives=0)(TARGETS_OF_BATCH, 0).items.tolist() == [1, 1, 5, 2, 3]
    few = negatives(sampling="in_batch", negatives=3)(TARGETS_OF_BATCH, 0)
    assert len(few.items) == 3
    assert few.rate == pytest.approx(3 / 5)
    assert few.log_q is not None
    np.testing.assert_allclose(few.log_q.exp().numpy(), np.maximum(TARGETS, 1)[few.items] / 17)
