"""What a path is about, by the measures of Balloccu, Boratto, Fenu and Marras.

"Post Processing Recommender Systems with Knowledge Graphs for Recency, Popularity, and Diversity of Explanations",
SIGIR 2022. A path leads from a user to an item of the history (the linking interaction) and through a last node (the
shared entity) to the recommended item.

- LIR, linking interaction recency: how recent the item of the history is among the user's.
- SEP, shared entity popularity: how well connected the last node before the item is among those of its type.
- ETD, explanation type diversity: the types of path in a list, over the smaller of its length and of the types there
  are.

The values are those of hopwise (hopwise.evaluator.metrics: LIR, SEP and PTD), which smooths the sorted times or degrees
by an exponential mean whose span is their number, and stretches them to 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.history import InteractionHistory
from kg.interactions import NO_TIME
from kg.topology.adjacency import Adjacency

FloatArray = npt.NDArray[np.float64]


def smoothed(values: npt.NDArray[np.number]) -> FloatArray:
    """An exponential mean over sorted values, stretched to 0 to 1.

    Of value t it is the mean of the values up to t, each weighted with (1 - 2 / (n + 1)) to the power of its distance.
    Equal values count by their place.

    Args:
        values: ascending, (n,).

    Returns:
        (n,); a single value gets 1.
    """
    n = len(values)
    if n < 2:
        return np.ones(n)
    given = np.arange(n, dtype=np.float64) if values[0] == values[-1] else values.astype(np.float64) - float(values[0])
    keep = 1 - 2 / (n + 1)
    sums = lfilter([1.0], [1.0, -keep], given)
    weights = lfilter([1.0], [1.0, -keep], np.ones(n))
    means = sums / weights
    result: FloatArray = (means - means.min()) / (means.max() - means.min())
    return result


def recency(history: InteractionHistory, user: int) -> dict[int, float]:
    """LIR of each item that a user likes: position -> 0 (long ago) to 1 (the last one).

    Without times the places in the history count.
    """
    liked = history.in_order(np.array([user], dtype=np.int64))
    times = liked.times
    if (times == NO_TIME).any():
        times = np.arange(len(times))
    return dict(zip(liked.values.tolist(), smoothed(times).tolist(), strict=True))


def popularity(graph: KnowledgeGraph, adjacency: Adjacency) -> FloatArray:
    """SEP of every node by its number of neighbours over all relations, among the nodes of its type, (nodes,)."""
    degrees, result = adjacency.degree.sum(axis=0), np.zeros(len(adjacency.numbering))
    for name in graph.nodes:
        span = adjacency.numbering.span(name)
        order = np.argsort(degrees[span], kind="stable")
        result[span.start + order] = smoothed(degrees[span][order])
    return result


def type_diversity(kinds: Sequence[int] | IntArray, types: int) -> float:
    """ETD of a list of paths.

    Args:
        kinds: type of each path.
        types: how many types there are.

    Returns:
        0 to 1; 0 without paths.
    """
    return len(set(np.asarray(kinds).tolist())) / min(len(kinds), types) if len(kinds) and types else 0.0
