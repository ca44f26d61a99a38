"""The stages that make a run, in their order: each done once, whatever kills the process in between.

An incremental run continues the run that serves: the evaluation model continues its evaluation model, the serving model
its serving model, for a few steps; no interaction that an earlier run was trained on is held out. Everything that is a
closed formula of the data is made anew: that costs a small part of a training, and nearly every row of it depends on
what changed, if only by a degree or a norm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gnn.distributed import ALONE, Ranks
from gnn.training.context import RunContext
from kg.errors import GateError, StoreError
from kg.history import InteractionHistory
from kg.io.files import read_json, write_json
from kg.io.removal import remove_trees
from kg.lineage import Lineage
from kg.progress import SILENT, Progress
from kg.stores.embedded.build import build_store
from kg.stores.embedded.names import StoredNames
from recall.channels.registry import channel_class
from recall.config.deployment import RefreshConfig
from recall.contracts import Query
from recall.control.control import Control
from recall.jobs.base import continued_config, too_much
from recall.jobs.changes import describe, difference_to
from recall.jobs.inputs import Inputs
from recall.jobs.plan import Plan
from recall.jobs.prepare import build, encode
from recall.jobs.runner import Renamed, Stages
from recall.jobs.state import FIRST, FITTED, RULES, RunInTheMaking
from recall.jobs.weights import best_fusion, check_finite
from recall.jobs.writing import write_report
from recall.quality.assess import assess, write_split
from recall.quality.rules import rules_cost
from recall.runs.layout import RunLayout
from recall.runs.report import Report

PLAN = "plan.json"
RULES_K = 100  # candidates in which the rules are measured


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of making a run.

    Attributes:
        name: of its mark, and of its time in the report.
        work: does it; returns facts, plain data, which later stages and the report read.
        makes: the folder that it writes; None: it only returns facts.
    """

    name: str
    work: Callable[[], dict[str, Any]]
    makes: Path | None = None


