"""The run that an incremental one continues."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.difference import Difference
from kg.io.graph_folder import load_graph
from kg.lineage import Lineage
from recall.config.deployment import RefreshConfig
from recall.config.refresh import RefreshSettings
from recall.contracts import Start
from recall.fusion import FusionConfig
from recall.jobs.plan import Plan
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import SavedPipeline


class Base:
    """What is read of the run that an incremental one continues.

    Attributes:
        run: its folder.
        pipeline: its channels.
    """

    def __init__(self, run: RunLayout) -> None:
        self.run = run
        self.pipeline = SavedPipeline.load(run)

    @cached_property
    def graph(self) -> KnowledgeGraph:
        """Its graph."""
        return load_graph(self.run.graph, verify=False)

    @cached_property
    def lineage(self) -> Lineage:
        """What it and the runs before it learned from."""
        return Lineage.load(self.run.lineage)

    @property
    def fusion(self) -> FusionConfig | None:
        """Its fusion, whose weights the new run keeps; None where it has none."""
        saved = self.pipeline
        return FusionConfig(weights=saved.weights, untouched=saved.untouched) if saved.weights else None

    def recipe(self, name: str) -> dict[str, Any]:
        """What the fit of a channel chose on the validation part."""
        return self.pipeline.channels[name].recipe

    def start(self, name: str, *, evaluation: bool) -> Start:
        """What the training of a channel continues."""
        folder = self.run.artifact(self.pipeline.channels[name].kind, name, evaluation=evaluation)
        return Start(folder=folder, graph=self.graph)


def continued_config(config: Any, settings: RefreshSettings, plan: Plan, name: str, recipe: dict[str, Any]) -> Any:
    """The hyper-parameters of a trained channel for an incremental run: a few steps at a lower rate.

    Args:
        config: of the channel, with a section `training` (see `gnn.settings.TrainingConfig.continued`).
        settings: of the section `refresh`.
        plan: says how many steps.
        name: of the channel.
        recipe: of the base: what its training chose.
    """
    training = config.training.continued(
        max_steps=plan.steps(settings, name),
        learning_rate=settings.warm_rate * config.training.learning_rate,
        recipe=recipe,
    )
    return config.changed(training=training)


def too_much(config: RefreshConfig, base: RunLayout, difference: Difference, features: TextFeatures) -> Iterator[str]:
    """Why what changed needs a full run."""
    if TextFeatures.load(base.features).model != features.model:
        yield "the text model was changed"
    for kind, before, after in (
        ("relations", difference.before.edges, difference.after.edges),
        ("kinds of nodes", difference.before.nodes, difference.after.nodes),
    ):
        if list(before) != list(after):
            yield f"the graph has other {kind}"
    for kind, share in difference.shares().items():
        if share > config.refresh.full_above:
            yield f"{share:.1%} of the {kind} changed, refresh.full_above = {config.refresh.full_above:g}"
