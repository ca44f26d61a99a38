"""The channels of a run, written and loaded as a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.errors import ArtifactError, ConfigError
from kg.history import InteractionHistory
from kg.io.graph_folder import load_graph
from kg.topology.adjacency import Adjacency
from recall.channels.registry import channel_class, package_of
from recall.config.sections import PipelineSettings
from recall.contracts import Channel, LoadData
from recall.control.control import Control
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import ArtifactKind, SavedChannel, SavedPipeline

if TYPE_CHECKING:
    from gnn.text.encoder import TextEncoder

EMBEDDINGS = "model.json"  # what gnn.graph.embeddings writes


@dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A run in memory.

    Attributes:
        data: the graph, and what belongs to it.
        pipeline: what serves.
        control: the rules that choose among its candidates, None without any.
    """

    data: LoadData
    pipeline: Pipeline
    control: Control | None


def load_run(run: RunLayout, *, verify: bool = True, graph: KnowledgeGraph | None = None) -> LoadedRun:
    """Read what a run serves.

    Args:
        run: its folder.
        verify: compare every checksum first, and that the parts belong together.
        graph: of the run, where it is in memory already.

    Raises:
        ArtifactError: the run is of another format, has a channel of a package that is not installed, is damaged or
            incomplete.
    """
    kinds = channel_kinds(run)
    if verify:
        run.verify()
    graph = load_graph(run.graph, verify=False) if graph is None else graph
    data = load_data(run, graph, verify=verify)
    pipeline = _pipeline(run, data, kinds, evaluation=False)
    settings = read_section(run, "pipeline", PipelineSettings)
    rules = None if settings is None else settings.control
    return LoadedRun(data=data, pipeline=pipeline, control=None if rules is None else Control(rules, graph, pipeline))


def load_data(run: RunLayout, graph: KnowledgeGraph, *, evaluation: bool = False, verify: bool = True) -> LoadData:
    """What all channels of a run share.

    Args:
        run: its folder.
        graph: that the channels were fitted on: all of it, or for evaluation the training view.
        evaluation: of the channels that were fitted for evaluation.
        verify: check that every channel belongs to this graph.

    Raises:
        ArtifactError: the history is damaged, or of another graph.
    """
    history = InteractionHistory.load(run.history(evaluation=evaluation))
    if history.num_users != len(graph.users) or history.num_items != len(graph.items):
        raise ArtifactError(f"{run.history(evaluation=evaluation)} belongs to another graph: run the refresh again")
    encode = None if evaluation else _RunTexts(run).encode
    return LoadData(graph=graph, history=history, adjacency=Adjacency.of(graph), encode=encode, verify=verify)


def load_evaluation_pipeline(run: RunLayout, view: KnowledgeGraph) -> Pipeline:
    """What a run would serve if the training part were all there is.

    Args:
        run: its folder.
        view: the graph without the validation and test parts.
    """
    return _pipeline(run, load_data(run, view, evaluation=True), channel_kinds(run), evaluation=True)


def channel_kinds(run: RunLayout) -> dict[str, type[Channel]]:
    """The kinds of the channels of a run, by name.

    Raises:
        ArtifactError: the run is of another format, or one of its channels is of a package that is not installed.
    """
    kinds = {}
    for name, saved in SavedPipeline.load(run).channels.items():
        try:
            kinds[name] = channel_class(name)
        except ConfigError as error:
            raise ArtifactError(
                f"{run.path} was made with the channel {name!r} of the package {saved.package}, which cannot be used "
                f"here: {error}. Install {saved.package}, or make a run without that channel"
            ) from error
    return kinds


def saved_pipeline(
    names: Sequence[str], fusion: FusionConfig, recipes: Mapping[str, Mapping[str, Any]]
) -> SavedPipeline:
    """What pipeline.json says of channels.

    Args:
        names: of the channels.
        fusion: weights and depth.
        recipes: what the fit of each channel on the validation part chose.
    """
    channels = {
        name: SavedChannel(kind=artifact_kind(name), package=package_of(name), recipe=dict(recipes.get(name, {})))
        for name in names
    }
    of_fusion = {name: getattr(fusion, name) for name in ("weights", "untouched", "depth", "spread")}
    return SavedPipeline(channels=channels, **of_fusion)


def artifact_kind(name: str) -> ArtifactKind:
    """The kind of artifact that a channel is saved as: "models" for a trained one, else "channels"."""
    return "models" if channel_class(name).capabilities.trained else "channels"


def channel_folder(run: RunLayout, name: str, *, evaluation: bool = False) -> Path:
    """Where a channel of a run lies."""
    return run.artifact(artifact_kind(name), name, evaluation=evaluation)


def vector_models(run: RunLayout, *, evaluation: bool = False) -> dict[str, Path]:
    """The folders of the channels that are graph models with vectors of all nodes (gnn.graph.embeddings), by name."""
    saved = SavedPipeline.load(run).channels
    folders = {name: run.artifact(channel.kind, name, evaluation=evaluation) for name, channel in saved.items()}
    return {name: folder for name, folder in folders.items() if (folder / EMBEDDINGS).is_file()}


def load_channels(
    run: RunLayout, kinds: Mapping[str, type[Channel]], data: LoadData, *, evaluation: bool = False
) -> dict[str, Channel]:
    """Channels of a run, finished or not, by name.

    Args:
        run: its folder.
        kinds: of the channels.
        data: what they were fitted on.
        evaluation: those that were fitted for evaluation.
    """
    return {name: kind.load(channel_folder(run, name, evaluation=evaluation), data) for name, kind in kinds.items()}


def _pipeline(run: RunLayout, data: LoadData, kinds: Mapping[str, type[Channel]], *, evaluation: bool) -> Pipeline:
    saved = SavedPipeline.load(run)
    channels = load_channels(run, kinds, data, evaluation=evaluation)
    try:
        fusion = FusionConfig(weights=saved.weights, untouched=saved.untouched, depth=saved.depth, spread=saved.spread)
        return Pipeline.of(data.graph, channels, fusion=fusion, history=data.history)
    except ConfigError as error:
        raise ArtifactError(f"{run.pipeline} is damaged: {error}") from error


@dataclass(frozen=True)
class _RunTexts:
    """Encodes texts in the space of a run's features; the text model is loaded at the first text."""

    run: RunLayout

    def encode(self, texts: Sequence[str | None]) -> npt.NDArray[np.float32]:
        return self._encoder.encode(texts)

    @cached_property
    def _encoder(self) -> TextEncoder:
        from gnn.text.encoder import TextConfig, TextEncoder
        from gnn.text.features import TextFeatures
        from gnn.text.model import find_model

        config = read_section(self.run, "text", TextConfig) or TextConfig()
        # The model is named by whoever made the run: only the one whose checksum is known is downloaded for it.
        if config.expected_sha256 is None and find_model(config).folder is None:
            raise ArtifactError(
                f"{self.run.path} was made with the text model {config.model!r}, which is not on this machine, and a "
                f"run that is opened downloads none: `hf download {config.model}` gets it, if you trust it"
            )
        encoder = TextEncoder(config, device="cpu")
        if encoder.space != TextFeatures.load(self.run.features).model:
            raise ArtifactError(
                f"the text model {encoder.config.model!r} on this machine is not the one that {self.run.path} was "
                "trained with: its vectors cannot be compared; run the refresh again"
            )
        return encoder
