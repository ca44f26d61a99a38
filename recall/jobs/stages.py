"""The stages that make a run: each done once, in the staging, whatever kills the process in between.

An incremental run goes on from the run that serves: evaluation model from evaluation model, serving model from serving
model, for a few steps; nothing that the line was ever trained on is held out. Everything that is a closed formula of
the data (channels beside the model, index, embedded store) is made anew: that costs a small part of a training, and
nearly every row of it depends on what changed, if only by a degree or a norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gnn.device import resolve_device
from gnn.distributed import ALONE, Ranks
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.warm_start import Parameters
from gnn.settings import TrainingConfig
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from kg.difference import Difference
from kg.errors import GateError, StoreError
from kg.io.files import read_json, remove_trees, write_json
from kg.io.graph_folder import load_graph
from kg.lineage import Lineage
from kg.progress import SILENT, Progress, Task
from kg.stores.embedded.build import build_store
from recall.channels import LightGCNChannel
from recall.config.deployment import RefreshConfig
from recall.contracts import LoadData
from recall.jobs.changes import Comparison, describe, difference_to
from recall.jobs.fit_channels import keep_channels
from recall.jobs.inputs import Inputs
from recall.jobs.plan import Plan
from recall.jobs.prepare import prepare
from recall.jobs.runner import Stages
from recall.quality.assess import assess, exact_channel, write_split
from recall.runs.layout import RunLayout
from recall.runs.report import MetricsRow, Reference, Report
from recall.runs.versions import library_versions
from recall.serve.loading import load_pipeline

FIRST = Plan(kind="full", reasons=("there is no run to go on from",))
PLAN = "plan.json"


def make_run(
    config: RefreshConfig,
    inputs: Inputs,
    stages: Stages,
    cache: Path,
    *,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
    plan: Plan = FIRST,
    current: RunLayout | None = None,
) -> Report:
    """All stages; the staged run is complete afterwards but for its manifest.

    Args:
        config: of the deployment.
        inputs: what the sources hold.
        stages: of the staging; those that are done are not done again.
        cache: folder of the text vectors.
        progress: hears of every stage.
        ranks: processes that share the trainings.
        plan: whether to go on from a run. What changed can still order a full one.
        current: the run that serves, to tell what changed since; the base of the plan, if it has one.

    Returns:
        The report, which is in the staged run as well.

    Raises:
        InvalidDataError: the sources cannot be used.
        ConfigError: the device, a relation or a file that the configuration names is not there.
        TrainingError: training diverged.
        GateError: a vector or a metric is no number. What is finished of the run is there, with a report.
    """
    run = stages.run
    _same_plan(stages, plan)
    stages.run.path.mkdir(parents=True, exist_ok=True)
    prepared = prepare(config, inputs, stages, cache, progress)
    graph, features = prepared.graph, prepared.features

    def compare() -> dict[str, Any]:
        difference = difference_to(current, graph)
        comparison = describe(current, inputs, graph, difference=difference)
        full: list[str] = []
        if plan.base is not None and difference is not None:
            full = list(_too_much(config, plan.base, difference, features))
        return {"comparison": comparison.to_json(), "full": full}

    facts = stages.do("compare", stages.work / "nothing", compare)
    compared = Comparison.model_validate(facts["comparison"])
    if facts["full"]:
        plan = plan.full(facts["full"])
    base = None if plan.base is None else _Base(plan.base, config, plan)
    known, stayed = None, {"train": 0, "valid": 0}
    if base is not None:
        known = Lineage.load(base.run.lineage)
        split, stayed = known.keep(prepared.split, graph)
        prepared = replace(prepared, split=split, view=split.view(graph, "train"))
    split, view = prepared.split, prepared.view
    trained: dict[str, Any] = {}
    weights: dict[str, float] | None = None
    measured: dict[str, Any] = {"k": config.evaluation.k, "split": split.counts(), "serves": None, "metrics": []}
    indexed: dict[str, Any] | None = None
    quality = prepared.quality

    def tell() -> Report:
        """Write the configuration and the report of what is there by now."""
        reference = plan.reference
        if reference is None:
            reference = Reference(run="", steps=trained["evaluation"]["steps"])
        report = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": inputs.fingerprint,
            **plan.to_json(),
            "reference": reference.to_json(),
            "sources": compared.sources,
            "changes": compared.changes,
            "stayed_known": stayed,
            "data": graph.facts(),
            "quality": quality,
            "forgotten": inputs.forgotten(plan.base),
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
        made = Report.model_validate(report)
        made.save(run)
        return made

    def refuse(reason: str) -> NoReturn:
        tell()
        raise GateError(reason)

    def train_for_evaluation() -> dict[str, Any]:
        write_split(split, graph, run.split)
        Lineage.of(split, graph, before=known).save(run.lineage)
        found = fit(
            view,
            config.model,
            config.training if base is None else base.training,
            features=features,
            # A split without a validation part trains to the last step.
            validation=prepared.validation(),
            start=None if base is None else base.parameters(base.run.evaluation_model),
            context=_context(
                config, stages.work / "evaluation", _Named(progress, "training for evaluation"), ranks, plan
            ),
        )
        _save_model(found, run.evaluation_model)
        return _training_facts(found)

    trained["evaluation"] = stages.do("train for evaluation", run.evaluation_model.parent, train_for_evaluation)

    if config.fused:

        def fit_channels_for_evaluation() -> dict[str, Any]:
            model = exact_channel(_load_model(run.evaluation_model, refuse), LoadData.of(view))
            before = None if base is None else base.weights
            return keep_channels(
                config, prepared, model, run.evaluation_channels, view, weights=before, progress=progress
            )

        found = stages.do("fit channels for evaluation", run.evaluation_channels, fit_channels_for_evaluation)
        weights = found["weights"]

    def evaluate() -> dict[str, Any]:
        data = LoadData.of(view)
        model = exact_channel(_load_model(run.evaluation_model, refuse), data)
        evaluation = assess(
            graph,
            split,
            load_pipeline(run.evaluation_channels, model, data),
            model,
            kind=config.split.kind,
            ks=config.evaluation.k,
            # They are there to judge the recipe by, which is the one of the last full run.
            baselines=config.evaluation.baselines if base is None else (),
            channels=config.channels,
            features=features,
            progress=progress,
        )
        _check_numbers(evaluation.metrics, refuse)
        return evaluation.to_json()

    measured = stages.do("evaluate", stages.work / "nothing", evaluate)

    def train_for_serving() -> dict[str, Any]:
        found = fit(
            graph,
            config.model,
            config.training if base is None else base.training,
            features=features,
            steps=trained["evaluation"]["steps"],
            beta=trained["evaluation"]["beta"],
            prior=trained["evaluation"]["prior"],
            cold_scale=trained["evaluation"].get("cold_items", {}).get("scale"),
            start=None if base is None else base.parameters(base.run.model),
            context=_context(config, stages.work / "serving", _Named(progress, "training for serving"), ranks, plan),
        )
        _save_model(found, run.model)
        return _training_facts(found)

    trained["serving"] = stages.do("train for serving", run.model, train_for_serving)

    if weights is not None:

        def fit_channels_for_serving() -> dict[str, Any]:
            model = exact_channel(_load_model(run.model, refuse), LoadData.of(graph))
            return keep_channels(config, prepared, model, run.channels, graph, weights=weights, progress=progress)

        stages.do("fit channels for serving", run.channels, fit_channels_for_serving)

    def index() -> dict[str, Any]:
        data = LoadData.of(graph)
        channel = LightGCNChannel.of(_load_model(run.model, refuse), data, index_config=config.index)
        run.index.mkdir()
        channel.index.save(run.index)
        facts: dict[str, Any] = channel.facts["index"]
        return facts

    indexed = stages.do("index", run.index, index)

    def store() -> dict[str, Any]:
        try:
            build_store(run.graph, run.store, progress=progress)
        except StoreError as error:
            return {"finding": _finding(error)}
        return {"bytes": run.store.stat().st_size}

    stored = stages.do("store", run.store.parent, store)
    if "finding" in stored:
        quality = {**quality, "findings": [*quality["findings"], stored["finding"]]}
    if compared.findings:
        quality = {**quality, "findings": [*quality["findings"], *compared.findings]}
    return tell()


class _Base:
    """The run that an incremental one goes on from.

    Attributes:
        run: its folder.
        training: how to train on.
        weights: of its fusion, which the new run keeps; None where it has none.
    """

    def __init__(self, run: RunLayout, config: RefreshConfig, plan: Plan) -> None:
        self.run = run
        report = Report.load(run)
        training = report.training["evaluation"]
        self.training = warm_training(config, plan, beta=training.beta, prior=training.prior)
        self.weights = None if report.fusion is None else report.fusion.weights
        self._graph = load_graph(run.graph)

    def parameters(self, model: Path) -> Parameters:
        """Those of one of its two models."""
        return Parameters.load(model, self._graph)


def warm_training(config: RefreshConfig, plan: Plan, *, beta: float, prior: float) -> TrainingConfig:
    """How an incremental run trains.

    How popularity enters the score stays as it is in the base: what is best after a few steps changes with every draw.

    Args:
        config: of the deployment.
        plan: says how many steps.
        beta: popularity exponent of the base.
        prior: weight of the popularity in the base.
    """
    return config.training.changed(
        max_steps=plan.steps(config.refresh),
        learning_rate=config.refresh.warm_rate * config.training.learning_rate,
        betas=() if prior else (beta,),
        priors=(prior,) if prior else (),
    )


def _same_plan(stages: Stages, plan: Plan) -> None:
    """Begin anew where an earlier attempt went on from another run, or from none."""
    mark = stages.folder / PLAN
    wanted = {"base": None if plan.base is None else plan.base.name}
    if not mark.is_file() or read_json(mark) != wanted:
        remove_trees(path for path in stages.folder.iterdir() if path.is_dir())
        write_json(mark, wanted)


def _too_much(config: RefreshConfig, base: RunLayout, found: Difference, features: TextFeatures) -> Iterator[str]:
    """Why what changed wants a full run."""
    if TextFeatures.load(base.features).model != features.model:
        yield "the text model was changed"
    for what, one in (("relations", "edges"), ("kinds of nodes", "nodes")):
        if list(getattr(found.before, one)) != list(getattr(found.after, one)):
            yield f"the graph has other {what}"
    for what, share in found.shares().items():
        if share > config.refresh.full_above:
            yield f"{share:.1%} of the {what} changed, refresh.full_above = {config.refresh.full_above:g}"


def _save_model(found: Embeddings, folder: Path) -> None:
    found.save(folder)
    if found.parameters is not None:
        found.parameters.save(folder)


class _Named:
    """A listener that hears of every task under one name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        return self._progress.task(self._name, total=total)


