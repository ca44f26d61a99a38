"""The channels of a run, written and loaded as a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from kg.errors import ArtifactError, ConfigError
from kg.io.files import read_json, write_json
from kg.io.graph_folder import load_graph
from recall.channels import LightGCNChannel, channel_class
from recall.contracts import Channel, LoadData
from recall.fusion import FusionConfig
from recall.index.item_index import ItemIndex
from recall.pipeline import Pipeline
from recall.runs.config import read_section
from recall.runs.layout import RunLayout

if TYPE_CHECKING:
    from gnn.text.encoder import TextEncoder

FUSION_FILE = "fusion.json"
_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A run in memory.

    Attributes:
        data: the graph, and what belongs to it.
        pipeline: what serves.
        item_vectors: of the trained model, float32 (items, dim).
    """

    data: LoadData
    pipeline: Pipeline
    item_vectors: npt.NDArray[np.float32] | None


def load_run(run: RunLayout, *, verify: bool = True, graph: KnowledgeGraph | None = None) -> LoadedRun:
    """Read what a run serves.

    Args:
        run: its folder.
        verify: compare every checksum first, and that the parts belong together.
        graph: of the run, where it is in memory already.

    Raises:
        ArtifactError: the run is damaged, incomplete, or has a channel of a package that is not installed.
    """
    if verify:
        run.verify()
    graph = load_graph(run.graph, verify=False) if graph is None else graph
    data = LoadData.of(graph, encode=_RunTexts(run).encode, verify=verify)
    model = LightGCNChannel.of(Embeddings.load(run.model), data, index=ItemIndex.load(run.index, verify=False))
    return LoadedRun(data=data, pipeline=load_pipeline(run.channels, model, data), item_vectors=model.item_vectors)


def save_channels(folder: Path, pipeline: Pipeline) -> None:
    """Write the channels of a fusion but for the trained model, each into a folder of its name, and their weights."""
    for name, channel in pipeline.channels.items():
        if name != LightGCNChannel.name:
            channel.save(folder / name)
    write_json(folder / FUSION_FILE, {"format": _FORMAT, **pipeline.fusion.model_dump()})


def load_pipeline(folder: Path, model: Channel, data: LoadData) -> Pipeline:
    """The pipeline of a run: the trained model alone, or what `save_channels` wrote.

    Args:
        folder: of the channels beside the model; it need not exist.
        model: the trained model, the channel "lightgcn".
        data: what all of them were fitted on.

    Raises:
        ArtifactError: a channel is damaged, missing, or of a package that is not installed.
    """
    if not folder.is_dir():
        return Pipeline.of(data.graph, [model], history=data.history)
    facts = read_json(folder / FUSION_FILE)
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise ArtifactError(f"{folder} holds no channels in format {_FORMAT}: run the refresh again")
    try:
        fusion = FusionConfig(weights=facts["weights"], depth=facts["depth"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(f"{folder / FUSION_FILE} is damaged: {error}") from error
    channels = {name: model if name == model.name else _load(folder / name, data) for name in fusion.weights}
    return Pipeline.of(data.graph, channels, fusion=fusion, history=data.history)


def _load(folder: Path, data: LoadData) -> Channel:
    if not folder.is_dir():
        raise ArtifactError(f"{folder.parent} lacks the folder of its channel {folder.name!r}: run the refresh again")
    try:
        kind = channel_class(folder.name)
    except ConfigError as error:
        raise ArtifactError(f"{folder} cannot be loaded: {error}; install the package that has this channel") from error
    return kind.load(folder, data)


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

        encoder = TextEncoder(read_section(self.run, "text", TextConfig) or TextConfig(), device="cpu")
        if encoder.space != TextFeatures.load(self.run.features).model:
            raise ArtifactError(
                f"the text model {encoder.config.model!r} on this machine is not the one that {self.run.path} was "
                "trained with: its vectors cannot be compared; run the refresh again"
            )
        return encoder
