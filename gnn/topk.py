"""The best items of every user over all items, a block of users at a time: never a dense user x item matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kg import ItemLists
from kg.ids import IntArray

BLOCK_SCORES = 1 << 24


def top_items(
    user_vectors: npt.NDArray[Any] | Tensor,
    item_vectors: npt.NDArray[Any] | Tensor,
    k: int,
    *,
    seen: ItemLists | None = None,
    block: int | None = None,
) -> IntArray:
    """Rank all items for every user by inner product.

    Args:
        user_vectors: (n, dim).
        item_vectors: (items, dim), scales already in them.
        k: items wanted.
        seen: items left out for each user, (n,) lists, or None.
        block: users scored at a time; None keeps a block's scores under 64 MiB.

    Returns:
        Item positions, best first, equal scores by position, -1 where fewer than k are left; int64 (n, k).
    """
    items = _tensor(item_vectors)
    blocks = score_blocks(_tensor(user_vectors), items, seen=seen, block=block)
    ranked = [np.zeros((0, k), dtype=np.int64)] + [rank(scores, k) for _, scores in blocks]
    return np.concatenate(ranked)


def score_blocks(
    users: Tensor, items: Tensor, *, seen: ItemLists | None, block: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Inner products of blocks of users with all items, -inf for seen ones: (rows, scores (block, items))."""
    size = block or max(BLOCK_SCORES // max(len(items), 1), 1)
    for start in range(0, len(users), size):
        rows = slice(start, min(start + size, len(users)))
        scores = users[rows] @ items.T
        if seen is not None:
            lists = seen.take(np.arange(rows.start, rows.stop))
            at = torch.from_numpy(lists.rows()), torch.from_numpy(lists.items)
            scores[at[0].to(scores.device), at[1].to(scores.device)] = -torch.inf
        yield rows, scores


def rank(scores: Tensor, k: int) -> IntArray:
    """Positions of the k largest scores of each row; equal scores by position, -1 for -inf; int64 (rows, k)."""
    width = min(k, scores.shape[1])
    values, place = scores.topk(width, dim=1)
    # topk breaks ties as it likes: rows where equal scores straddle the end are sorted whole, the others by position.
    if width:
        straddling = (scores >= values[:, -1:]).sum(dim=1) > width
        if straddling.any():
            again, where = torch.sort(scores[straddling], dim=1, descending=True, stable=True)
            values[straddling], place[straddling] = again[:, :width], where[:, :width]
    place, order = place.sort(dim=1)
    values, again_order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    place = place.gather(1, again_order).masked_fill(values == -torch.inf, -1)
    result = np.full((len(scores), k), -1, dtype=np.int64)
    result[:, :width] = place.cpu().numpy()
    return result


def _tensor(vectors: npt.NDArray[Any] | Tensor) -> Tensor:
    return vectors if isinstance(vectors, Tensor) else torch.from_numpy(np.ascontiguousarray(vectors))
