"""What the channels of a new run must answer: the weights of a fusion, and metrics that are finite."""

from __future__ import annotations

import math

import numpy as np

from kg.errors import GateError
from recall.contracts import Query
from recall.jobs.prepare import Prepared
from recall.pipeline import Pipeline
from recall.runs.report import EvaluationReport


def best_weights(pipeline: Pipeline, prepared: Prepared, limit: int) -> dict[str, float]:
    """The weights with the best NDCG on the validation part; equal ones where it has nothing to find.

    Args:
        pipeline: of channels fitted on the training part.
        prepared: graph and split.
        limit: users, at most; a seeded choice.
    """
    validation = prepared.validation()
    if validation is None:
        return dict.fromkeys(pipeline.channels, 1 / len(pipeline.channels))
    users = np.flatnonzero(validation.truth.counts)
    users = np.sort(np.random.default_rng(0).permutation(users)[:limit])
    queries = Query.of_users(users, prepared.graph.users, seen=validation.seen.take(users))
    return pipeline.fit_weights(queries, validation.truth.take(users))


def check_finite(evaluation: EvaluationReport) -> None:
    """Refuse a metric that is not finite.

    Raises:
        GateError: there is one.
    """
    for row in evaluation.metrics:
        if bad := [name for name, value in row.metrics.items() if not math.isfinite(value)]:
            raise GateError(f"{', '.join(bad)} of {row.ranker} for {row.group} is no number")
