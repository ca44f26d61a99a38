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

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import InvalidDataError

PER_USER = ("recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg")
Values = npt.NDArray[np.float64]

_DRAWN = 1 << 23  # users drawn for bootstrap samples that are held at once, 64 MiB


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
    check_truth(truth)
    return hit_metrics(find_hits(ranked[:, :k], truth), truth.counts, (k,))[k]


def check_truth(truth: RaggedArray) -> None:
    """Make sure that every user has something to find.

    Raises:
        InvalidDataError: a user has no truth: no metric is defined there, leave those users out first.
    """
    empty = int((truth.counts == 0).sum())
    if empty:
        raise InvalidDataError(f"{empty} users have nothing to find: leave them out of the evaluation")


def hit_metrics(hits: npt.NDArray[np.bool_], sizes: IntArray, ks: Sequence[int]) -> dict[int, dict[str, Values]]:
    """All per-user metrics at several cut-offs, from one pass over the hits.

    Args:
        hits: which places of the lists hold an item of the truth, best first, bool (users, places).
        sizes: items of each truth, at least 1, int64 (users,).
        ks: cut-offs, at least 1.

    Returns:
        Cut-off -> metric name -> float64 (users,).
    """
    # Hits are few: everything is summed over them, never over all places.
    user, place = np.nonzero(hits)
    starts = np.searchsorted(user, np.arange(len(hits)))
    number = np.arange(len(user)) - starts[user] + 1  # of the hit in its list, from 1
    precision_there, gain = number / (place + 1), 1 / np.log2(place + 2)
    first = np.full(len(hits), np.inf)
    first[user[number == 1]] = place[number == 1]
    ideal_gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(max(ks, default=0)) + 2))])
    result = {}
    for k in ks:
        inside = place < k
        users = user[inside]
        counts = np.bincount(users, minlength=len(hits))
        ideal = np.minimum(sizes, k)
        recall, precision = counts / sizes, counts / k
        both = recall + precision
        result[k] = {
            "recall": recall,
            "precision": precision,
            "f1": np.divide(2 * recall * precision, both, out=np.zeros_like(both), where=both > 0),
            "hit_rate": (counts > 0).astype(np.float64),
            "mrr": np.where(first < k, 1 / (first + 1), 0.0),
            "map": np.bincount(users, precision_there[inside], minlength=len(hits)) / ideal,
            "ndcg": np.bincount(users, gain[inside], minlength=len(hits)) / ideal_gains[ideal],
        }
    return result


def list_metrics(ranked: IntArray, popularity: IntArray, *, num_users: int, k: int) -> dict[str, float]:
    """Properties of the ranked lists that do not depend on the truth.

    Args:
        ranked: int64 (users, >= k), -1 for places without an item.
        popularity: users who liked each item in training, int64 (items,).
        num_users: users in training, the denominator of an item's probability.
        k: cut-off.

    Returns:
        See `exposure_metrics`.
    """
    shown = ranked[:, :k]
    return exposure_metrics(np.bincount(shown[shown >= 0], minlength=len(popularity)), popularity, num_users=num_users)


def exposure_metrics(exposure: IntArray, popularity: IntArray, *, num_users: int) -> dict[str, float]:
    """Properties of lists that depend only on how often each item stands in them.

    Args:
        exposure: in how many lists each item stands, int64 (items,).
        popularity: users who liked each item in training, int64 (items,).
        num_users: users in training, the denominator of an item's probability.

    Returns:
        `coverage`: share of all items that appear in some list. `gini`: Gini index of the exposure over all items, 0
        where all items are shown equally often, near 1 where a few take all places. `novelty`: mean of -log2 of an
        item's share of users (Zhou et al. 2010; an item nobody liked counts as liked by one). `long_tail`: share of
        places that go to items outside the most popular fifth.
    """
    places = int(exposure.sum())
    if not places:
        return {"coverage": 0.0, "gini": 0.0, "novelty": 0.0, "long_tail": 0.0}
    head = np.zeros(len(popularity), dtype=bool)
    head[np.argsort(-popularity, kind="stable")[: max(len(popularity) // 5, 1)]] = True
    share = np.maximum(popularity, 1) / max(num_users, 1)
    ascending, count = np.sort(exposure), len(exposure)
    rank = np.arange(1, count + 1)
    return {
        "coverage": np.count_nonzero(exposure) / count,
        "gini": float(((2 * rank - count - 1) * ascending).sum() / (count * places)),
        "novelty": float(-(exposure * np.log2(share)).sum() / places),
        "long_tail": float(exposure[~head].sum() / places),
    }


def bootstrap_interval(values: Values, *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of a mean over users (Efron 1979), users drawn with replacement.

    Args:
        values: one per user, (users,); for a paired comparison, the differences.
        level: coverage of the interval.
        draws: bootstrap samples.
        seed: of the draws.
    """
    return bootstrap_intervals(values[:, None], level=level, draws=draws, seed=seed)[0]


def bootstrap_intervals(
    values: Values, *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> list[tuple[float, float]]:
    """The same for several values a user, (users, m): of all from the same users, for each column."""
    random = np.random.default_rng(seed)
    users = len(values)
    step = max(1, min(draws, _DRAWN // max(users, 1)))
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, step):
        part = range(start, min(start + step, draws))
        counts = np.stack([np.bincount(random.integers(0, users, users), minlength=users) for _ in part])
        means[part.start : part.stop] = counts.astype(np.float64) @ values / users
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
