"""A run in the making: what its stages share, read from their files and facts."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gnn.distributed import ALONE, Ranks
from kg import KnowledgeGraph, Split
from kg.history import InteractionHistory
from kg.progress import SILENT, Progress
from kg.topology.adjacency import Adjacency
from recall.channels.registry import channel_class
from recall.config.deployment import RefreshConfig
from recall.contracts import FitData, LoadData
from recall.fusion import FusionConfig
from recall.index.settings import IndexConfig
from recall.jobs.base import Base
from recall.jobs.changes import Comparison
from recall.jobs.inputs import Inputs
from recall.jobs.plan import Plan
from recall.jobs.prepare import Prepared
from recall.jobs.runner import Stages
from recall.pipeline import Pipeline
from recall.runs.layout import RunLayout
from recall.serve.loading import channel_folder, load_channels

FITTED = "fit channels for evaluation"
RULES = "measure rules"
FIRST = Plan(kind="full", reasons=("there is no run to go on from",))


class RunInTheMaking:
    """A run in the staging.

    Attributes:
        run: the staged run.
        facts: what each finished stage returned, by its name.
        trained: channels of the pipeline that have weights.
        closed: those that are closed formulas of the data.
    """

    def __init__(
        self,
        config: RefreshConfig,
        inputs: Inputs,
        stages: Stages,
        cache: Path,
        *,
        progress: Progress = SILENT,
        ranks: Ranks = ALONE,
        plan: Plan = FIRST,
        current: RunLayout | None = None,
    ) -> None:
        """See `make_run`."""
        self.config, self.inputs, self.runner, self.cache = config, inputs, stages, cache
        self.progress, self.ranks, self.planned, self.current = progress, ranks, plan, current
        self.run = stages.run
        self.facts: dict[str, dict[str, Any]] = {}
        self.channels = config.pipeline.channels
        self.trained = [name for name in self.channels if channel_class(name).capabilities.trained]
        self.closed = [name for name in self.channels if name not in self.trained]

    def folder(self, name: str, evaluation: bool) -> Path:
        """Where a channel of the new run lies."""
        return channel_folder(self.run, name, evaluation=evaluation)

    @cached_property
    def prepared(self) -> Prepared:
        """Graph, text vectors and split, before the split of an incremental run keeps what earlier runs saw."""
        return Prepared.load(self.config, self.run)

    @cached_property
    def compared(self) -> Comparison:
        """The new graph and sources beside those of the run that serves."""
        return Comparison.model_validate(self.facts["compare"]["comparison"])

    @cached_property
    def plan(self) -> Plan:
        """The plan; a full run where too much changed for an incremental one."""
        full = self.facts["compare"]["full"]
        return self.planned.full(full) if full else self.planned

    @cached_property
    def base(self) -> Base | None:
        """The run that an incremental run continues."""
        return None if self.plan.base is None else Base(self.plan.base)

    @cached_property
    def parts(self) -> tuple[Split, dict[str, int]]:
        """The part of every interaction, and how many an incremental run kept in the part of an earlier run."""
        if self.base is None:
            return self.prepared.split, {"train": 0, "valid": 0}
        return self.base.lineage.keep(self.prepared.split, self.prepared.graph)

    @cached_property
    def view(self) -> KnowledgeGraph:
        """The graph without the validation and test parts."""
        return self.parts[0].view(self.prepared.graph, "train")

    def fit_data(self, evaluation: bool) -> FitData:
        """What channels are fitted on."""
        graph = self.view if evaluation else self.prepared.graph
        history = InteractionHistory.load(self.run.history(evaluation=evaluation))
        # Metrics are of the model; an approximate index reports its recall by itself.
        index = IndexConfig(exact_up_to=history.num_items) if evaluation else self.config.index
        return FitData(
            graph=graph,
            history=history,
            features=self.prepared.features,
            validation=self.validated.validation() if evaluation else None,
            index=index,
        )

    @cached_property
    def validated(self) -> Prepared:
        """`prepared` with the split of this run."""
        return replace(self.prepared, split=self.parts[0], view=self.view)

    def recipe(self, name: str) -> dict[str, Any]:
        """What the fit for evaluation chose."""
        trained = self.facts.get(f"train {name} for evaluation")
        if trained is not None:
            return dict(trained["recipe"])
        closed = self.facts.get(FITTED, {"recipes": {}})
        return dict(closed["recipes"].get(name, {}))

    @property
    def fusion(self) -> FusionConfig:
        """How the channels are combined; without weights for a single channel."""
        wanted = self.config.fusion
        return FusionConfig(**self.facts.get("weigh channels", {}), depth=wanted.depth, spread=wanted.spread)

    def evaluation_pipeline(self) -> Pipeline:
        """What would serve if the training part were all there is."""
        data = self.fit_data(evaluation=True)
        kinds = {name: channel_class(name) for name in self.channels}
        load = LoadData(graph=data.graph, history=data.history, adjacency=Adjacency.of(data.graph))
        channels = load_channels(self.run, kinds, load, evaluation=True)
        return Pipeline.of(data.graph, channels, fusion=self.fusion, history=load.history)
