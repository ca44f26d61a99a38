"""The plots of the HTML report, as SVG elements that stand in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from recall.ops.figures import COLOURS, figure, label, svg
from recall.ops.words import duration, moment
from recall.runs.report import EvaluationReport, Report, TrainedChannel

DRAWN = ("recall", "ndcg", "coverage")
MOST_RUNS = 40


def runs_plot(published: Sequence[Mapping[str, Any]], report: Report) -> Markup | None:
    """The first group's metrics at the first cut-off over the last runs, this one included."""
    now = report.evaluation.served_by_group()
    if not now or not published:
        return None
    group, k = next(iter(now)), report.evaluation.k[0]
    points = [(summary.get("created"), summary["metrics"].get(group, {})) for summary in published[-MOST_RUNS:]]
    points.append((report.created, now[group]))
    drawing, axes = figure(2.6)
    at = range(len(points))
    for colour, name in zip(COLOURS, DRAWN, strict=False):
        values = [metrics.get(f"{name}@{k}", float("nan")) for _, metrics in points]
        axes.plot(at, values, marker="o", ms=3.5, lw=1.4, color=colour, label=f"{name}@{k}")
    every = max(1, len(points) // 8)
    axes.set_xticks([*at][::every], [moment(created, "%d %b %H:%M") for created, _ in points][::every], fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_title(f"{label(group)}, by run", fontsize=9, loc="left", parse_math=False)
    drawing.legend(frameon=False, fontsize=8, ncols=3, loc="outside upper right")
    return svg(drawing, "runs")


def rankers_plot(evaluation: EvaluationReport) -> Markup | None:
    """The first group's recall and NDCG at the first cut-off, of every ranker; None for a single ranker."""
    rows = evaluation.metrics
    if len({row.ranker for row in rows}) < 2:
        return None
    group, k = rows[0].group, evaluation.k[0]
    of_group = [row for row in rows if row.group == group]
    names = [name for name in ("recall", "ndcg") if f"{name}@{k}" in of_group[0].metrics]
    drawing, axes = figure(0.9 + 0.34 * len(of_group))
    height = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        places = [place + number * height for place in range(len(of_group))]
        values = [row.metrics[f"{name}@{k}"] for row in of_group]
        axes.barh(places, values, height=height, color=COLOURS[number], label=f"{name}@{k}")
    middle = [place + height * (len(names) - 1) / 2 for place in range(len(of_group))]
    axes.set_yticks(middle, [label(row.ranker) for row in of_group], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_title(f"{label(group)}, by ranker", fontsize=9, loc="left", parse_math=False)
    drawing.legend(frameon=False, fontsize=8, ncols=2, loc="outside upper right")
    return svg(drawing, "rankers")


def training_plot(channel: TrainedChannel | None) -> Markup | None:
    """The loss and the validation metrics over the steps; None with fewer than two records of the loss."""
    steps = [] if channel is None else [record for record in channel.evaluation.history if "loss" in record]
    if len(steps) < 2:
        return None
    drawing, axes = figure(2.2)
    axes.plot(
        [record["step"] for record in steps],
        [record["loss"] for record in steps],
        color=COLOURS[4],
        lw=1.4,
        label="loss",
    )
    axes.set_xlabel("step", fontsize=8)
    axes.set_title("loss and validation metrics by step", fontsize=9, loc="left")
    lines = [*axes.lines]
    metrics = sorted({name for record in steps for name in record if "@" in name})
    if metrics:
        metric_axes = axes.twinx()
        metric_axes.spines["top"].set_visible(False)
        metric_axes.tick_params(labelsize=8)
        for colour, name in zip(COLOURS, metrics, strict=False):
            measured = [record for record in steps if name in record]
            metric_axes.plot(
                [record["step"] for record in measured],
                [record[name] for record in measured],
                color=colour,
                marker="o",
                ms=3,
                lw=1.2,
                label=label(name),
            )
        metric_axes.set_ylim(bottom=0)
        lines += metric_axes.lines
    drawing.legend(handles=lines, frameon=False, fontsize=8, ncols=3, loc="outside upper right")
    return svg(drawing, "training")


def times_plot(timings: Mapping[str, float]) -> Markup | None:
    """The seconds of each stage."""
    if not timings:
        return None
    drawing, axes = figure(0.5 + 0.22 * len(timings))
    bars = axes.barh(range(len(timings)), list(timings.values()), color=COLOURS[0])
    axes.set_yticks(range(len(timings)), [label(name) for name in timings], fontsize=8, parse_math=False)
    axes.bar_label(bars, [duration(seconds) for seconds in timings.values()], fontsize=8, padding=3)
    axes.margins(x=0.12)
    axes.set_title("time of each stage", fontsize=9, loc="left")
    axes.invert_yaxis()
    return svg(drawing, "times")
