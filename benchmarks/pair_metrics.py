"""Measures that only benchmarks report: of labelled pairs (click-through-rate protocols), and means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import Values
from kg.arrays import IntArray
from kg.errors import InvalidDataError


def user_means(users: Sequence[IntArray], values: Sequence[Values]) -> Values:
    """Each user's mean over the seeds that measured this user; seeds may differ in whom they measure.

    Args:
        users: positions, int64 (n,) a seed.
        values: one for each of them, (n,) a seed.

    Returns:
        Of all users that occur, by position, (users,).
    """
    user, value = np.concatenate(users), np.concatenate(values)
    times = np.bincount(user)
    means: Values = np.bincount(user, weights=value)[times > 0] / times[times > 0]
    return means


def auc(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating[Any]], weights: Values | None = None) -> float:
    """Area under the ROC curve: how often a positive pair has the higher score than a negative one, ties half.

    Args:
        labels: bool (pairs,).
        scores: (pairs,), finite.
        weights: how often each pair counts, (pairs,), or None: once.

    Raises:
        InvalidDataError: only one label occurs, or a score is no number.
    """
    positive, negative, total = _score_levels(labels, scores, np.ones(len(labels)) if weights is None else weights)
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total)


def auc_draws(
    users: IntArray,
    labels: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.floating[Any]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Values:
    """The area under the ROC curve of bootstrap samples of users, each taken with all its pairs.

    The same pairs and seed draw the same users, whatever the scores: the draws of two models are paired.

    Args:
        users: whose each pair is, int64 (pairs,).
        labels: bool (pairs,).
        scores: (pairs,).
        draws: samples.
        seed: of the draws.

    Returns:
        float64 (draws,); NaN for a sample that has only one label.

    Raises:
        InvalidDataError: only one label occurs, or a score is no number.
    """
    auc(labels, scores)
    random = np.random.default_rng(seed)
    who = np.unique(users)
    order = np.argsort(scores, kind="stable")
    row, label, score = np.searchsorted(who, users)[order], labels[order], scores[order]
    starts = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
    result = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(random.integers(0, len(who), len(who)), minlength=len(who)).astype(np.float64)
        weight = times[row]
        positive = np.add.reduceat(weight * label, starts)
        negative = np.add.reduceat(weight * ~label, starts)
        below = np.cumsum(negative) - negative
        mixed = positive.sum() * negative.sum()
        result[draw] = (positive * (below + negative / 2)).sum() / mixed if mixed else np.nan
    return result


def f1_score(labels: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall of predicted positives, 0 without a hit.

    Args:
        labels: bool (pairs,).
        predicted: bool (pairs,).
    """
    both = int(labels.sum()) + int(predicted.sum())
    return 2 * int((labels & predicted).sum()) / both if both else 0.0


def _score_levels(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating[Any]], weights: Values
) -> tuple[Values, Values, float]:
    """Weight of positives and of negatives at each distinct score, ascending, and the weight of all mixed pairs."""
    if not np.isfinite(scores).all():
        raise InvalidDataError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are no numbers")
    levels, level = np.unique(scores, return_inverse=True)
    positive: Values = np.bincount(level, weights=weights * labels, minlength=len(levels)).astype(np.float64)
    negative: Values = np.bincount(level, weights=weights * ~labels, minlength=len(levels)).astype(np.float64)
    total = float(positive.sum() * negative.sum())
    if not total:
        raise InvalidDataError("the area under the ROC curve needs pairs of both labels")
    return positive, negative, total
