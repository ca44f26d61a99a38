"""The weights of channels with the best ranking on validation users, and what untouched items need beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.validation import largest_factor
from kg.arrays import RaggedArray
from recall.fusion.combination import FusedScores, Values, best_of_union

_NDCG = Callable[[Values], float]

_FACTORS = (4.0, 2.0, 1.5, 1.2, 1.1)  # by which a weight is changed, in either direction
_ROUNDS = 10
_RAISE, _RAISES = 1.1, 30  # factor by which preferred channels are raised, and how often at most
_WORTH = 2e-3  # of the NDCG: a channel that adds less is left out
_LADDER = np.round(1.1 ** np.arange(31), 3)  # factors of untouched items, up to 17
_HOPE = 2e-2  # of the NDCG: what searching the other weights again may win back


class Candidates:
    """What the channels list for validation users, with each channel's part of the score.

    Of each user about 5 kB are held for two channels at a depth of 200.
    """

    def __init__(
        self, blocks: Iterable[tuple[slice, FusedScores]], truth: RaggedArray, *, k: int, exclude_seen: bool = True
    ) -> None:
        """One pass over the channels.

        Args:
            blocks: rows of the validation users, and their scores under equal weights.
            truth: what the users liked in the validation part, (n,) lists, none empty.
            k: cut-off of the metrics.
            exclude_seen: leave out what they have seen.
        """
        self._blocks = []
        for rows, block in blocks:
            items, _ = block.union(k, exclude=block.seen if exclude_seen else None)
            self._blocks.append((rows, items, block.parts(items).astype(np.float32)))
        self._truth, self._k = truth, k

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self._blocks[0][2])

    def mean(self, metric: str, weights: Values, factor: npt.NDArray[np.float64] | None = None) -> float:
        """The mean over the users of "ndcg" or "recall".

        Args:
            metric: its name.
            weights: of the channels, (c,).
            factor: of each item's score, (items,); None: 1. An item whose factor is 0 is left out.
        """
        values = []
        for rows, items, parts in self._blocks:
            scores = np.tensordot(weights, parts, axes=1)
            if factor is not None:
                scores = np.where(factor[items] > 0, scores * factor[items], -np.inf)
            ranked = best_of_union(items, scores, self._k)[0].items
            truth = self._truth.take(np.arange(rows.start, rows.stop))
            values.append(per_user_metrics(ranked, truth, self._k)[metric])
        return float(np.concatenate(values).mean())


def fit_weights(candidates: Candidates, *, preferred: Sequence[bool] | None = None) -> Values:
    """The weights with the best NDCG@k, one channel's weight changed at a time (coordinate search) until none helps.

    Then channels are left out, the one that adds least first, while that costs less than a five-hundredth of the NDCG,
    which is less than noise. The weights of the others are searched again. Last, channels that are preferred are raised
    as far as that costs less than the same. Every weight is tried on the items that the channels list, so that the
    search costs one pass over the channels.

    Args:
        candidates: of the validation users.
        preferred: channels, (c,), that shall carry as much of the score as costs no more than noise, since they can be
            explained better; None: none.

    Returns:
        One weight for each channel, float64; they add up to 1.
    """
    ndcg = partial(candidates.mean, "ndcg")
    weights, best = _climb(ndcg, np.ones(candidates.channels))
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


def fit_untouched(candidates: Candidates, weights: Values, untouched: npt.NDArray[np.bool_], *, cost: float) -> float:
    """The largest factor of items that nobody likes that costs at most a share of the recall on validation.

    Args:
        candidates: of the validation users.
        weights: of the channels, (c,).
        untouched: the items that nobody likes, (items,).
        cost: that share; what is compared with leaves these items out.

    Returns:
        The factor, at least 1.
    """
    if not untouched.any():
        return 1.0

    def recall(factor: float) -> float:
        return candidates.mean("recall", weights, np.where(untouched, factor, 1.0))

    return largest_factor(recall, _LADDER.tolist(), without=recall(0.0), cost=cost)[0]


def _raised(ndcg: _NDCG, weights: Values, preferred: npt.NDArray[np.bool_], least: float) -> Values:
    """The weights with those of the preferred channels raised together as long as at least so much is reached."""
    if not weights[preferred].any() or not weights[~preferred].any():
        return weights
    for _ in range(_RAISES):
        raised = np.where(preferred, weights * _RAISE, weights)
        if ndcg(raised) < least:
            break
        weights = raised
    return weights


def _climb(ndcg: _NDCG, weights: Values, best: float | None = None) -> tuple[Values, float]:
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
