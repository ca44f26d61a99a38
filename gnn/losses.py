"""What training minimises: sampled softmax, and the Bayesian personalised ranking loss of the LightGCN paper."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Scores in memory at a time: what stays in a core's cache, and what keeps a GPU busy.
CPU_BLOCK = 1 << 20
GPU_BLOCK = 1 << 28


def bpr(users: Tensor, positives: Tensor, negatives: Tensor, *, total: int | None = None) -> Tensor:
    """Mean of -log sigmoid(u . i - u . j) (Rendle et al. 2009; equation 15 of LightGCN without its L2 term).

    Args:
        users: final embeddings of the users, (batch, dim).
        positives: of the items they liked, (batch, dim).
        negatives: of the items they are held against, (batch, dim).
        total: pairs that the mean is over, where these are only some of them; None: these.
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
    total: int | None = None,
) -> Tensor:
    """Mean cross-entropy of each pair's item against negatives shared by the batch.

    With `log_q` the negatives' scores are lowered by log(m q_j) (Bengio and Senecal 2008): then
    e^s_i + sum over j of e^s_j / (m q_j) estimates the denominator over all items, whatever the negatives were drawn
    from. A negative that happens to be the pair's own item is left out.

    The scores live a block of pairs at a time, in the cache, and give the loss and its gradient in one pass; they are
    neither kept nor computed again, so there is no second derivative.

    Args:
        users: (batch, dim); unit vectors for cosine.
        positives: their items, (batch, dim).
        negatives: (m, dim).
        positive_index: item of each pair, int64 (batch,).
        negative_index: item of each negative, int64 (m,).
        temperature: the scores' divisor.
        log_q: log of the probability that one draw gives each negative, (m,), or None for no correction.
        total: pairs that the mean is over, where these are only some of them; None: these.
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
        *_own(positive_index, negative_index),
        max(len(users) if total is None else total, 1),
    )
    return loss


def _own(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Which negatives are a pair's own item: how many there are before each pair, (batch + 1,), and their places."""
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
        offsets: Tensor,
        own: Tensor,
        total: int,
    ) -> Tensor:
        size = max((CPU_BLOCK if users.device.type == "cpu" else GPU_BLOCK) // max(len(negatives), 1), 1)
        starts = range(0, len(users), size)
        edges = [*starts, len(users)]
        around = offsets[torch.tensor(edges, device=offsets.device)].tolist()
        pair = torch.arange(len(users), device=users.device).repeat_interleave(offsets.diff())
        losses, for_users, for_right = (
            torch.empty_like(users[:, 0]),
            torch.empty_like(users),
            users.new_empty(len(users)),
        )
        for_negatives = torch.zeros_like(negatives)
        for number, start in enumerate(starts):
            rows = slice(start, edges[number + 1])
            ours = users[rows]
            right = torch.linalg.vecdot(ours, positives[rows])
            scores = torch.addmm(lowered, ours, negatives.T, alpha=1, beta=-1)
            hit = slice(around[number], around[number + 1])
            scores[pair[hit] - start, own[hit]] = -torch.inf
            top = torch.maximum(scores.amax(dim=1), right) if len(negatives) else right
            powers = scores.sub_(top[:, None]).exp_()
            own_power = (right - top).exp_()
            whole = powers.sum(dim=1).add_(own_power)
            losses[rows] = whole.log() + top - right
            # Softmax = powers / whole; the division goes to the small side of each product.
            torch.mm(powers, negatives, out=for_users[rows]).div_(whole[:, None])
            for_negatives.addmm_(powers.T, ours / whole[:, None])
            for_right[rows] = own_power / whole - 1
        for_users.addcmul_(for_right[:, None], positives)
        ctx.save_for_backward(for_users, for_right[:, None] * users, for_negatives)
        ctx.total = total
        return losses.sum() / total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(value * (gradient / ctx.total) for value in ctx.saved_tensors), None, None, None, None
