"""The stages that make a run: each done once, in the staging, whatever kills the process in between."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from gnn.device import resolve_device
from gnn.distributed import ALONE, Ranks
from gnn.embeddings import Embeddings
from gnn.trainer import RunContext, fit
from kg import KnowledgeGraph
from kg.errors import GateError, StoreError
from kg.files import write_json
from kg.progress import SILENT, Progress, Task
from kg.stores.embedded_build import build_store
from recall.assess import assess, exact_channel, write_split
from recall.channels import EmbeddingChannel
from recall.config import RefreshConfig
from recall.fit_channels import keep_channels
from recall.fusion import fused_channel
from recall.prepare import Inputs, Stages, prepare


def make_run(
    config: RefreshConfig,
    inputs: Inputs,
    stages: Stages,
    cache: Path,
    *,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """All stages; the staged run is complete afterwards but for its manifest.

    Args:
        config: of the deployment.
        inputs: what the sources hold.
        stages: of the staging; those that are done are not done again.
        cache: folder of the text vectors.
        progress: hears of every stage.
        ranks: processes that share the trainings.

    Returns:
        The report, which is in the staged run as well.

    Raises:
        InvalidDataError: the sources cannot be used.
        ConfigError: the device, a relation or a file that the configuration names is not there.
        TrainingError: training diverged.
        GateError: a metric is no number.
    """
    run = stages.run
    stages.run.path.mkdir(parents=True, exist_ok=True)
    prepared = prepare(config, inputs, stages, cache, progress)
    graph, features, split, view = prepared.graph, prepared.features, prepared.split, prepared.view

    def train_for_evaluation() -> dict[str, Any]:
        write_split(split, graph, run.split)
        found = fit(
            view,
            config.model,
            config.training,
            features=features,
            # A split without a validation part trains to the last step.
            validation=prepared.validation(),
            context=_context(config, stages.work / "evaluation", _Named(progress, "training for evaluation"), ranks),
        )
        found.save(run.evaluation_model)
        return _training_facts(found)

    trained = {"evaluation": stages.do("train for evaluation", run.evaluation_model.parent, train_for_evaluation)}

    weights = None
    if config.fusion is not None:

        def fit_channels_for_evaluation() -> dict[str, Any]:
            model = exact_channel(Embeddings.load(run.evaluation_model), view)
            return keep_channels(config, prepared, model, run.evaluation_channels, view, progress=progress)

        found = stages.do("fit channels for evaluation", run.evaluation_channels, fit_channels_for_evaluation)
        weights = found["weights"]

    def evaluate() -> dict[str, Any]:
        model = exact_channel(Embeddings.load(run.evaluation_model), view)
        found = assess(
            graph,
            split,
            model,
            kind=config.split.kind,
            ks=config.evaluation.k,
            fusion=fused_channel(run.evaluation_channels, model, view),
            baselines=config.evaluation.baselines,
            channels=config.channels,
            features=features,
            progress=progress,
        )
        _check_numbers(found["metrics"])
        return found

    measured = stages.do("evaluate", stages.work / "nothing", evaluate)

    def train_for_serving() -> dict[str, Any]:
        found = fit(
            graph,
            config.model,
            config.training,
            features=features,
            steps=trained["evaluation"]["steps"],
            beta=trained["evaluation"]["beta"],
            prior=trained["evaluation"]["prior"],
            cold_scale=trained["evaluation"].get("cold_items", {}).get("scale"),
            context=_context(config, stages.work / "serving", _Named(progress, "training for serving"), ranks),
        )
        found.save(run.model)
        return _training_facts(found)

    trained["serving"] = stages.do("train for serving", run.model, train_for_serving)

    if weights is not None:

        def fit_channels_for_serving() -> dict[str, Any]:
            model = exact_channel(Embeddings.load(run.model), graph)
            return keep_channels(config, prepared, model, run.channels, graph, weights=weights, progress=progress)

        stages.do("fit channels for serving", run.channels, fit_channels_for_serving)

    def index() -> dict[str, Any]:
        built = EmbeddingChannel.of(Embeddings.load(run.model), graph, index_config=config.index).index
        run.index.mkdir()
        built.save(run.index)
        return {"kind": built.kind, "parameters": built.parameters, "recall": built.recall, "items": len(built)}

    indexed = stages.do("index", run.index, index)

    def store() -> dict[str, Any]:
        try:
            build_store(run.graph, run.store, progress=progress)
        except StoreError as error:
            return {"finding": _finding(error)}
        return {"bytes": run.store.stat().st_size}

    stored = stages.do("store", run.store.parent, store)
    quality = prepared.quality
    if "finding" in stored:
        quality = {**quality, "findings": [*quality["findings"], stored["finding"]]}

    report = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": inputs.fingerprint,
        "data": _data_facts(graph),
        "quality": quality,
        "forgotten": inputs.forgotten(),
        "texts": prepared.texts,
        "training": trained,
        "fusion": None if weights is None else {"weights": weights},
        "evaluation": measured,
        "timings": stages.timings,
        "seed": config.seed,
        "device": str(resolve_device(config.device)),
        "index": indexed,
        "versions": library_versions(),
    }
    write_json(run.config, inputs.kept_config(config))
    write_json(run.report, report)
    return report


class _Named:
    """A listener that hears of every task under one name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        return self._progress.task(self._name, total=total)


def _context(config: RefreshConfig, folder: Path, progress: Progress, ranks: Ranks) -> RunContext:
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(
        device=config.device,
        seed=config.seed,
        progress=progress,
        checkpoints=folder,
        log=folder / "training.jsonl",
        ranks=ranks,
    )


def _training_facts(found: Embeddings) -> dict[str, Any]:
    """What a report tells of a training; the configurations are in config.json already."""
    left_out = ("model_config", "training_config")
    return {name: value for name, value in found.facts.items() if name not in left_out}


def _data_facts(graph: KnowledgeGraph) -> dict[str, Any]:
    interactions = graph.interactions
    liked = interactions.select(interactions.positive)
    return {
        **graph.counts(),
        "interactions": len(interactions),
        "positives": len(liked),
        "users": len(np.unique(liked.user)),
        "items": len(np.unique(liked.item)),
    }


def _finding(error: StoreError) -> dict[str, Any]:
    """A run without an embedded store serves all the same, but for its Cypher."""
    return {
        "kind": "no embedded store",
        "severity": "warning",
        "count": 1,
        "explanation": f"rec.cypher() and graphrecall cypher need a Neo4j for this run: {error}",
        "examples": [],
    }


def _check_numbers(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        if bad:
            raise GateError(
                f"{', '.join(bad)} of {row['ranker']} for {row['group']} is no number: nothing is published"
            )


def library_versions() -> dict[str, str]:
    """Versions of everything that decides what a run holds."""
    names = ("graphrecall", "torch", "torch-geometric", "transformers", "faiss-cpu", "pyarrow", "pyoxigraph", "numpy")
    found = {"python": platform.python_version()}
    for name in (*names, "scipy", "safetensors"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
