"""Losses: sampled softmax, and the Bayesian personalised ranking (BPR) of the LightGCN paper."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Scores in memory at a time: what fits a core's cache, and what keeps a GPU busy.
CPU_BLOCK = 1 << 20
GPU_BLOCK = 1 << 28


def bpr(users: Tensor, positives: Tensor, negatives: Tensor, *, total: int | None = None) -> Tensor:
    """Mean of -log sigmoid(u . i - u . j) (Rendle et al. 2009; equation 15 of LightGCN without its L2 term).

    Args:
        users: final embeddings of the users, (batch, dim).
        positives: of the items they liked, (batch, dim).
        negatives: of the items they are compared with, (batch, dim).
        total: number of pairs that the mean is over, where these are only a part; None: these.
    """
    difference = (users * (positives - negatives)).sum(dim=1)
    return functional.softplus(-difference).sum() / max(len(users) if total is None else total, 1)


def squared_norm(*embeddings: Tensor) -> Tensor:
    """Half the squared norm of layer-0 rows per pair of the batch: the L2 term of the LightGCN paper.

    Args:
        embeddings: layer-0 embeddings of the users, positives and negatives of a batch, each (batch, dim).
    """
    total = torch.stack([rows.pow(2).sum() for rows in embeddings]).sum()
    return total / (2 * max(len(embeddings[0]), 1))


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    positive_index: Tensor,
    negative_index: Tensor,
    temperature: Tensor | float,
    log_q: Tensor | None = None,
    counts: Tensor | None = None,
    total: int | None = None,
) -> Tensor:
    """Mean cross-entropy of each pair's item against negatives shared by the batch.

    The pairs of a user share the user's scores of the negatives: the cost of a batch grows with its users, not its
    pairs.

    With `log_q` the negatives' scores are lowered by log(m q_j) (Bengio and Senecal 2008): then
    e^s_i + sum over j of e^s_j / (m q_j) estimates the denominator over all items for any distribution of the
    negatives. A negative that is the pair's own item is left out.

    Scores are computed for a block of users at a time, which fits the cache, and give the loss and its gradient in one
    pass; they are neither kept nor computed again, so there is no second derivative.

    Args:
        users: (users, dim); unit vectors for cosine.
        positives: their items, those of the first user first, (batch, dim).
        negatives: (m, dim).
        positive_index: item of each pair, int64 (batch,).
        negative_index: item of each negative, int64 (m,).
        temperature: the scores' divisor.
        log_q: log of the probability that one draw gives each negative, (m,), or None for no correction.
        counts: pairs of each user, int64 (users,), with batch as their sum; None: one of each.
        total: as of `bpr`.
    """
    if log_q is None:
        lowered = negatives.new_zeros(len(negatives))
    else:
        lowered = (log_q + math.log(len(log_q))).to(negatives.dtype)
    loss: Tensor = _Softmax.apply(
        users / temperature,
        positives,
        negatives,
        lowered,
        torch.ones_like(positive_index) if counts is None else counts,
        *_own(positive_index, negative_index),
        max(len(positives) if total is None else total, 1),
    )
    return loss


def _own(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Negatives that are a pair's own item: offsets by pair, (batch + 1,), and their places among the negatives."""
    ordered, order = negative.sort(stable=True)
    first = torch.searchsorted(ordered, positive)
    counts = torch.searchsorted(ordered, positive, right=True) - first
    offsets = functional.pad(counts.cumsum(0), (1, 0))
    within = torch.arange(int(offsets[-1]), device=negative.device) - offsets[:-1].repeat_interleave(counts)
    return offsets, order[first.repeat_interleave(counts) + within]


class _Softmax(torch.autograd.Function):
    """Sum over pairs of log(e^right + sum of e^(score - lowered)) - right, over `total`."""

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        positives: Tensor,
        negatives: Tensor,
        lowered: Tensor,
        counts: Tensor,
        offsets: Tensor,
        own: Tensor,
        total: int,
    ) -> Tensor:
        size = max((CPU_BLOCK if users.device.type == "cpu" else GPU_BLOCK) // max(len(negatives), 1), 1)
        edges = torch.tensor([*range(0, len(users), size), len(users)], device=users.device)
        bounds = functional.pad(counts.cumsum(0), (1, 0))[edges]
        user_edges, pair_edges, hit_edges = edges.tolist(), bounds.tolist(), offsets[bounds].tolist()
        user = torch.arange(len(users), device=users.device).repeat_interleave(counts)
        pair = torch.arange(len(positives), device=users.device).repeat_interleave(offsets.diff())
        losses, for_right = users.new_empty(len(positives)), users.new_empty(len(positives))
        for_users, for_negatives = torch.empty_like(users), torch.zeros_like(negatives)
        for number in range(len(user_edges) - 1):
            rows = slice(user_edges[number], user_edges[number + 1])
            pairs = slice(pair_edges[number], pair_edges[number + 1])
            hits = slice(hit_edges[number], hit_edges[number + 1])
            block, row = users[rows], user[pairs] - rows.start
            right = torch.linalg.vecdot(block[row], positives[pairs])
            scores = torch.addmm(lowered, block, negatives.T, alpha=1, beta=-1)
            top = scores.amax(dim=1) if len(negatives) else scores.new_full((len(block),), -torch.inf)
            powers = scores.sub_(top[:, None]).exp_()
            # The negatives of a pair sum to the user's sum without the pair's own item.
            hit_pair = pair[hits] - pairs.start
            place = (row[hit_pair], own[hits])
            hit = powers[place]
            wrong = powers.sum(dim=1)[row].index_add_(0, hit_pair, hit, alpha=-1).clamp_(min=0)
            largest = torch.maximum(top[row], right)
            wrong_unit, right_power = (top[row] - largest).exp_(), (right - largest).exp_()
            total_power = wrong.mul_(wrong_unit).add_(right_power)
            losses[pairs] = total_power.log() + largest - right
            for_right[pairs] = right_power / total_power - 1
            # The softmax of a pair is its user's powers times a factor: the factors of a user are added first.
            factor = wrong_unit / total_power
            factors = torch.segment_reduce(factor, "sum", lengths=counts[rows])
            powers.mul_(factors[:, None]).index_put_(place, -hit * factor[hit_pair], accumulate=True)
            own_part = torch.segment_reduce(for_right[pairs, None] * positives[pairs], "sum", lengths=counts[rows])
            torch.addmm(own_part, powers, negatives, out=for_users[rows])
            for_negatives.addmm_(powers.T, block)
        ctx.save_for_backward(for_users, for_right[:, None] * users[user], for_negatives)
        ctx.total = total
        return losses.sum() / total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(value * (gradient / ctx.total) for value in ctx.saved_tensors), *[None] * 5
