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
from kg.splits import PARTS, TIE_BREAK, UNUSED
from recall.channels import EmbeddingChannel
from recall.channels.settings import ChannelsConfig
from recall.contracts import Channel
from recall.fusion.fusion import Fusion, fused_channel
from recall.index.item_index import IndexConfig
from recall.quality.measure import measure
from recall.runs.config import read_config, read_section
from recall.runs.layout import RunLayout
from recall.runs.report import EvaluationReport, MetricsRow

MODEL = "model"
FUSED = "fusion"
CONTENT_KNN = "content_knn"  # the baseline that reads texts
INTERVALS = ("recall", "ndcg")


def assess(
    graph: KnowledgeGraph,
    split: Split,
    model: Channel,
    *,
    kind: str,
    ks: Sequence[int],
    fusion: Fusion | None = None,
    baselines: Iterable[str] = (),
    channels: ChannelsConfig | None = None,
    features: TextFeatures | None = None,
    progress: Progress = SILENT,
) -> EvaluationReport:
    """Measure a fitted channel, and baselines fitted here, on every group of users of the test part.

    The model was trained on "train" with its steps chosen on "valid"; the baselines are fitted on "train" as well. For
    nobody are items of "train" or "valid" ranked again.

    Args:
        graph: all interactions.
        split: made for this graph.
        model: fitted on the training view.
        kind: of the split, for the report.
        ks: cut-offs.
        fusion: what serves in place of the model, fitted on the training view, the model being its channel
            "embedding"; its other channels are measured one by one as well.
        baselines: names of channels to fit and measure too (recall.channels.settings).
        channels: their hyper-parameters.
        features: text vectors of the graph's nodes; the content kNN needs them, and is left out where there are none.
        progress: hears of finished rankers.

    Returns:
        A row a ranker and group.
    """
    cutoffs = sorted(set(ks))
    view = split.view(graph, "train")
    groups = user_groups(graph, split)
    settings = channels or ChannelsConfig()
    fitted: dict[str, Channel] = {} if fusion is None else {FUSED: fusion}
    fitted[MODEL] = model
    if fusion is not None:
        fitted |= {name: channel for name, channel in fusion.channels.items() if channel is not model}
    textless = features is not None and not len(features.vectors)
    names = list(dict.fromkeys([*fitted, *(name for name in baselines if not (textless and name == CONTENT_KNN))]))
    rows: list[MetricsRow] = []
    with progress.task("measuring on test", total=len(names)) as task:
        for name in names:
            task.note(name)
            channel = fitted[name] if name in fitted else settings.make(name, features).fit(view)
            rows += [
                MetricsRow.model_validate({"ranker": name, **one.summary(), **_intervals(one, name, cutoffs)})
                for one in measure(channel, groups, trained_on=view, ks=cutoffs)
            ]
            task.advance()
    order = {group.name: number for number, group in enumerate(groups)}
    rows.sort(key=lambda row: order[row.group])
    parts: dict[str, int | str] = {"kind": kind, **split.counts(), "tie_break": TIE_BREAK}
    return EvaluationReport(k=tuple(cutoffs), split=parts, serves=next(iter(fitted)), metrics=tuple(rows))


def _intervals(found: Evaluation, name: str, ks: Sequence[int]) -> dict[str, Any]:
    if name not in (MODEL, FUSED):
        return {}
    return {"intervals": {f"{metric}@{k}": list(found.interval(f"{metric}@{k}")) for k in ks for metric in INTERVALS}}


def exact_channel(embeddings: Embeddings, trained_on: KnowledgeGraph) -> EmbeddingChannel:
    """A model's own ranking: metrics are of the model, an approximate index reports its recall by itself."""
    return EmbeddingChannel.of(embeddings, trained_on, index_config=IndexConfig(exact_up_to=len(trained_on.items)))


def evaluate_run(
    run: RunLayout, *, ks: Sequence[int] | None = None, baselines: bool = True, progress: Progress = SILENT
) -> EvaluationReport:
    """Measure a published run's evaluation model, never the serving one, which has seen the test part.

    Where the run fuses channels, those that it keeps of the training part are measured too, as they were published.

    Args:
        run: its checksums are compared first.
        ks: cut-offs; None: those of its configuration.
        baselines: also fit and measure the baselines that its configuration names.
        progress: hears of finished rankers.

    Raises:
        ArtifactError: the run is damaged.
        ConfigError: a cut-off is below 1.
    """
    if ks is not None and min(ks, default=1) < 1:
        raise ConfigError(f"k = {min(ks)} must be at least 1")
    with run.hold():  # nobody removes it meanwhile
        run.verify()
        config = read_config(run)
        graph = load_graph(run.graph, verify=False)
        split = read_split(run.split, graph)
        view = split.view(graph, "train")
        model = exact_channel(Embeddings.load(run.evaluation_model), view)
        fusion = fused_channel(run.evaluation_channels, model, view)
        chosen = config["evaluation"]["baselines"] if baselines else []
        return assess(
            graph,
            split,
            model,
            kind=config["split"]["kind"],
            ks=ks or config["evaluation"]["k"],
            fusion=fusion,
            baselines=chosen,
            channels=read_section(run, "channels", ChannelsConfig),
            features=TextFeatures.load(run.features) if CONTENT_KNN in chosen else None,
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
