"""Losses of a batch of states, their targets, and negatives that all of them share.

Scores are computed for a block of states at a time and not kept, so that no array of all states by all negatives
exists: `gnn.training.losses.CPU_BLOCK` or `GPU_BLOCK` scores are in memory at most.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gnn.sequence.negatives import Negatives
from gnn.sequence.settings import SequenceTraining
from gnn.training.losses import CPU_BLOCK, GPU_BLOCK, sampled_softmax

OfBlock = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores of the targets (n,), of the negatives (n, m), and which of these count, bool (n, m) -> the sum of n losses."""


def sequence_loss(
    training: SequenceTraining,
    states: Tensor,
    targets: Tensor,
    target_vectors: Tensor,
    negatives: Negatives,
    negative_vectors: Tensor,
    *,
    total: int | None = None,
) -> Tensor:
    """Mean loss over the states. A negative that is a state's own target does not count for it.

    Args:
        training: which loss, and its settings.
        states: (n, dim).
        targets: the item of each of them, int64 (n,).
        target_vectors: of these items, (n, dim).
        negatives: (m,).
        negative_vectors: (m, dim).
        total: number of states that the mean is over, where these are only a part; None: these.
    """
    if training.loss == "softmax":
        return sampled_softmax(
            states,
            target_vectors,
            negative_vectors,
            positive_index=targets,
            negative_index=negatives.items,
            temperature=training.temperature,
            log_q=negatives.log_q if training.log_q else None,
            total=total,
        )
    of_block: OfBlock
    if training.loss == "gbce":
        of_block = partial(gbce, rate=negatives.rate, calibration=training.gbce_calibration)
    elif training.loss == "bpr":
        of_block = bpr
    else:
        of_block = partial(bpr_max, penalty=training.bpr_max_penalty)
    scores = (states * target_vectors).sum(dim=1)
    size = max((CPU_BLOCK if states.device.type == "cpu" else GPU_BLOCK) // max(len(negatives.items), 1), 1)
    summed = states.new_zeros(())
    for start in range(0, len(states), size):
        rows = slice(start, start + size)

        def of_rows(own: Tensor, block: Tensor, vectors: Tensor, items: Tensor) -> Tensor:
            return of_block(own, block @ vectors.T, items[:, None] != negatives.items)

        parts = scores[rows], states[rows], negative_vectors, targets[rows]
        summed = summed + checkpoint(of_rows, *parts, use_reentrant=False, preserve_rng_state=False)
    return summed / max(len(states) if total is None else total, 1)


def gbce(own: Tensor, others: Tensor, counts: Tensor, *, rate: float, calibration: float) -> Tensor:
    """Binary cross-entropy whose positive part is raised to a power: gBCE (Petrov and Macdonald, RecSys 2023).

    With rate a and calibration t the power is b = a (t (1 - 1/a) + 1/a): 1 for t = 0, and a for t = 1.

    Args:
        own: scores of the targets, (n,).
        others: scores of the negatives, (n, m).
        counts: which of these count, bool (n, m).
        rate: share of all items that the negatives are.
        calibration: t.
    """
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    wrong = (functional.softplus(others) * counts).sum(dim=1)
    each = (power * functional.softplus(-own) + wrong) / (counts.sum(dim=1) + 1)
    return each.sum()


def bpr(own: Tensor, others: Tensor, counts: Tensor) -> Tensor:
    """BPR (Rendle et al. 2009): the mean of -log sigmoid(own - other) over the negatives; arguments as of `gbce`."""
    each = functional.softplus(others - own[:, None]) * counts
    return (each.sum(dim=1) / counts.sum(dim=1).clamp(min=1)).sum()


def bpr_max(own: Tensor, others: Tensor, counts: Tensor, *, penalty: float) -> Tensor:
    """BPR-max (Hidasi and Karatzoglou, CIKM 2018): negatives weigh by their softmax, s_j.

    -log(sum of s_j sigmoid(own - other_j)) + penalty * sum of s_j other_j^2.

    Args:
        own: scores of the targets, (n,).
        others: scores of the negatives, (n, m).
        counts: which of these count, bool (n, m).
        penalty: weight of the second part.
    """
    left_out = ~counts.any(dim=1)
    weights = others.masked_fill(~counts, -torch.inf).masked_fill(left_out[:, None], 0).softmax(dim=1)
    right = (weights * torch.sigmoid(own[:, None] - others)).sum(dim=1)
    each = -(right + torch.finfo(right.dtype).eps).log() + penalty * (weights * others.square()).sum(dim=1)
    return each.masked_fill(left_out, 0).sum()
