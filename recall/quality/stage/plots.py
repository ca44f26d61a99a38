"""The plots of the page of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from recall.ops.figures import COLOURS, figure, label, svg
from recall.quality.stage.report import Added, StageReport

STYLES = ("-", "--", ":", "-.")
MOST_RANKERS = 12


def by_k_plot(report: StageReport, group: str, metric: str) -> Markup | None:
    """A metric over the length of the lists, of each ranker; None for a single length."""
    rows = [row for row in report.metrics if row.group == group][:MOST_RANKERS]
    if len(report.k) < 2 or not rows:
        return None
    drawing, axes = figure(2.8)
    for number, row in enumerate(rows):
        values = [row.metrics[f"{metric}@{k}"] for k in report.k]
        axes.plot(report.k, values, marker="o", ms=3, **_line(number), label=label(row.ranker))
        if bounds := [row.intervals.get(f"{metric}@{k}") for k in report.k]:
            low, high = zip(*(each or (float("nan"),) * 2 for each in bounds), strict=True)
            axes.fill_between(report.k, low, high, color=_line(number)["color"], alpha=0.12, lw=0)
    axes.set_xscale("log")
    axes.set_xticks(report.k, [f"{k:,}" for k in report.k], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k", fontsize=8)
    axes.set_title(f"{metric}@k, {label(group)}", fontsize=9, loc="left", parse_math=False)
    drawing.legend(frameon=False, fontsize=8, loc="outside right center")
    return svg(drawing, f"by-k {metric} {group}")


def curves_plot(report: StageReport, group: str) -> Markup | None:
    """Precision over recall, of each ranker."""
    curves = [curve for curve in report.curves if curve.group == group and curve.places][:MOST_RANKERS]
    if not curves:
        return None
    drawing, axes = figure(2.8)
    for number, curve in enumerate(curves):
        text = f"{label(curve.ranker)}, AP {curve.average_precision:.4f}"
        axes.plot(curve.recall, curve.precision, marker=".", ms=3, **_line(number), label=text)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("recall", fontsize=8)
    axes.set_ylabel("precision", fontsize=8)
    axes.set_title(f"precision over recall, {label(group)}", fontsize=9, loc="left", parse_math=False)
    drawing.legend(frameon=False, fontsize=8, loc="outside right center")
    return svg(drawing, f"curves {group}")


def added_plot(rows: Sequence[Added], title: str) -> Markup | None:
    """What each channel adds, with its interval."""
    if not rows:
        return None
    drawing, axes = figure(0.8 + 0.3 * len(rows))
    values = [row.difference for row in rows]
    errors = [
        [max(row.difference - row.interval[0], 0) for row in rows],
        [max(row.interval[1] - row.difference, 0) for row in rows],
    ]
    axes.barh(range(len(rows)), values, xerr=errors, color=COLOURS[0], error_kw={"lw": 1, "ecolor": "#1f2933"})
    axes.axvline(0, color="#66727f", lw=0.8)
    axes.set_yticks(range(len(rows)), [label(row.channel) for row in rows], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_title(label(title), fontsize=9, loc="left", parse_math=False)
    return svg(drawing, title)


def _line(number: int) -> dict[str, object]:
    return {"color": COLOURS[number % len(COLOURS)], "ls": STYLES[number // len(COLOURS)], "lw": 1.4}
