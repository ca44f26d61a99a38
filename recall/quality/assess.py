"""What a run's evaluation model reaches on the test part, beside the baselines; also long after it was published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnn.evaluation.held_out import Evaluation, user_groups
from gnn.graph.embeddings import Embeddings
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, Split
from kg.errors import ArtifactError, ConfigError
from kg.io.graph_folder import load_graph
from kg.io.parquet import read_table, write_table
from kg.progress import SILENT, Progress
from kg.splits import PARTS, TIE_BREAK, UNUSED, SplitConfig
from recall.channels import LightGCNChannel, channel_class
from recall.channels.settings import ChannelsConfig, make_channel
from recall.config.sections import EvaluationSettings
from recall.contracts import Channel, FitData, LoadData
from recall.index.settings import IndexConfig
from recall.pipeline import Pipeline
from recall.quality.measure import measure_channels
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.report import EvaluationReport, MetricsRow
from recall.serve.loading import channel_kinds, load_evaluation_pipeline

INTERVALS = ("recall", "ndcg")


def assess(
    graph: KnowledgeGraph,
    split: Split,
    pipeline: Pipeline,
    *,
    kind: str,
    ks: Sequence[int],
    baselines: Iterable[str] = (),
    channels: ChannelsConfig | None = None,
    features: TextFeatures | None = None,
    sample: int | None = None,
    progress: Progress = SILENT,
) -> EvaluationReport:
    """Measure a fitted channel, and baselines fitted here, on every group of users of the test part.

    The model was trained on "train" with its steps chosen on "valid"; the baselines are fitted on "train" as well. For
    nobody are items of "train" or "valid" ranked again.

    Args:
        graph: all interactions.
        split: made for this graph.
        pipeline: what would serve, of channels fitted on the training view. Where several are fused, each is measured
            alone as well.
        kind: of the split, for the report.
        ks: cut-offs.
        baselines: names of channels to fit and measure too (recall.channels.settings).
        channels: their hyper-parameters.
        features: text vectors of the graph's nodes; the content kNN needs them, and is left out where there are none.
        sample: users at most, the same for every ranker; None: all. See `gnn.evaluation.held_out.user_groups`.
        progress: listener.

    Returns:
        A row a ranker and group.
    """
    cutoffs = sorted(set(ks))
    view = split.view(graph, "train")
    groups = user_groups(graph, split, sample=sample)
    settings = channels or ChannelsConfig()
    history = pipeline.history
    detailed = {pipeline.name, *(name for name, channel in pipeline.channels.items() if channel.capabilities.trained)}
    data = FitData(graph=view, history=history, features=features)
    textless = features is not None and not len(features.vectors)
    usable = [name for name in baselines if not (textless and channel_class(name).capabilities.needs_text)]
    names = list(dict.fromkeys([pipeline.name, *pipeline.channels, *usable]))
    measured: dict[str, list[Evaluation]] = {}
    with progress.task("measuring on test", total=len(names)) as task:
        for name in names:
            task.note(name)
            if name not in measured:
                ranker = pipeline
                if name != pipeline.name:
                    channel = pipeline.channels.get(name) or make_channel(settings, name).fit(data)
                    ranker = Pipeline([channel], history)
                measured |= measure_channels(ranker, groups, trained_on=view, ks=cutoffs).ranked
            task.advance()
    rows = [
        MetricsRow.model_validate(
            {"ranker": name, **evaluation.summary(), **(_intervals(evaluation, cutoffs) if name in detailed else {})}
        )
        for name in names
        for evaluation in measured.get(name, [])
    ]
    order = {group.name: number for number, group in enumerate(groups)}
    rows.sort(key=lambda row: order[row.group])
    parts: dict[str, int | str] = {"kind": kind, **split.counts(), "tie_break": TIE_BREAK}
    return EvaluationReport(k=tuple(cutoffs), split=parts, serves=pipeline.name, metrics=tuple(rows))


def _intervals(evaluation: Evaluation, ks: Sequence[int]) -> dict[str, Any]:
    names = [f"{metric}@{k}" for k in ks for metric in INTERVALS]
    return {"intervals": {name: list(evaluation.interval(name)) for name in names}}


def single(channel: Channel, trained_on: KnowledgeGraph, **parts: Any) -> Pipeline:
    """A channel fitted on a graph, alone in a pipeline.

    Args:
        channel: unfitted.
        trained_on: the graph.
        **parts: further parts of `FitData`.
    """
    data = FitData.of(trained_on, **parts)
    return Pipeline([channel.fit(data)], data.history)


def exact_channel(embeddings: Embeddings, data: LoadData) -> LightGCNChannel:
    """A model's own ranking: metrics are of the model, an approximate index reports its recall by itself."""
    return LightGCNChannel.of(embeddings, data, index_config=IndexConfig(exact_up_to=data.history.num_items))


