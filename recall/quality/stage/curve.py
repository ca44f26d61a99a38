"""Precision over recall as the lists of all users grow together, and the area under it."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from gnn.evaluation.held_out import Evaluation, Group
from recall.quality.stage.report import Curve

MOST_POINTS = 60


def curve(ranker: str, evaluation: Evaluation, group: Group, num_items: int) -> Curve:
    """The precision-recall curve over all pairs of a user and an item that may be shown to him.

    A pair is the better the nearer to the top it stands; pairs at the same place are equal, and so are all pairs that
    no list holds, which come last. So it is the curve of every pair, from one weighted entry a place.

    Args:
        ranker: name.
        evaluation: of it on the group.
        group: the users, their truth and what is left out.
        num_items: items there are.
    """
    allowed = num_items if group.candidates is None else len(group.candidates)
    hits, shown = evaluation.hits, evaluation.shown
    missed = evaluation.to_find - int(hits.sum())
    pairs = max(allowed * len(group) - int(group.seen.counts.sum()), int(shown.sum()) + missed)
    not_shown = pairs - int(shown.sum()) - missed
    places = np.arange(1, len(hits) + 2)
    right = np.append(hits, missed)
    wrong = np.append(shown - hits, not_shown)
    labels = np.repeat([1, 0], len(places))
    scores = -np.concatenate([places, places]).astype(np.float64)
    weights = np.concatenate([right, wrong]).astype(np.float64)
    there = weights > 0
    labels, scores, weights = labels[there], scores[there], weights[there]
    precision, recall, thresholds = precision_recall_curve(labels, scores, sample_weight=weights)
    area = average_precision_score(labels, scores, sample_weight=weights)
    # Points come from the longest lists to the shortest; those of all pairs and of empty lists say nothing.
    at = np.flatnonzero(thresholds >= -len(hits))[::-1]
    kept = at[np.unique(np.geomspace(1, max(len(at), 1), MOST_POINTS).astype(np.int64) - 1)] if len(at) else at
    return Curve(
        ranker=ranker,
        group=group.name,
        average_precision=float(area),
        places=tuple((-thresholds[kept]).astype(np.int64).tolist()),
        recall=tuple(recall[kept].tolist()),
        precision=tuple(precision[kept].tolist()),
    )
