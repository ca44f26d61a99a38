"""Losses against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from gnn.training.losses import bpr, sampled_softmax, squared_norm


def vectors(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_bpr_is_the_mean_log_sigmoid_of_differences() -> None:
    users, right, wrong = vectors(6, 3, seed=0), vectors(6, 3, seed=1), vectors(6, 3, seed=2)
    expected = 0.0
    for u, i, j in zip(users, right, wrong, strict=True):
        expected += -math.log(1 / (1 + math.exp(-float(u @ i - u @ j)))) / 6
    assert float(bpr(users, right, wrong)) == pytest.approx(expected)


def test_bpr_does_not_overflow() -> None:
    big = torch.full((1, 1), 1e4)
    assert float(bpr(big, -big, big)) == pytest.approx(2e8)


def test_squared_norm_is_half_a_pair() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert float(squared_norm(rows, rows)) == pytest.approx(14.5)


def naive(
    users: torch.Tensor, items: torch.Tensor, positive: list[int], wrong: list[int], t: float, q: list[float]
) -> float:
    total = 0.0
    for u, i in zip(users, positive, strict=True):
        right = float(u @ items[i]) / t
        others = [float(u @ items[j]) / t - math.log(len(wrong) * q[j]) for j in wrong if j != i]
        total += math.log(math.exp(right) + sum(map(math.exp, others))) - right
    return total / len(positive)


def test_sampled_softmax_corrects_and_leaves_out_accidental_hits() -> None:
    users, items = vectors(5, 4, seed=3), vectors(7, 4, seed=4)
    positive, wrong = [0, 1, 2, 3, 3], [1, 1, 4, 6]
    q = [0.1, 0.2, 0.1, 0.1, 0.3, 0.1, 0.1]
    index, negative = torch.tensor(positive), torch.tensor(wrong)
    loss = sampled_softmax(
        users,
        items[index],
        items[negative],
        positive_index=index,
        negative_index=negative,
        temperature=0.5,
        log_q=torch.tensor(q, dtype=torch.float64).log()[negative],
    )
    assert float(loss) == pytest.approx(naive(users, items, positive, wrong, 0.5, q))
    plain = sampled_softmax(
        users, items[index], items[negative], positive_index=index, negative_index=negative, temperature=0.5
    )
    assert float(plain) == pytest.approx(naive(users, items, positive, wrong, 0.5, [1 / len(wrong)] * 7))


def test_against_everything_it_is_the_cross_entropy() -> None:
    users, items = vectors(5, 4, seed=3), vectors(7, 4, seed=4)
    index = torch.tensor([0, 1, 2, 3, 3])
    loss = sampled_softmax(
        users, items[index], items, positive_index=index, negative_index=torch.arange(7), temperature=0.2
    )
    assert float(loss) == pytest.approx(float(functional.cross_entropy(users @ items.T / 0.2, index)))


@pytest.mark.parametrize("block", [1, 4, 9, 1 << 20])
def test_the_gradient_of_the_softmax_is_that_of_its_formula(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is scored at a time, and with negatives that are some pairs' own items, one of them twice."""
    monkeypatch.setattr("gnn.training.losses.CPU_BLOCK", block)
    index, negative = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([1, 1, 4])
    q = torch.tensor([0.2, 0.2, 0.1], dtype=torch.float64).log()
    inputs = [
        vectors(5, 4, seed=3),
        vectors(5, 4, seed=4),
        vectors(3, 4, seed=5),
        torch.tensor(0.3, dtype=torch.float64),
    ]
    for value in inputs:
        value.requires_grad_()

    def loss(users: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
        return sampled_softmax(
            users,
            right,
            wrong,
            positive_index=index,
            negative_index=negative,
            temperature=temperature,
            log_q=q,
            total=7,
        )

    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("block", [1, 6, 1 << 20])
@pytest.mark.parametrize("corrected", [True, False])
def test_pairs_of_one_user_share_scores_and_lose_nothing(
    block: int, corrected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss and all gradients are those of the same pairs with a row of their own, whatever is scored at a time."""
    monkeypatch.setattr("gnn.training.losses.CPU_BLOCK", block)
    counts = torch.tensor([3, 1, 2])
    index, negative = torch.tensor([0, 1, 4, 1, 3, 3]), torch.tensor([1, 1, 4, 6])
    log_q = torch.tensor([0.2, 0.2, 0.1, 0.3], dtype=torch.float64).log() if corrected else None
    users, right, wrong = (vectors(n, 4, seed=n).requires_grad_() for n in (3, 6, 4))

    def gradients(rows: torch.Tensor, counts: torch.Tensor | None) -> list[torch.Tensor]:
        loss = sampled_softmax(
            rows,
            right,
            wrong,
            positive_index=index,
            negative_index=negative,
            temperature=0.3,
            log_q=log_q,
            counts=counts,
        )
        return [loss, *torch.autograd.grad(loss, (users, right, wrong))]

    for value, expected in zip(
        gradients(users, counts), gradients(users.repeat_interleave(counts, dim=0), None), strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_the_softmax_of_huge_scores_is_a_number() -> None:
    """A plain dot product has no bound; neither loss nor gradient may overflow in float32."""
    users, right = torch.full((2, 1), 1e3, requires_grad=True), torch.tensor([[-1.0], [1.0]])
    loss = sampled_softmax(
        users,
        right,
        torch.tensor([[1.0], [0.5]]),
        positive_index=torch.tensor([0, 1]),
        negative_index=torch.tensor([2, 3]),
        temperature=0.1,
    )
    (gradient,) = torch.autograd.grad(loss, users)
    assert float(loss.detach()) == pytest.approx((2e4 + math.log(2)) / 2)
    assert torch.isfinite(gradient).all()


def test_parts_of_a_batch_add_up_to_the_loss_of_the_whole() -> None:
    users, items, wrong = vectors(5, 4, seed=3), vectors(5, 4, seed=4), vectors(3, 4, seed=5)
    index, negative = torch.arange(5), torch.tensor([1, 6, 7])

    def loss(rows: slice, total: int | None) -> float:
        softmax = sampled_softmax(
            users[rows],
            items[rows],
            wrong,
            positive_index=index[rows],
            negative_index=negative,
            temperature=0.1,
            total=total,
        )
        return float(softmax + bpr(users[rows], items[rows], items.flip(0)[rows], total=total))

    parts = [loss(slice(0, 2), 5), loss(slice(2, 5), 5), loss(slice(5, 5), 5)]
    assert sum(parts) == pytest.approx(loss(slice(0, 5), None))


def test_the_corrected_denominator_is_that_of_the_full_softmax_on_average() -> None:
    """Negatives drawn by any distribution: the mean of the estimated denominators comes out right."""
    users, items = vectors(1, 4, seed=5), vectors(6, 4, seed=6)
    q = torch.tensor([0.05, 0.4, 0.2, 0.1, 0.05, 0.2], dtype=torch.float64)
    index = torch.tensor([2])
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimated = sampled_softmax(
        users,
        items[index],
        items[drawn],
        positive_index=index,
        negative_index=drawn,
        temperature=1.0,
        log_q=q.log()[drawn],
    )
    assert float(estimated) == pytest.approx(float(functional.cross_entropy(users @ items.T, index)), rel=1e-2)
