"""Each channel of a published run and what it serves, measured on its test part."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from gnn.evaluation.held_out import Evaluation, Group, stage_groups
from gnn.evaluation.metrics import bootstrap_intervals
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, Split
from kg.errors import ConfigError
from kg.io.graph_folder import load_graph
from kg.progress import SILENT, Progress
from kg.splits import SplitConfig
from recall.channels.settings import ChannelsConfig
from recall.config.sections import EvaluationSettings
from recall.pipeline import Pipeline
from recall.quality.assess import Rankers, read_split, split_facts
from recall.quality.measure import Measured, measure_channels
from recall.quality.stage.calibration import Calibration, item_classes
from recall.quality.stage.curve import curve
from recall.quality.stage.overlap import Overlaps
from recall.quality.stage.report import Added, StageReport
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.report import MetricsRow
from recall.serve.loading import channel_kinds, load_evaluation_pipeline

INTERVALS = ("recall", "precision", "map", "ndcg", "mrr", "hit_rate")
COMPARED = ("recall", "ndcg")  # metrics of which a channel's part is told
MOST_K = 1000


def evaluate_run(
    run: RunLayout,
    *,
    ks: Sequence[int] | None = None,
    baselines: bool = True,
    sample_users: int | None = None,
    calibrate_by: str | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> StageReport:
    """Measure the channels of a published run that learned from the training part alone.

    Args:
        run: its checksums are compared first.
        ks: cut-offs, 1 to 1000; None: those of its configuration.
        baselines: also fit and measure the baselines that its configuration names.
        sample_users: users ranked for, at most; 0: all; None: as its configuration says.
        calibrate_by: relation whose other ends are the classes of items; see `item_classes`.
        workers: threads that rank; None: as many as there are cores.
        progress: listener.

    Raises:
        ArtifactError: the run is damaged.
        ConfigError: a cut-off is below 1 or above 1000, or there is no such relation.
    """
    check_cutoffs(ks)
    with run.hold():  # nobody removes it meanwhile
        channel_kinds(run)
        run.verify()
        settings = read_section(run, "evaluation", EvaluationSettings) or EvaluationSettings()
        kind = (read_section(run, "split", SplitConfig) or SplitConfig()).kind
        graph = load_graph(run.graph, verify=False)
        split = read_split(run.split, graph)
        pipeline = load_evaluation_pipeline(run, split.view(graph, "train"))
        return evaluate_stage(
            graph,
            split,
            pipeline,
            kind=kind,
            ks=ks or settings.k,
            name=run.name,
            baselines=settings.baselines if baselines else (),
            channels=read_section(run, "channels", ChannelsConfig),
            features=TextFeatures.load(run.features),
            sample=settings.sample if sample_users is None else sample_users or None,
            calibrate_by=calibrate_by,
            workers=workers,
            progress=progress,
        )


def check_cutoffs(ks: Sequence[int] | None) -> None:
    """Refuse cut-offs that nobody can rank to.

    Raises:
        ConfigError: one is below 1 or above 1000.
    """
    for k in ks or ():
        if not 1 <= k <= MOST_K:
            raise ConfigError(f"k = {k} must be at least 1 and at most {MOST_K}")


def evaluate_stage(
    graph: KnowledgeGraph,
    split: Split,
    pipeline: Pipeline,
    *,
    kind: str,
    ks: Sequence[int],
    name: str = "",
    baselines: Iterable[str] = (),
    channels: ChannelsConfig | None = None,
    features: TextFeatures | None = None,
    sample: int | None = None,
    calibrate_by: str | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> StageReport:
    """Measure fitted channels, what serves, what each channel adds, and baselines fitted here.

    Each channel scores a user once: the lists of the channels, of their fusion and of the fusion without each of them
    come from the same scores.

    Args:
        graph: all interactions.
        split: made for this graph; the channels were fitted on its training part.
        pipeline: what would serve.
        kind: of the split, for the report.
        ks: cut-offs.
        name: of the run, for the report.
        baselines: names of channels to fit and measure too.
        channels: their hyper-parameters.
        features: text vectors of the graph's nodes.
        sample: users at most; None: all.
        calibrate_by: see `evaluate_run`.
        workers: see `evaluate_run`.
        progress: listener.

    Raises:
        ConfigError: there is no such relation to calibrate by.
    """
    cutoffs = sorted(set(ks))
    view = split.view(graph, "train")
    groups = stage_groups(graph, split, sample=sample)
    classes = item_classes(view, pipeline.history, calibrate_by)
    overlaps, calibration = Overlaps(cutoffs), Calibration(classes, pipeline.history, cutoffs)
    rankers = Rankers(pipeline, view, baselines=baselines, channels=channels, features=features)
    start = time.monotonic()
    measured: dict[str, list[Evaluation]] = {}
    served = Measured()
    with progress.task("measuring on test", total=len(rankers.names)) as task:
        for ranker in rankers.names:
            task.note(ranker)
            if ranker not in measured:
                serves = ranker == pipeline.name
                result = measure_channels(
                    rankers.pipeline(ranker),
                    groups,
                    trained_on=view,
                    ks=cutoffs,
                    without=serves and len(pipeline.asked) > 1,
                    watchers=(overlaps, calibration) if serves else (calibration,),
                    workers=workers,
                    progress=progress,
                )
                served = result if serves else served
                measured |= result.ranked
            task.advance()
    seconds = time.monotonic() - start
    by_group = [
        (group, [(ranker, measured[ranker][at]) for ranker in rankers.names if ranker in measured])
        for at, group in enumerate(groups)
    ]
    return StageReport(
        run=name,
        k=tuple(cutoffs),
        split=split_facts(split, kind),
        serves=pipeline.name,
        metrics=tuple(chain.from_iterable(_rows(group, of, calibration, cutoffs) for group, of in by_group)),
        calibrated_by=classes.name,
        curves=tuple(curve(ranker, each, group, len(graph.items)) for group, of in by_group for ranker, each in of),
        overlaps=tuple(overlaps.overlaps()),
        own_hits=tuple(overlaps.own_hits()),
        added=tuple(_added(served, pipeline.name, cutoffs)),
        seconds=round(seconds, 3),
    )


def _rows(
    group: Group, of: Sequence[tuple[str, Evaluation]], calibration: Calibration, ks: Sequence[int]
) -> Iterator[MetricsRow]:
    """A row a ranker, with intervals of all from the same draws of users."""
    names = [f"{metric}@{k}" for k in ks for metric in INTERVALS]
    if not of:
        return
    values = np.concatenate([np.stack([each.values[name] for name in names], axis=1) for _, each in of], axis=1)
    intervals = bootstrap_intervals(values)
    for at, (ranker, each) in enumerate(of):
        own = intervals[at * len(names) : (at + 1) * len(names)]
        yield MetricsRow.model_validate(
            {
                "ranker": ranker,
                **each.summary(),
                **calibration.means(group, ranker),
                "intervals": dict(zip(names, own, strict=True)),
            }
        )


def _added(served: Measured, name: str, ks: Sequence[int]) -> Iterator[Added]:
    """What each channel adds, group by group."""
    metrics = [f"{metric}@{k}" for k in ks for metric in COMPARED]
    for at, whole in enumerate(served.ranked.get(name, [])):
        for channel, evaluations in served.without.items():
            without = evaluations[at]
            differences = np.stack([whole.values[each] - without.values[each] for each in metrics], axis=1)
            for metric, difference, interval in zip(
                metrics, differences.mean(axis=0).tolist(), bootstrap_intervals(differences), strict=True
            ):
                yield Added(
                    group=whole.group,
                    channel=channel,
                    metric=metric,
                    whole=whole.mean(metric),
                    without=without.mean(metric),
                    difference=difference,
                    interval=interval,
                )
