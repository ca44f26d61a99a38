"""Ranking metrics, a value for each user, so that means, bootstrap intervals and paired comparisons are all possible.

Definitions (truth T of a user, ranked list cut at k, hits counted over distinct items):

    recall     hits / |T|
    precision  hits / k, also when the list is shorter
    f1         harmonic mean of the two
    hit_rate   1 if there is a hit
    mrr        1 / rank of the first hit, 0 without one
    map        sum over hits of precision at that rank, / min(|T|, k)
    ndcg       sum over hits of 1 / log2(rank + 1), / the same of an ideal list of min(|T|, k) hits (Jarvelin and
               Kekalainen 2002, binary gains); the ideal is that of the truth, not of the retrieved list

PyG's LinkPred metrics give means of batches only; the tests compare these with them and with a plain loop.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import InvalidDataError

PER_USER = ("recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg")
Values = npt.NDArray[np.float64]


def find_hits(ranked: IntArray, truth: RaggedArray) -> npt.NDArray[np.bool_]:
    """Which ranked items are in the user's truth.

    Args:
        ranked: item positions, best first, -1 for places without an item, int64 (users, k).
        truth: the relevant items of each of the same users, (users,) lists.

    Returns:
        bool (users, k).

    Raises:
        InvalidDataError: shapes differ, or a list names an item twice (a second hit would count double).
    """
    if len(ranked) != len(truth):
        raise InvalidDataError(f"{len(ranked)} ranked lists do not go with {len(truth)} truths")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise InvalidDataError("a ranked list names an item twice")
    return truth.contains(ranked)


def per_user_metrics(ranked: IntArray, truth: RaggedArray, k: int) -> dict[str, Values]:
    """All per-user metrics at one cut-off.

    Args:
        ranked: int64 (users, at least k or fewer when there are fewer items), -1 for places without an item.
        truth: (users,) lists, none of them empty.
        k: cut-off, at least 1.

    Returns:
        Metric name -> float64 (users,).

    Raises:
        InvalidDataError: a user has no truth: no metric is defined there, leave those users out first.
    """
    sizes = truth.counts
    if (sizes == 0).any():
        raise InvalidDataError(
            f"{int((sizes == 0).sum())} users have nothing to find: leave them out of the evaluation"
        )
    hits = find_hits(ranked[:, :k], truth)
    ranks = np.arange(1, hits.shape[1] + 1)
    counts = hits.sum(axis=1)
    recall = counts / sizes
    precision = counts / k
    both = recall + precision
    ideal = np.minimum(sizes, k)
    ideal_gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])[ideal]
    first = np.where(counts > 0, hits.argmax(axis=1) + 1, 1)
    return {
        "recall": recall,
        "precision": precision,
        "f1": np.divide(2 * recall * precision, both, out=np.zeros_like(both), where=both > 0),
        "hit_rate": (counts > 0).astype(np.float64),
        "mrr": np.where(counts > 0, 1 / first, 0.0),
        "map": (hits * np.cumsum(hits, axis=1) / ranks).sum(axis=1) / ideal,
        "ndcg": (hits / np.log2(ranks + 1)).sum(axis=1) / ideal_gain,
    }


def list_metrics(ranked: IntArray, popularity: IntArray, *, num_users: int, k: int) -> dict[str, float]:
    """Properties of the ranked lists that do not depend on the truth.

    Args:
        ranked: int64 (users, >= k), -1 for places without an item.
        popularity: users who liked each item in training, int64 (items,).
        num_users: users in training, the denominator of an item's probability.
        k: cut-off.

    Returns:
        `coverage`: share of all items that appear in some list. `novelty`: mean of -log2 of an item's share of users
        (Zhou et al. 2010; an item nobody liked counts as liked by one). `long_tail`: share of places that go to items
        outside the most popular fifth.
    """
    shown = ranked[:, :k]
    shown = shown[shown >= 0]
    if not len(shown):
        return {"coverage": 0.0, "novelty": 0.0, "long_tail": 0.0}
    head = np.zeros(len(popularity), dtype=bool)
    head[np.argsort(-popularity, kind="stable")[: max(len(popularity) // 5, 1)]] = True
    share = np.maximum(popularity[shown], 1) / max(num_users, 1)
    return {
        "coverage": len(np.unique(shown)) / len(popularity),
        "novelty": float(-np.log2(share).mean()),
        "long_tail": float((~head[shown]).mean()),
    }


def bootstrap_interval(values: Values, *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of a mean over users (Efron 1979), users drawn with replacement.

    Args:
        values: one per user, (users,); for a paired comparison, the differences.
        level: coverage of the interval.
        draws: bootstrap samples.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    means = np.array([values[random.integers(0, len(values), len(values))].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
