"""The stage of a refresh that fits the channels beside the trained model, and finds their weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kg import KnowledgeGraph
from kg.errors import InvalidDataError
from kg.progress import SILENT, Progress
from recall.channels.settings import make_channel
from recall.config.deployment import RefreshConfig
from recall.contracts import Channel, FitData, Query
from recall.fusion import FusionConfig
from recall.jobs.prepare import Prepared
from recall.pipeline import Pipeline
from recall.serve.loading import save_channels


def keep_channels(
    config: RefreshConfig,
    prepared: Prepared,
    model: Channel,
    folder: Path,
    graph: KnowledgeGraph,
    *,
    weights: Mapping[str, float] | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Fit and save the channels that are fused with the trained model.

    Args:
        config: names the channels.
        prepared: graph, texts and split.
        model: fitted on `graph`.
        folder: to save to.
        graph: what to fit on.
        weights: None: those of the configuration, or else the best on the validation part, which `graph` must not hold.
        progress: hears of every channel.

    Returns:
        The weights, and the seconds that each channel took.

    Raises:
        InvalidDataError: weights are to be found, and the validation part is empty.
    """
    settings = config.fusion
    if not config.fused:
        return {}
    channels: dict[str, Channel] = {}
    data = FitData.of(graph, features=prepared.features)
    seconds = {}
    with progress.task("fitting channels", total=len(config.pipeline.channels)) as task:
        for name in config.pipeline.channels:
            task.note(name)
            start = time.monotonic()
            channels[name] = model if name == model.name else make_channel(config.channels, name).fit(data)
            seconds[name] = round(time.monotonic() - start, 3)
            task.advance()
    pipeline = Pipeline(channels, data.history, fusion=FusionConfig(depth=settings.depth))
    chosen = weights or settings.weights or _best_weights(pipeline, prepared, settings.validation_users)
    pipeline = pipeline.with_weights({name: chosen[name] for name in channels})
    folder.mkdir(parents=True, exist_ok=True)
    save_channels(folder, pipeline)
    return {"weights": pipeline.fusion.weights, "seconds": seconds}


def _best_weights(pipeline: Pipeline, prepared: Prepared, limit: int) -> dict[str, float]:
    """The best weights on the validation part, for a seeded choice of its users."""
    validation = prepared.validation()
    if validation is None:
        raise InvalidDataError(
            "fusion.weights are chosen on the validation part, which has no positive interaction: give weights, or "
            "a larger split.valid"
        )
    users = np.flatnonzero(validation.truth.counts)
    users = np.sort(np.random.default_rng(0).permutation(users)[:limit])
    queries = Query.of_users(users, prepared.graph.users, seen=validation.seen.take(users))
    return pipeline.fit_weights(queries, validation.truth.take(users))
