"""The evaluation of a recall stage as an HTML page: one file that opens without a server."""

from __future__ import annotations

from typing import Any

from recall.ops.legend import METRICS, NOTHING_HELD_OUT, behind_popularity
from recall.ops.pages import pages
from recall.ops.words import duration, users_asked
from recall.quality.stage.plots import added_plot, by_k_plot, curves_plot
from recall.quality.stage.report import StageReport

PLOTTED = ("recall", "ndcg")


def render(report: StageReport) -> str:
    """The page.

    Args:
        report: of a run.
    """
    return pages("recall.quality.stage").get_template("evaluation.html.jinja").render(_content(report))


def _content(report: StageReport) -> dict[str, Any]:
    groups = list(dict.fromkeys(row.group for row in report.metrics))
    used = {name.partition("@")[0] for row in report.metrics for name in row.metrics}
    return {
        "title": f"Evaluation of {report.run}" if report.run else "Evaluation",
        "lead": f"{report.split.get('kind', '')} split, test part; k = {', '.join(f'{k:,}' for k in report.k)}; "
        f"it serves {report.serves}; ranked in {duration(report.seconds)}",
        "behind": list(behind_popularity(report)),
        "groups": [_group(report, group) for group in groups],
        "nothing_measured": NOTHING_HELD_OUT,
        "legend": {name: text for name, text in METRICS.items() if name in used},
        "calibrated_by": report.calibrated_by,
        "serves": report.serves,
    }


def _group(report: StageReport, group: str) -> dict[str, Any]:
    rows = [row for row in report.metrics if row.group == group]
    largest = report.k[-1]
    added = [each for each in report.added if each.group == group and each.metric == f"recall@{largest}"]
    curves = {curve.ranker: curve.average_precision for curve in report.curves if curve.group == group}
    return {
        "name": group,
        "users": users_asked(rows[0].users, rows[0].drawn_from),
        "tables": [_table(report, group, k) for k in report.k],
        "areas": [{"ranker": name, "average precision": f"{area:.4f}"} for name, area in curves.items()],
        "by_k": [by_k_plot(report, group, metric) for metric in PLOTTED],
        "curves": curves_plot(report, group),
        "added": added_plot(added, f"added to recall@{largest}, {group}"),
        "added_rows": [
            {
                "channel": each.channel,
                "metric": each.metric,
                "with it": f"{each.whole:.4f}",
                "without it": f"{each.without:.4f}",
                "difference": f"{each.difference:+.4f}",
                "interval": _interval(each.interval, signed=True),
            }
            for each in report.added
            if each.group == group
        ],
        "overlaps": _overlaps(report, group),
        "own_hits": [
            {
                "channel": each.channel,
                "k": each.k,
                "found": each.hits,
                "by no other": each.alone,
                "share": f"{each.alone / each.hits:.1%}" if each.hits else "",
            }
            for each in report.own_hits
            if each.group == group
        ],
    }


def _table(report: StageReport, group: str, k: int) -> dict[str, Any]:
    rows = [row for row in report.metrics if row.group == group]
    names = [name for name in METRICS if any(f"{name}@{k}" in row.metrics for row in rows)]
    return {
        "k": k,
        "names": names,
        "rows": [
            {
                "ranker": row.ranker,
                "serves": row.ranker == report.serves,
                "cells": [
                    {
                        "value": f"{row.metrics[f'{name}@{k}']:.4f}" if f"{name}@{k}" in row.metrics else "",
                        "interval": _interval(row.intervals.get(f"{name}@{k}")) if name in PLOTTED else "",
                    }
                    for name in names
                ],
            }
            for row in rows
        ],
    }


def _overlaps(report: StageReport, group: str) -> list[dict[str, Any]]:
    """A row a pair of channels, a column a length of the lists."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in report.overlaps:
        if each.group == group:
            row = rows.setdefault(each.channels, {"channels": " and ".join(each.channels)})
            row[f"k = {each.k:,}"] = f"{each.jaccard:.3f}"
    return list(rows.values())


def _interval(interval: tuple[float, float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f"{low:+.4f} to {high:+.4f}" if signed else f"{low:.4f} to {high:.4f}"
