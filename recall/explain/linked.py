"""How much of the score sits on pairs of outer hops that the graph joins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from kg.topology.adjacency import Adjacency
from recall.contracts import Shares
from recall.explain.pair import Pair


def linked_share(pair: Pair, shares: Shares) -> tuple[float, float]:
    """The sum of the pair shares on joined pairs, and their absolute part; see `Explanation.linked_fraction`."""
    joined = _joined(
        pair,
        np.array([share.node for share in shares.history], dtype=np.int64),
        np.array([share.node for share in shares.neighbours], dtype=np.int64),
    )
    absolute = np.abs(shares.pairs)
    total = float(absolute.sum()) + sum(abs(term) for term in (*shares.cross, shares.prior))
    linked = float(shares.pairs[joined].sum())
    return linked, float(absolute[joined].sum()) / total if total else 0.0


def _joined(pair: Pair, left: IntArray, right: IntArray) -> npt.NDArray[np.bool_]:
    """Which first hops are the same node or share an edge, on a simple path from user to item, bool (left, right)."""
    left_nodes, left_row = np.unique(left, return_inverse=True)
    right_nodes, right_row = np.unique(right, return_inverse=True)
    joined = left_nodes[:, None] == right_nodes[None, :]
    if joined.size:
        degree = np.diff(pair.adjacency.offsets)
        if degree[left_nodes].sum() <= degree[right_nodes].sum():
            _mark_edges(pair.adjacency, left_nodes, right_nodes, joined)
        else:
            _mark_edges(pair.adjacency, right_nodes, left_nodes, joined.T)
        for end in (pair.user, pair.item):
            joined[left_nodes == end] = False
            joined[:, right_nodes == end] = False
    result: npt.NDArray[np.bool_] = joined[left_row][:, right_row]
    return result


def _mark_edges(adjacency: Adjacency, near: IntArray, far: IntArray, joined: npt.NDArray[np.bool_]) -> None:
    """Set `joined[n, f]` where an edge joins near[n] and far[f]; `far` is sorted."""
    neighbours = RaggedArray(adjacency.offsets, adjacency.neighbour).take(near)
    place = np.minimum(np.searchsorted(far, neighbours.values), len(far) - 1)
    is_far = far[place] == neighbours.values
    joined[neighbours.rows()[is_far], place[is_far]] = True
