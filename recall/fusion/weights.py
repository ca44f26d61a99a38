"""The weights of channels with the best ranking on validation users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import per_user_metrics
from kg.arrays import IntArray, RaggedArray
from recall.fusion.combination import FusedScores, Values, best_of_union

_FACTORS = (4.0, 2.0, 1.5, 1.2, 1.1)  # by which a weight is changed, in either direction
_ROUNDS = 10
_RAISE, _RAISES = 1.1, 30  # factor by which preferred channels are raised, and how often at most
_WORTH = 2e-3  # of the NDCG: a channel that adds less is left out
_HOPE = 2e-2  # of the NDCG: what searching the other weights again may win back


def fit_weights(
    blocks: Iterable[tuple[slice, FusedScores]],
    truth: RaggedArray,
    *,
    k: int = 20,
    exclude_seen: bool = True,
    preferred: Sequence[bool] | None = None,
) -> Values:
    """The weights with the best NDCG@k, one channel's weight changed at a time (coordinate search) until none helps.

    Then channels are left out, the one that adds least first, while that costs less than a five-hundredth of the NDCG,
    which is less than noise. The weights of the others are searched again. Last, channels that are preferred are raised
    as far as that costs less than the same. Every weight is tried on the items that the channels list, so that the
    search costs one pass over the channels.

    Args:
        blocks: rows of the validation users, and their scores under equal weights. Of each user the items that the
            channels list are kept, about 5 kB for two channels at a depth of 200.
        truth: what the users liked in the validation part, (n,) lists, none empty.
        k: cut-off of the metric.
        exclude_seen: leave out what they have seen.
        preferred: channels, (c,), that shall carry as much of the score as costs no more than noise, since they can be
            explained better; None: none.

    Returns:
        One weight for each channel, float64; they add up to 1.
    """
    candidates = []
    for rows, block in blocks:
        items, _ = block.union(k, exclude=block.seen if exclude_seen else None)
        candidates.append((rows, items, block.parts(items).astype(np.float32)))
    ndcg = _Objective(candidates, truth, k)
    weights, best = _climb(ndcg, np.ones(len(candidates[0][2])))
    while np.count_nonzero(weights) > 1:
        without = [np.where(np.arange(len(weights)) == at, 0.0, weights) for at in np.flatnonzero(weights)]
        value, least = max((ndcg(fewer), -at) for at, fewer in enumerate(without))
        if value < best * (1 - _HOPE):
            break
        others, reached = _climb(ndcg, without[-least], value)
        if reached < best * (1 - _WORTH):
            break
        weights, best = others, max(best, reached)
    if preferred is not None:
        weights = _raised(ndcg, weights, np.asarray(preferred, dtype=bool), best * (1 - _WORTH))
    result: Values = weights / weights.sum()
    return result


def _raised(ndcg: _Objective, weights: Values, preferred: npt.NDArray[np.bool_], least: float) -> Values:
    """The weights with those of the preferred channels raised together as long as at least so much is reached."""
    if not weights[preferred].any() or not weights[~preferred].any():
        return weights
    for _ in range(_RAISES):
        raised = np.where(preferred, weights * _RAISE, weights)
        if ndcg(raised) < least:
            break
        weights = raised
    return weights


def _climb(ndcg: _Objective, weights: Values, best: float | None = None) -> tuple[Values, float]:
    """The best weights that are reached by changing those above 0, one at a time, and what they reach."""
    best = ndcg(weights) if best is None else best
    for _ in range(_ROUNDS):
        before = best
        for at in np.flatnonzero(weights):
            for factor in _FACTORS:
                for changed in (weights[at] * factor, weights[at] / factor):
                    tried = weights.copy()
                    tried[at] = changed
                    if (value := ndcg(tried)) > best:
                        best, weights = value, tried
        if best == before:
            break
    return weights, best


class _Objective:
    """Mean NDCG@k of weights."""

    def __init__(
        self, candidates: Sequence[tuple[slice, IntArray, npt.NDArray[np.float32]]], truth: RaggedArray, k: int
    ) -> None:
        self._candidates = candidates
        self._truth = truth
        self._k = k

    def __call__(self, weights: Values) -> float:
        values = []
        for rows, items, parts in self._candidates:
            scores = np.tensordot(weights, parts, axes=1)
            ranked = best_of_union(items, scores, self._k)[0].items
            truth = self._truth.take(np.arange(rows.start, rows.stop))
            values.append(per_user_metrics(ranked, truth, self._k)["ndcg"])
        return float(np.concatenate(values).mean())
