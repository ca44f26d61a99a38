"""The evaluation of a recall stage as tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import labelled_line, table
from recall.ops.legend import METRICS, NOTHING_HELD_OUT, behind_popularity
from recall.ops.words import users_asked
from recall.quality.stage.compare import Comparison
from recall.quality.stage.report import StageReport
from recall.runs.report import MetricsRow

ACCURACY = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
SURE = 0.05
LISTS = ("coverage", "gini", "novelty", "long_tail", "calibration")


def print_stage(report: StageReport, *, console: Console) -> None:
    """A table of rankers for every group and cut-off, what each channel adds, overlaps, and what the metrics mean."""
    if not report.metrics:
        console.print(Text(NOTHING_HELD_OUT, style="yellow"))
        return
    for group in dict.fromkeys(row.group for row in report.metrics):
        rows = [row for row in report.metrics if row.group == group]
        users = users_asked(rows[0].users, rows[0].drawn_from)
        for k in report.k:
            title = f"{group}, {users}, {report.split['kind']} split, test; each metric @{k}"
            console.print(_rankers(report, rows, k, ACCURACY, title))
            _print_interval(report, rows, k, console)
        if rows[0].group == report.metrics[0].group:
            for k in report.k:
                title = f"{group}: what stands in the lists @{k}"
                console.print(_rankers(report, rows, k, LISTS, title))
        _print_added(report, group, console)
        _print_alone(report, group, console)
    for sentence in behind_popularity(report):
        console.print(Text(sentence, style="yellow"))
    meanings = "; ".join(f"{name}: {METRICS[name]}" for name in (*ACCURACY, *LISTS))
    console.print(Text(f"{meanings} (classes: {report.calibrated_by})", style="dim"))


def _rankers(report: StageReport, rows: Sequence[MetricsRow], k: int, names: Sequence[str], title: str) -> object:
    rankers = table("ranker", *names, right=names, title=title)
    for row in rows:
        cells = (row.metrics.get(f"{name}@{k}") for name in names)
        texts = ("" if value is None else f"{value:.3f}" for value in cells)
        rankers.add_row(row.ranker, *texts, style="bold" if row.ranker == report.serves else None)
    return rankers


def _print_interval(report: StageReport, rows: Sequence[MetricsRow], k: int, console: Console) -> None:
    served = next((row for row in rows if row.ranker == report.serves), None)
    intervals = {} if served is None else served.intervals
    texts = [
        f"{name} {intervals[at][0]:.3f} to {intervals[at][1]:.3f}"
        for name in ("recall", "ndcg")
        if (at := f"{name}@{k}") in intervals
    ]
    if texts:
        text = f"95% bootstrap interval of the {report.serves} over users: {', '.join(texts)}"
        console.print(Text(text, style="dim"))


def _print_added(report: StageReport, group: str, console: Console) -> None:
    """What each channel adds to recall and NDCG at the largest k."""
    names = [f"{metric}@{report.k[-1]}" for metric in ("recall", "ndcg")]
    rows = [each for each in report.added if each.group == group and each.metric in names]
    if not rows:
        return
    columns = ("metric", "with", "without", "adds", "95% interval")
    added = table("channel", *columns, right=columns[1:], title=f"{group}: what each channel adds")
    for each in rows:
        low, high = each.interval
        values = (f"{each.whole:.4f}", f"{each.without:.4f}", f"{each.difference:+.4f}", f"{low:+.4f} to {high:+.4f}")
        added.add_row(each.channel, each.metric, *values)
    console.print(added)


def _print_alone(report: StageReport, group: str, console: Console) -> None:
    """At the largest k: hits that no other channel has, and the channel that a channel is most like."""
    largest = report.k[-1]
    own = [each for each in report.own_hits if each.group == group and each.k == largest]
    if not own:
        return
    columns = ("hits", "only it", "share", "most like", "Jaccard")
    right = ("hits", "only it", "share", "Jaccard")
    alone = table("channel", *columns, right=right, title=f"{group}: what only one channel finds @{largest}")
    pairs = [each for each in report.overlaps if each.group == group and each.k == largest]
    for each in own:
        closest = max((pair for pair in pairs if each.channel in pair.channels), key=lambda pair: pair.jaccard)
        other = next(name for name in closest.channels if name != each.channel)
        share = f"{each.alone / each.hits:.1%}" if each.hits else ""
        alone.add_row(each.channel, f"{each.hits:,}", f"{each.alone:,}", share, other, f"{closest.jaccard:.3f}")
    console.print(alone)


def print_comparison(comparison: Comparison, *, console: Console) -> None:
    """A table for every group of users, and what differs between the data of the two runs."""
    first, second = comparison.runs
    console.print(labelled_line("first", first), soft_wrap=True)
    console.print(labelled_line("second", second), soft_wrap=True)
    columns = ("first", "second", "difference", "95% interval", "p")
    for group in dict.fromkeys(each.group for each in comparison.differences):
        rows = [each for each in comparison.differences if each.group == group]
        differences = table("metric", *columns, right=columns, title=f"{group}: {rows[0].users:,}")
        for each in rows:
            low, high = each.interval
            values = (f"{each.first:.4f}", f"{each.second:.4f}", f"{each.difference:+.4f}")
            surely = "bold" if each.p < SURE else None
            differences.add_row(each.metric, *values, f"{low:+.4f} to {high:+.4f}", f"{each.p:.3f}", style=surely)
        console.print(differences)
    for note in comparison.notes:
        console.print(Text(note, style="yellow"))
    console.print(
        Text(
            "second less first, means over users; paired t-test, bold where p is below 0.05: choose one metric before "
            "looking, for of many some are below by chance",
            style="dim",
        )
    )
