"""The best items of every user over all items, a block of users at a time: never a dense user x item matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnn.evaluation.top_k import top_k
from kg import RaggedArray
from kg.arrays import IntArray

# Scores in memory at a time: what fits a CPU's cache, and what keeps a GPU busy.
CPU_SCORES = 1 << 22
GPU_SCORES = 1 << 27
# Of more items than these a CPU scores some at a time, so that many users share the reading of their vectors.
CPU_ITEMS = 1 << 15


def top_items(
    user_vectors: npt.NDArray[Any] | Tensor,
    item_vectors: npt.NDArray[Any] | Tensor,
    k: int,
    *,
    seen: RaggedArray | None = None,
    block: int | None = None,
) -> IntArray:
    """Rank all items for every user by inner product.

    Args:
        user_vectors: (n, dim).
        item_vectors: (items, dim), scales already in them.
        k: items wanted.
        seen: items left out for each user, (n,) lists, or None.
        block: users scored at a time; None: as many as suit the device.

    Returns:
        Item positions, best first, equal scores by position, -1 where fewer than k are left; int64 (n, k).
    """
    items = _tensor(item_vectors)
    blocks = score_blocks(_tensor(user_vectors), items, seen=seen, block=block)
    ranked = [np.zeros((0, k), dtype=np.int64)] + [rank(scores, k) for _, scores in blocks]
    return np.concatenate(ranked)


def score_blocks(
    users: Tensor, items: Tensor, *, seen: RaggedArray | None, block: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Inner products of blocks of users with all items, -inf for seen ones: (rows, scores (block, items))."""
    for rows, scores, place in _blocks(users, items, seen, block):
        scores[place] = -torch.inf
        yield rows, scores


def top_items_under(
    users: Tensor, items: Tensor, ways: Sequence[tuple[Tensor, Tensor | None]], k: int, *, seen: RaggedArray | None
) -> list[IntArray]:
    """Rank all items for every user in several ways, from one product.

    Args:
        users: (n, dim).
        items: (items, dim).
        ways: what each item's scores are multiplied by, and what times the length of the user's vector is added to them
            or None, (items,) each.
        k: items wanted.
        seen: as in `top_items`.

    Returns:
        As `top_items`, for each way.
    """
    ranked: list[list[IntArray]] = [[np.zeros((0, k), dtype=np.int64)] for _ in ways]
    lengths = users.norm(dim=1, keepdim=True)
    width = len(items) if items.device.type != "cpu" else min(len(items), CPU_ITEMS)
    spans = [slice(start, start + width) for start in range(0, len(items), max(width, 1))] or [slice(0, 0)]
    for rows in _row_blocks(len(users), max(width, 1), items.device):
        parts: list[list[tuple[IntArray, npt.NDArray[Any]]]] = [[] for _ in ways]
        for span in spans:
            scores = users[rows] @ items[span].T
            place = _places(seen, rows, span, items.device)
            # One array for all ways: a fresh one costs more, page by page, than what is computed in it.
            scaled = torch.empty_like(scores)
            for (scale, added), of_way in zip(ways, parts, strict=True):
                torch.mul(scores, scale[span], out=scaled)
                if added is not None:
                    scaled.addcmul_(lengths[rows], added[span])
                scaled[place] = -torch.inf
                if len(spans) == 1:
                    of_way.append((rank(scaled, k), np.zeros(0)))
                else:
                    best, values = top_k(scaled.numpy(), k)
                    of_way.append((np.where(best < 0, -1, best + span.start), values))
        for of_way, lists in zip(parts, ranked, strict=True):
            lists.append(of_way[0][0] if len(spans) == 1 else _best_of(of_way, k))
    return [np.concatenate(lists) for lists in ranked]


def _best_of(parts: Sequence[tuple[IntArray, npt.NDArray[Any]]], k: int) -> IntArray:
    """The best k among the best of each span: spans ascend, and so do equal scores in one, which breaks ties."""
    positions = np.concatenate([positions for positions, _ in parts], axis=1)
    place = top_k(np.concatenate([values for _, values in parts], axis=1), k)[0]
    chosen = np.take_along_axis(positions, np.maximum(place, 0), axis=1)
    result: IntArray = np.where(place < 0, -1, chosen)
    return result


def _blocks(
    users: Tensor, items: Tensor, seen: RaggedArray | None, block: int | None
) -> Iterator[tuple[slice, Tensor, tuple[Tensor, Tensor]]]:
    """Rows, their scores, and where in these are those of seen items."""
    for rows in _row_blocks(len(users), max(len(items), 1), items.device, block):
        yield rows, users[rows] @ items.T, _places(seen, rows, slice(0, len(items)), items.device)


def _row_blocks(count: int, width: int, device: torch.device, block: int | None = None) -> Iterator[slice]:
    """Rows whose scores of so many items suit the device, or `block` at a time."""
    size = block or max((CPU_SCORES if device.type == "cpu" else GPU_SCORES) // width, 1)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _places(seen: RaggedArray | None, rows: slice, span: slice, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the seen items are among the scores of some rows and a span of the items."""
    if seen is None:
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return none, none
    lists = seen.take(np.arange(rows.start, rows.stop))
    inside = (lists.values >= span.start) & (lists.values < span.stop)
    row, item = lists.rows()[inside], lists.values[inside] - span.start
    return torch.from_numpy(row).to(device), torch.from_numpy(item).to(device)


def rank(scores: Tensor, k: int) -> IntArray:
    """Positions of the k largest scores of each row; equal scores by position, -1 for -inf; int64 (rows, k)."""
    if scores.device.type == "cpu":
        return top_k(scores.numpy(), k)[0]
    result = np.full((len(scores), k), -1, dtype=np.int64)
    place = _largest(scores, min(k, scores.shape[1]))
    result[:, : place.shape[1]] = place.cpu().numpy()
    return result


def _largest(scores: Tensor, k: int) -> Tensor:
    """`gnn.evaluation.top_k.top_k` on a GPU, for k up to the number of columns."""
    values, place = scores.topk(k, dim=1)
    # topk breaks ties as it likes: rows where equal scores straddle the end are sorted whole, the others by position.
    if k:
        straddling = (scores >= values[:, -1:]).sum(dim=1) > k
        if straddling.any():
            whole, where = torch.sort(scores[straddling], dim=1, descending=True, stable=True)
            values[straddling], place[straddling] = whole[:, :k], where[:, :k]
    place, order = place.sort(dim=1)
    values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return place.gather(1, best).masked_fill(values == -torch.inf, -1)


def _tensor(vectors: npt.NDArray[Any] | Tensor) -> Tensor:
    return vectors if isinstance(vectors, Tensor) else torch.from_numpy(np.ascontiguousarray(vectors))
