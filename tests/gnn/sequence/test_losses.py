"""Losses beside plain formulas, and their gradients whatever the size of the blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gnn.sequence import losses
from gnn.sequence.losses import sequence_loss
from gnn.sequence.negatives import Negatives
from gnn.sequence.settings import SequenceTraining

ITEMS, DIM, STATES = 30, 5, 17


@pytest.fixture
def states() -> Tensor:
    return torch.randn(STATES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(ITEMS, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


TARGETS = torch.arange(STATES) % 7
DRAWN = Negatives(torch.tensor([3, 11, 29, 3, 20, 0]), torch.full((6,), math.log(1 / ITEMS)).double(), 6 / ITEMS)


def value(states: Tensor, vectors: Tensor, negatives: Negatives = DRAWN, **settings: object) -> Tensor:
    training = SequenceTraining(**settings)  # type: ignore[arg-type]
    return sequence_loss(training, states, TARGETS, vectors[TARGETS], negatives, vectors[negatives.items])


def by_hand(states: Tensor, vectors: Tensor, each: object) -> float:
    """The mean of a loss of (own score, scores of the negatives that are not the target)."""
    scores = (states @ vectors.T).numpy()
    parts = []
    for row, target in enumerate(TARGETS.tolist()):
        others = [scores[row, item] for item in DRAWN.items.tolist() if item != target]
        parts.append(each(scores[row, target], np.array(others)))  # type: ignore[operator]
    return float(np.mean(parts))


def test_full_softmax_is_cross_entropy(states: Tensor, vectors: Tensor) -> None:
    everything = Negatives(torch.arange(ITEMS), None, 1.0)
    found = value(states, vectors, everything, temperature=0.5)
    torch.testing.assert_close(found, functional.cross_entropy(states @ vectors.T / 0.5, TARGETS))


def test_sampled_softmax_with_log_q(states: Tensor, vectors: Tensor) -> None:
    shift = math.log(6 / ITEMS)

    def each(own: float, others: np.ndarray) -> float:
        return math.log(math.exp(own) + np.exp(others - shift).sum()) - own

    assert float(value(states, vectors)) == pytest.approx(by_hand(states, vectors, each))


@pytest.mark.parametrize("calibration", [0.0, 0.6, 1.0])
def test_gbce(states: Tensor, vectors: Tensor, calibration: float) -> None:
    rate = 6 / ITEMS
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    assert (power == pytest.approx(1)) == (calibration == 0)

    def each(own: float, others: np.ndarray) -> float:
        right = 1 / (1 + math.exp(-own))
        wrong = np.log(1 - 1 / (1 + np.exp(-others))).sum()
        return -(power * math.log(right) + wrong) / (len(others) + 1)

    found = value(states, vectors, loss="gbce", gbce_calibration=calibration)
    assert float(found) == pytest.approx(by_hand(states, vectors, each))


def test_bpr(states: Tensor, vectors: Tensor) -> None:
    def each(own: float, others: np.ndarray) -> float:
        return float(-np.log(1 / (1 + np.exp(others - own))).mean())

    assert float(value(states, vectors, loss="bpr")) == pytest.approx(by_hand(states, vectors, each))


def test_bpr_max(states: Tensor, vectors: Tensor) -> None:
    def each(own: float, others: np.ndarray) -> float:
        weights = np.exp(others) / np.exp(others).sum()
        right = (weights / (1 + np.exp(others - own))).sum()
        return float(-math.log(right) + 0.3 * (weights * others**2).sum())

    found = value(states, vectors, loss="bpr_max", bpr_max_penalty=0.3)
    assert float(found) == pytest.approx(by_hand(states, vectors, each))


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bpr", "bpr_max"])
def test_blocks_change_neither_loss_nor_gradient(
    states: Tensor, vectors: Tensor, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for block in (1, 20, 1 << 20):
        monkeypatch.setattr(losses, "CPU_BLOCK", block)
        monkeypatch.setattr("gnn.training.losses.CPU_BLOCK", block)
        left, right = states.clone().requires_grad_(), vectors.clone().requires_grad_()
        total = value(left, right, loss=loss)
        total.backward()
        found.append((total.detach(), left.grad, right.grad))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_no_block_holds_more_scores_than_stated(
    states: Tensor, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    original = losses.bpr

    def counted(own: Tensor, others: Tensor, counts: Tensor) -> Tensor:
        sizes.append(others.numel())
        return original(own, others, counts)

    monkeypatch.setattr(losses, "bpr", counted)
    monkeypatch.setattr(losses, "CPU_BLOCK", 24)
    value(states, vectors, loss="bpr")
    assert max(sizes) <= 24
    assert sum(sizes) == STATES * 6


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bpr", "bpr_max"])
def test_a_batch_whose_only_negative_is_the_target_is_finite(states: Tensor, vectors: Tensor, loss: str) -> None:
    alone = Negatives(torch.tensor([0]), torch.zeros(1).double(), 1 / ITEMS)
    assert torch.isfinite(value(states, vectors, alone, loss=loss))