def exact_pipeline(embeddings: Embeddings, trained_on: KnowledgeGraph) -> Pipeline:
    """The same alone in a pipeline, from the graph that the model was trained on."""
    data = LoadData.of(trained_on)
    return Pipeline([exact_channel(embeddings, data)], data.history)


def evaluate_run(
    run: RunLayout,
    *,
    ks: Sequence[int] | None = None,
    baselines: bool = True,
    sample_users: int | None = None,
    progress: Progress = SILENT,
) -> EvaluationReport:
    """Measure the channels of a published run that learned from the training part alone.

    Args:
        run: its checksums are compared first.
        ks: cut-offs; None: those of its configuration.
        baselines: also fit and measure the baselines that its configuration names.
        sample_users: users ranked for, at most; 0: all; None: as its configuration says.
        progress: listener.

    Raises:
        ArtifactError: the run is damaged.
        ConfigError: a cut-off is below 1.
    """
    if ks is not None and min(ks, default=1) < 1:
        raise ConfigError(f"k = {min(ks)} must be at least 1")
    with run.hold():  # nobody removes it meanwhile
        channel_kinds(run)
        run.verify()
        settings = read_section(run, "evaluation", EvaluationSettings) or EvaluationSettings()
        kind = (read_section(run, "split", SplitConfig) or SplitConfig()).kind
        graph = load_graph(run.graph, verify=False)
        split = read_split(run.split, graph)
        view = split.view(graph, "train")
        pipeline = load_evaluation_pipeline(run, view)
        chosen = settings.baselines if baselines else ()
        sample = settings.sample if sample_users is None else sample_users or None
        return assess(
            graph,
            split,
            pipeline,
            kind=kind,
            ks=ks or settings.k,
            baselines=chosen,
            channels=read_section(run, "channels", ChannelsConfig),
            features=TextFeatures.load(run.features),
            sample=sample,
            progress=progress,
        )


def write_split(split: Split, graph: KnowledgeGraph, path: Path) -> None:
    """Keep the part of every interaction, in the order of the graph's interaction edges."""
    table = split.to_table(graph).replace_schema_metadata({"temporal": split.temporal or ""})
    write_table(table, path)


def read_split(path: Path, graph: KnowledgeGraph) -> Split:
    """Read what `write_split` wrote.

    Raises:
        ArtifactError: it cannot be read, or belongs to another graph.
    """
    table = read_table(path)
    interactions = graph.interactions
    same = (
        table.num_rows == len(interactions)
        and table["user_id"].combine_chunks().equals(graph.users.take(interactions.user))
        and table["item_id"].combine_chunks().equals(graph.items.take(interactions.item))
    )
    if not same:
        raise ArtifactError(f"{path} was made for other interactions than the graph has")
    numbers = {**PARTS, "unused": UNUSED}
    part = np.array([numbers[name] for name in table["part"].to_pylist()], dtype=np.int8)
    temporal = (table.schema.metadata or {}).get(b"temporal", b"").decode() or None
    return Split(part=part, temporal=temporal)
