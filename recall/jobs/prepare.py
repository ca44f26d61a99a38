"""What every training of a deployment begins with: graph built, texts encoded, interactions split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnn.text.cache import TextCache
from gnn.text.features import TextFeatures, encode_graph
from ingest.build import build_graph
from ingest.settings import DataSettings
from kg import KnowledgeGraph, Split, split_interactions
from kg.errors import ConfigError, InvalidDataError
from kg.io.graph_folder import load_graph, save_graph
from kg.progress import Progress
from recall.config.deployment import RefreshConfig
from recall.jobs.inputs import Inputs
from recall.jobs.runner import Stages
from recall.runs.layout import RunLayout

if TYPE_CHECKING:  # torch is imported where a text is encoded
    from gnn.evaluation.validation import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a model of the deployment is trained on.

    Attributes:
        graph: all of it.
        features: text vectors of its nodes.
        split: the part of every interaction.
        view: the graph without the validation and test parts.
    """

    graph: KnowledgeGraph
    features: TextFeatures
    split: Split
    view: KnowledgeGraph

    @classmethod
    def load(cls, config: RefreshConfig, run: RunLayout) -> Prepared:
        """What `build` and `encode` left in a run, and the split of its interactions.

        Args:
            config: of the deployment.
            run: the staged run.

        Raises:
            InvalidDataError: no positive interaction is left to train on.
        """
        graph = load_graph(run.graph, verify=False)
        split = split_interactions(graph, config.split)
        if graph.interactions.positive.any() and not len(split.positives(graph, "train").values):
            raise InvalidDataError(
                f"split.kind = {config.split.kind!r} leaves no positive interaction to train on: give more "
                "interactions, lower split.test and split.valid, or use another split.kind"
            )
        return cls(
            graph=graph,
            features=TextFeatures.load(run.features),
            split=split,
            view=split.view(graph, "train"),
        )

    def validation(self) -> Validation | None:
        """What early stopping measures, or None where the split has no validation part with anything to find."""
        from gnn.evaluation.validation import Validation

        validation = Validation(
            truth=self.split.positives(self.graph, "valid"), seen=self.split.seen(self.graph, "train")
        )
        return validation if len(validation.truth.values) else None


def prepare(config: RefreshConfig, inputs: Inputs, stages: Stages, cache: Path, progress: Progress) -> Prepared:
    """Build the graph, encode its texts and split its interactions; what an earlier attempt finished is only loaded.

    Args:
        config: of the deployment.
        inputs: what `Inputs.of` read.
        stages: keep the graph and the vectors in the layout of a run.
        cache: folder of the text vectors.
        progress: listener.

    Raises:
        InvalidDataError: the sources cannot be used, or nothing is left to train on.
        ConfigError: a relation or a text model that the configuration names is not there.
    """
    run = stages.run
    stages.do("build", run.graph, partial(build, config, inputs, run, progress))
    stages.do("encode", run.features, partial(encode, config, run, cache, progress))
    return Prepared.load(config, run)


def build(config: RefreshConfig, inputs: Inputs, run: RunLayout, progress: Progress) -> dict[str, Any]:
    """Build the graph from the sources and save it; returns what was found in the sources."""
    settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality, neo4j=config.neo4j)
    try:
        graph, quality = build_graph(
            settings,
            base=config.base,
            progress=progress,
            now=inputs.now,
            snapshot=inputs.snapshot,
            people=inputs.people,
            memory=inputs.memory,
        )
        inputs.check()
    except (ConfigError, InvalidDataError):
        # What was read cannot be used: once the data is corrected, the next attempt must not continue with it.
        inputs.drop_snapshot()
        raise
    save_graph(graph, run.graph)
    return {**quality.to_json(), "as_of": inputs.as_of}


def encode(config: RefreshConfig, run: RunLayout, cache: Path, progress: Progress) -> dict[str, Any]:
    """Encode the texts of the saved graph; returns how many there are and the model."""
    from gnn.text.encoder import TextEncoder

    encoder = TextEncoder(config.text, config.device)
    graph = load_graph(run.graph, verify=False)
    features = encode_graph(graph, encoder, cache=TextCache(cache / "text"), progress=progress)
    run.features.mkdir()
    features.save(run.features)
    return {"texts": len(features), "dim": features.dim, "model": config.text.model}