def _context(config: RefreshConfig, folder: Path, progress: Progress, ranks: Ranks, plan: Plan) -> RunContext:
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(
        device=config.device,
        # Another one each time: the same first batches and negatives again and again would be learned by heart.
        seed=config.seed + plan.generation,
        progress=progress,
        checkpoints=folder,
        log=folder / "training.jsonl",
        ranks=ranks,
    )


def _training_facts(found: Embeddings) -> dict[str, Any]:
    """What a report tells of a training; the configurations are in config.json already."""
    left_out = ("model_config", "training_config")
    return {name: value for name, value in found.facts.items() if name not in left_out}


def _finding(error: StoreError) -> dict[str, Any]:
    """A run without an embedded store serves all the same, but for its Cypher."""
    return {
        "kind": "no embedded store",
        "severity": "warning",
        "count": 1,
        "explanation": f"rec.cypher() and graphrecall cypher need a Neo4j for this run: {error}",
        "examples": [],
    }


def _load_model(folder: Path, refuse: Callable[[str], NoReturn]) -> Embeddings:
    """A model, unless its vectors are no numbers: parameters that are some can be too large for their sums."""
    found = Embeddings.load(folder)
    bad = int((~np.isfinite(found.final)).sum() + (~np.isfinite(found.index_vectors)).sum())
    if bad:
        which = "evaluation" if folder.parent.name == "evaluation" else "serving"
        refuse(f"{bad:,} values of the {which} model's vectors are no numbers: lower the learning_rate of its training")
    return found


def _check_numbers(rows: Sequence[MetricsRow], refuse: Callable[[str], NoReturn]) -> None:
    for row in rows:
        bad = [name for name, value in row.metrics.items() if not math.isfinite(value)]
        if bad:
            refuse(f"{', '.join(bad)} of {row.ranker} for {row.group} is no number")
