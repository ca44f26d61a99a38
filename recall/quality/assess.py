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
from kg.errors import ArtifactError
from kg.io.parquet import read_table, write_table
from kg.progress import SILENT, Progress
from kg.splits import PARTS, TIE_BREAK, UNUSED
from recall.channels import LightGCNChannel, channel_class
from recall.channels.settings import ChannelsConfig, make_channel
from recall.contracts import Channel, FitData, LoadData
from recall.index.settings import IndexConfig
from recall.pipeline import Pipeline
from recall.quality.measure import measure_channels
from recall.runs.report import EvaluationReport, MetricsRow

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
    detailed = {pipeline.name, *(name for name, channel in pipeline.channels.items() if channel.capabilities.trained)}
    measured: dict[str, list[Evaluation]] = {}
    others = Rankers(pipeline, view, baselines=baselines, channels=channels, features=features)
    names = others.names
    with progress.task("measuring on test", total=len(names)) as task:
        for name in names:
            task.note(name)
            if name not in measured:
                measured |= measure_channels(others.pipeline(name), groups, trained_on=view, ks=cutoffs).ranked
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
    return EvaluationReport(k=tuple(cutoffs), split=split_facts(split, kind), serves=pipeline.name, metrics=tuple(rows))


def split_facts(split: Split, kind: str) -> dict[str, int | str]:
    """What a report says of a split of a kind."""
    return {"kind": kind, **split.counts(), "tie_break": TIE_BREAK}


class Rankers:
    """What serves, its channels and baselines, each fitted when it is asked for.

    Attributes:
        names: of all, what serves first.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        view: KnowledgeGraph,
        *,
        baselines: Iterable[str],
        channels: ChannelsConfig | None,
        features: TextFeatures | None,
    ) -> None:
        """See `assess`; `view` is the training view of the graph."""
        self._served, self._settings = pipeline, channels or ChannelsConfig()
        self._data = FitData(graph=view, history=pipeline.history, features=features)
        textless = features is not None and not len(features.vectors)
        usable = [name for name in baselines if not (textless and channel_class(name).capabilities.needs_text)]
        self.names = list(dict.fromkeys([pipeline.name, *pipeline.channels, *usable]))

    def pipeline(self, name: str) -> Pipeline:
        """What ranks under a name."""
        if name == self._served.name:
            return self._served
        channel = self._served.channels.get(name) or make_channel(self._settings, name).fit(self._data)
        return Pipeline([channel], self._served.history)


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
