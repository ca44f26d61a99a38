"""What training minimises: sampled softmax, and the Bayesian personalised ranking loss of the LightGCN paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of -log sigmoid(u . i - u . j) (Rendle et al. 2009; equation 15 of LightGCN without its L2 term).

    Args:
        users: final embeddings of the users, (batch, dim).
        positives: of the items they liked, (batch, dim).
        negatives: of the items they are held against, (batch, dim).
    """
    difference = (users * (positives - negatives)).sum(dim=1)
    return functional.softplus(-difference).mean()


def squared_norm(*embeddings: Tensor) -> Tensor:
    """Half the squared norm of layer-0 rows per pair of the batch: the L2 term of the LightGCN paper.

    Args:
        embeddings: layer-0 embeddings of the users, positives and negatives of a batch, each (batch, dim).
    """
    total = torch.stack([rows.pow(2).sum() for rows in embeddings]).sum()
    return total / (2 * max(len(embeddings[0]), 1))


def softmax_all(users: Tensor, items: Tensor, positive: Tensor, *, temperature: Tensor | float) -> Tensor:
    """Mean cross-entropy of each pair's item among all items.

    Args:
        users: (batch, dim); unit vectors for cosine.
        items: all items that compete, (items, dim).
        positive: rows of `items`, int64 (batch,).
        temperature: the scores' divisor.
    """
    return functional.cross_entropy((users / temperature) @ items.T, positive)


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    positive_index: Tensor,
    negative_index: Tensor,
    temperature: Tensor | float,
    log_q: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy of each pair's item against negatives shared by the batch.

    With `log_q` the negatives' scores are lowered by log(m q_j) (Bengio and Senecal 2008): then
    e^s_i + sum over j of e^s_j / (m q_j) estimates the denominator over all items, whatever the negatives were drawn
    from. A negative that happens to be the pair's own item is left out.

    Args:
        users: (batch, dim); unit vectors for cosine.
        positives: their items, (batch, dim).
        negatives: (m, dim).
        positive_index: item of each pair, int64 (batch,).
        negative_index: item of each negative, int64 (m,).
        temperature: the scores' divisor.
        log_q: log of the probability that one draw gives each negative, (m,), or None for no correction.
    """
    scaled = users / temperature
    right = (scaled * positives).sum(dim=1, keepdim=True)
    wrong = scaled @ negatives.T
    if log_q is not None:
        wrong = wrong - (log_q + math.log(len(log_q))).to(wrong.dtype)
    wrong = wrong.masked_fill(positive_index[:, None] == negative_index[None, :], -torch.inf)
    return (torch.logsumexp(torch.cat([right, wrong], dim=1), dim=1) - right[:, 0]).mean()
