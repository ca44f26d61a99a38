"""What the channels of a new run must answer: how they are fused, and metrics that are finite."""

from __future__ import annotations

import math

import numpy as np

from kg.errors import GateError
from recall.config.sections import FusionSettings
from recall.contracts import Query
from recall.fusion import FusionConfig
from recall.jobs.prepare import Prepared
from recall.pipeline import Pipeline
from recall.runs.report import EvaluationReport


def best_fusion(pipeline: Pipeline, prepared: Prepared, settings: FusionSettings) -> FusionConfig:
    """The weights with the best NDCG on the validation part, and what untouched items need beside them.

    Weights that the settings give stay; where the validation part has nothing to find, others are equal.

    Args:
        pipeline: of channels fitted on the training part.
        prepared: graph and split.
        settings: of the fusion.
    """
    validation = prepared.validation()
    if validation is None:
        equal = dict.fromkeys(pipeline.channels, 1 / len(pipeline.channels))
        return pipeline.fusion.changed(weights=settings.weights or equal)
    users = np.flatnonzero(validation.truth.counts)
    users = np.sort(np.random.default_rng(0).permutation(users)[: settings.validation_users])
    queries = Query.of_users(users, prepared.graph.users, seen=validation.seen.take(users))
    truth = validation.truth.take(users)
    return pipeline.fit_fusion(
        queries, truth, k=settings.measured_at, weights=settings.weights, cold_cost=settings.cold_cost
    )


def check_finite(evaluation: EvaluationReport) -> None:
    """Refuse a metric that is not finite.

    Raises:
        GateError: there is one.
    """
    for row in evaluation.metrics:
        if bad := [name for name, value in row.metrics.items() if not math.isfinite(value)]:
            raise GateError(f"{', '.join(bad)} of {row.ranker} for {row.group} is no number")