class RunMaker(RunInTheMaking):
    """Makes one run in the staging."""

    def stages(self) -> Iterator[Stage]:
        """All stages; each may use the files and the facts of those before it."""
        run = self.run
        yield Stage("build", partial(build, self.config, self.inputs, run, self.progress), run.graph)
        yield Stage("encode", partial(encode, self.config, run, self.cache, self.progress), run.features)
        yield Stage("compare", self.compare)
        yield Stage("split", self.divide, run.evaluation)
        for name in self.trained:
            yield Stage(f"train {name} for evaluation", partial(self.train, name, True), self.folder(name, True))
        if self.closed:
            yield Stage(FITTED, partial(self.fit, True), run.artifact("channels", evaluation=True))
        if len(self.channels) > 1:
            yield Stage("weigh channels", self.weigh)
        if self.config.pipeline.control is not None:
            yield Stage(RULES, self.measure_rules)
        yield Stage("evaluate", self.evaluate)
        yield Stage("history", self.keep_history, run.history())
        for name in self.trained:
            yield Stage(f"train {name} for serving", partial(self.train, name, False), self.folder(name, False))
        if self.closed:
            yield Stage("fit channels for serving", partial(self.fit, False), run.artifact("channels"))
        yield Stage("store", self.build_store, run.store.parent)

    def make(self) -> Report:
        """Do all stages that are not done, and write the report last; see `make_run`."""
        self._drop_other_plan()
        self.run.path.mkdir(parents=True, exist_ok=True)
        try:
            for stage in self.stages():
                self.facts[stage.name] = self.runner.do(stage.name, stage.makes, stage.work)
        except GateError:
            write_report(self)
            raise
        return write_report(self)

    def _drop_other_plan(self) -> None:
        """Begin anew where an earlier attempt continued another run, or none."""
        mark = self.runner.folder / PLAN
        base = {"base": None if self.planned.base is None else self.planned.base.name}
        if not mark.is_file() or read_json(mark) != base:
            remove_trees([path for path in self.runner.folder.iterdir() if path.is_dir()], inside=self.runner.folder)
            write_json(mark, base)

    # ------------------------------------------------------------------------------------------------------ the stages

    def compare(self) -> dict[str, Any]:
        """Compare graph and sources with those of the run that serves."""
        graph = self.prepared.graph
        difference = difference_to(self.current, graph)
        comparison = describe(self.current, self.inputs, graph, difference=difference)
        full: list[str] = []
        if self.planned.base is not None and difference is not None:
            full = list(too_much(self.config, self.planned.base, difference, self.prepared.features))
        return {"comparison": comparison.to_json(), "full": full}

    def divide(self) -> dict[str, Any]:
        """Write the part of every interaction, what this and earlier runs learn from, and the training history."""
        split, stayed = self.parts
        graph, before = self.prepared.graph, None if self.base is None else self.base.lineage
        write_split(split, graph, self.run.split)
        Lineage.of(split, graph, before=before).save(self.run.lineage)
        InteractionHistory.of(self.view).save(self.run.history(evaluation=True))
        return {"parts": split.counts(), "stayed": stayed}

    def keep_history(self) -> dict[str, Any]:
        """Write the history of all interactions, which the serving channels share."""
        InteractionHistory.of(self.prepared.graph).save(self.run.history())
        return {}

    def train(self, name: str, evaluation: bool) -> dict[str, Any]:
        """Train a channel: for evaluation on the training part, for serving on everything by its recipe."""
        part = "evaluation" if evaluation else "serving"
        folder = self.runner.work / name / part
        folder.mkdir(parents=True, exist_ok=True)
        context = RunContext(
            device=self.config.device,
            # Another seed each time: the same first batches and negatives again and again would be overfitted.
            seed=self.config.seed + self.plan.generation,
            progress=Renamed(self.progress, f"training {name} for {part}"),
            checkpoints=folder,
            log=folder / "training.jsonl",
            ranks=self.ranks,
        )
        config = getattr(self.config.channels, name, None)
        start = None
        if self.base is not None:
            config = continued_config(config, self.config.refresh, self.plan, name, self.base.recipe(name))
            start = self.base.start(name, evaluation=evaluation)
        data = replace(
            self.fit_data(evaluation), context=context, start=start, recipe={} if evaluation else self.recipe(name)
        )
        channel = channel_class(name)(config).fit(data)
        channel.save(self.folder(name, evaluation))
        return {"recipe": dict(channel.recipe), **channel.facts}

    def fit(self, evaluation: bool) -> dict[str, Any]:
        """Fit the channels that are closed formulas."""
        data = self.fit_data(evaluation)
        seconds, recipes, facts = {}, {}, {}
        with self.progress.task("fitting channels", total=len(self.closed)) as task:
            for name in self.closed:
                task.note(name)
                began = time.monotonic()
                config = getattr(self.config.channels, name, None)
                # An incremental run keeps what the last full one found; a full one finds it on the validation part.
                found = {} if self.base is None else self.base.recipe(name)
                recipe = found if evaluation else self.recipe(name)
                context = RunContext(seed=self.config.seed, progress=Renamed(self.progress, f"fitting {name}"))
                channel = channel_class(name)(config).fit(replace(data, recipe=recipe, context=context))
                channel.save(self.folder(name, evaluation))
                seconds[name], recipes[name] = round(time.monotonic() - began, 3), dict(channel.recipe)
                facts[name] = dict(channel.facts)
                task.advance()
        return {"seconds": seconds, "recipes": recipes, "facts": facts}

    def weigh(self) -> dict[str, Any]:
        """Choose the weights of the channels: of the base, of the configuration, or the best on the validation part."""
        fusion = self.base.fusion if self.base is not None else None
        if fusion is None:
            fusion = best_fusion(self.evaluation_pipeline(), self.validated, self.config.fusion)
        return {"weights": {name: fusion.weights[name] for name in self.channels}, "untouched": fusion.untouched}

    def measure_rules(self) -> dict[str, Any]:
        """What the rules of the configuration cost in recall on the validation part; nothing where it has nothing."""
        pipeline, settings = self.evaluation_pipeline(), self.config.pipeline.control
        if settings is None:
            return {}
        control = Control(settings, self.view, pipeline)
        validation = self.validated.validation()
        if validation is None:
            return {}
        users = np.flatnonzero(validation.truth.counts)
        users = np.sort(np.random.default_rng(0).permutation(users)[: self.config.fusion.validation_users])
        queries = Query.of_users(users, self.view.users, seen=validation.seen.take(users))
        return rules_cost(control, queries, validation.truth.take(users), k=RULES_K)

    def evaluate(self) -> dict[str, Any]:
        """Measure the channels that were fitted on the training part, and the baselines of a full run."""
        config = self.config
        evaluation = assess(
            self.prepared.graph,
            self.parts[0],
            self.evaluation_pipeline(),
            kind=config.split.kind,
            ks=config.evaluation.k,
            # They judge the recipe, which is that of the last full run.
            baselines=config.evaluation.baselines if self.base is None else (),
            channels=config.channels,
            features=self.prepared.features,
            sample=config.evaluation.sample,
            progress=self.progress,
        )
        check_finite(evaluation)
        return evaluation.to_json()

    def build_store(self) -> dict[str, Any]:
        """Build the embedded database; a run without one serves all the same, but for its Cypher."""
        try:
            build_store(self.run.graph, self.run.store, progress=self.progress)
        except StoreError as error:
            finding = {
                "kind": "no embedded store",
                "severity": "warning",
                "count": 1,
                "explanation": f"rec.cypher() and graphrecall cypher need a Neo4j for this run: {error}",
                "examples": [],
            }
            return {"finding": finding}
        facts: dict[str, Any] = {"bytes": self.run.store.stat().st_size}
        if renamed := StoredNames.of(self.prepared.graph).described():
            facts["finding"] = {
                "kind": "names in the embedded store",
                "severity": "info",
                "count": len(renamed),
                "explanation": "names that differ only in case are told apart there; Cypher understands both",
                "examples": renamed[:5],
            }
        return facts


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
    """Make a run, complete but for its manifest.

    Args:
        config: of the deployment.
        inputs: what the sources hold.
        stages: of the staging; those that are done are not done again.
        cache: folder of the text vectors.
        progress: listener.
        ranks: processes that share the trainings.
        plan: whether to continue a run. What changed can still order a full one.
        current: the run that serves, to compare with; the base of the plan, if it has one.

    Returns:
        The report, which is in the staged run as well.

    Raises:
        InvalidDataError: the sources cannot be used.
        ConfigError: the device, a relation or a file that the configuration names is not there.
        TrainingError: training diverged.
        GateError: a vector or a metric is not finite. What is finished of the run is there, with a report.
    """
    return RunMaker(config, inputs, stages, cache, progress=progress, ranks=ranks, plan=plan, current=current).make()
