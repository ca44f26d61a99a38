"""The report of a run for people: one HTML file that opens without a server and asks for nothing from outside.

It shows what report.json holds, beside what the last refreshes came to. Whatever stands in the sources (ids, titles,
names of relations) is escaped, and the page forbids itself scripts and the network.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from kg.io.files import write_text
from recall.ops.summary import headline
from recall.ops.words import duration
from recall.runs.layout import RunLayout

_log = logging.getLogger(__name__)

NAME = "report.html"
SHOWN = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")
DRAWN = ("recall", "ndcg", "coverage")
MOST_EXAMPLES = 10
MOST_REFRESHES = 12
MOST_RUNS = 40
COLOURS = ("#2f6db5", "#c77c11", "#2e7d4f", "#8a4fa3", "#b3392b", "#4c7d8a")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def write_html(run: RunLayout, report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Write `report.html` into a run that is not published yet, or is being made anew.

    What cannot be shown is a warning in the log, and the run goes without the page: it serves all the same.

    Args:
        run: the folder, before its manifest is written.
        report: its report.json.
        history: summaries of earlier refreshes, oldest first (`recall.ops.summary.SummaryLog.read`).
    """
    try:
        page = render(report, history)
    except Exception as error:
        if isinstance(error, OSError | MemoryError):
            raise
        _log.warning("the run goes without a %s: %s: %s", NAME, type(error).__name__, error, exc_info=error)
        return
    write_text(run.path / NAME, page)


def render(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        report: report.json of a run.
        history: summaries of earlier refreshes, oldest first; only those that published a run give points to the plots.
    """
    page = Environment(
        loader=PackageLoader("recall.ops"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    page.filters["told"] = _told
    page.filters["columns"] = _columns
    page.globals["most"] = MOST_EXAMPLES
    return page.get_template("report.html.jinja").render(_content(report, history))


def _content(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    published = [one for one in history if one.get("status") == "published" and isinstance(one.get("metrics"), dict)]
    before = _before(published, report)
    evaluation, quality = report.get("evaluation", {}), report.get("quality", {})
    changes = report.get("changes") or {}
    created = str(report.get("created", ""))
    kind = "incremental refresh" if report.get("kind") == "incremental" else "full build"
    base = f" on {report['base']}" if report.get("base") else ""
    seconds = sum(report.get("timings", {}).values())
    return {
        "title": f"Refresh of {_moment(created)}",
        "lead": f"{kind}{base}, {duration(seconds)} of work, seed {report.get('seed')}, on {report.get('device')}",
        "tiles": _tiles(report.get("data", {}), before.get("counts", {})),
        "gate": _gate(report.get("gate")),
        "reasons": _reasons(report),
        "groups": _groups(evaluation, before.get("metrics", {})),
        "changes": changes,
        "changed_nodes": _changed(changes.get("nodes", {}), "type"),
        "changed_edges": _changed(changes.get("edges", {}), "relation"),
        "changes_more": _more_changes(changes),
        "findings": quality.get("findings", []),
        "sources": [_short(source) for source in report.get("sources") or quality.get("sources", [])],
        "counts": {name: report.get("data", {}).get(name, {}) for name in ("nodes", "edges")},
        "refreshes": [_refresh(one) for one in history[: -MOST_REFRESHES - 1 : -1]],
        "made_with": {name: report[name] for name in ("texts", "index", "fusion", "versions") if report.get(name)},
        "plots": {
            "runs": _runs_plot(published, report),
            "rankers": _rankers_plot(evaluation),
            "training": _training_plot(report.get("training", {}).get("evaluation", {})),
            "times": _times_plot(report.get("timings", {})),
        },
    }


def _before(published: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The summary of the run that served when this one was made; the last one published where nobody told."""
    gate = report.get("gate") or {}
    if "against" not in gate:
        return published[-1] if published else {}
    return next((one for one in reversed(published) if one.get("run") == gate["against"]), {})


def _gate(gate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the gate said, with a place for everything it may not have said."""
    if not gate:
        return None
    empty = dict.fromkeys(("passed", "against", "users", "reasons", "note", "readings"))
    nothing = dict.fromkeys(("name", "before", "now", "change", "limit", "passed", "text"))
    return empty | dict(gate) | {"readings": [nothing | one for one in gate.get("readings") or ()]}


def _tiles(data: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    def flat(counts: Mapping[str, Any]) -> dict[str, int]:
        sums = {name: sum(counts[name].values()) for name in ("nodes", "edges") if name in counts}
        return sums | {name: counts[name] for name in ("interactions", "users", "items") if name in counts}

    was = flat(before)
    return [
        {"name": name, "value": value, "change": f"{value - was[name]:+,}" if name in was else None}
        for name, value in flat(data).items()
    ]


def _groups(evaluation: Mapping[str, Any], before: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A table for each group of users or items: a row a ranker, and what served before."""
    rows, serves = evaluation.get("metrics", []), evaluation.get("serves", "model")
    found = []
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = [row for row in rows if row["group"] == group]
        names = [f"{name}@{k}" for k in evaluation["k"] for name in SHOWN if f"{name}@{k}" in of_group[0]]
        was = before.get(group)
        intervals: Mapping[str, Sequence[float]] = next(
            (row.get("intervals", {}) for row in of_group if row["ranker"] == serves), {}
        )
        found.append(
            {
                "name": group,
                "users": of_group[0].get("users"),
                "names": names,
                "rows": [
                    {
                        "ranker": row["ranker"],
                        "serves": row["ranker"] == serves,
                        "values": [f"{row[name]:.4f}" for name in names],
                    }
                    for row in of_group
                ],
                "before": was and [f"{was[name]:.4f}" if name in was else "" for name in names],
                "intervals": ", ".join(f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in intervals.items()),
            }
        )
    return found


def _changed(changes: Mapping[str, Mapping[str, Any]], what: str) -> list[dict[str, Any]]:
    """The node types or relations that changed, examples last."""
    rows = []
    for name, facts in changes.items():
        if any(facts.get(kind) for kind in ("added", "removed", "changed")):
            plain = {key: value for key, value in facts.items() if key != "examples"}
            rows.append({what: name, **plain, "examples": facts.get("examples") or ""})
    return rows


def _more_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What else is told of a change: shares, and the times of the interactions as dates."""
    found: dict[str, Any] = {}
    if shares := changes.get("shares"):
        found["share that changed"] = {name: f"{share:.2%}" for name, share in shares.items()}
    if times := changes.get("times"):
        found["newest interaction before"] = _date(times.get("newest_before"))
        found["newest interaction now"] = _date(times.get("newest"))
        found["added, and older than the newest before"] = times.get("added_late")
    return found


def _reasons(report: Mapping[str, Any]) -> dict[str, Any]:
    """Why the run is a full or an incremental one, and what came of that."""
    found: dict[str, Any] = {}
    if report.get("reasons"):
        found["because"] = "; ".join(report["reasons"])
    if report.get("generation"):
        found["incremental runs since the last full one"] = report["generation"]
    if any((report.get("stayed_known") or {}).values()):
        found["interactions not held out, for an ancestor was trained on them"] = report["stayed_known"]
    for key, told in (
        ("on_list", "users on the list of the forgotten"),
        ("weights_may_remember", "forgotten users that the weights were trained with"),
    ):
        if count := (report.get("forgotten") or {}).get(key):
            found[told] = count
    return found


def _short(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without what only machines compare."""
    return {key: value for key, value in source.items() if key not in ("fingerprint", "modified")}


def _refresh(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "finished": _moment(summary.get("finished")),
        "outcome": summary.get("status"),
        "seconds": summary.get("seconds"),
        "run": summary.get("run") or "",
        "error": summary.get("error") or "",
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _told(value: Any) -> str:
    """A plain value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _printable(value: Any) -> Any:
    """A value without the characters that turn text around or that no page can show."""
    if isinstance(value, Markup):
        return value
    return _UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value


# ------------------------------------------------------------------------------------------------------------- plots


def _runs_plot(published: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> Markup | None:
    """The first group's metrics at the first cut-off over the last runs, this one included."""
    evaluation = report.get("evaluation", {})
    now = headline(evaluation)
    if not now or not published:
        return None
    group, k = next(iter(now)), evaluation["k"][0]
    points = [(one.get("created"), one["metrics"].get(group, {})) for one in published[-MOST_RUNS:]]
    points.append((report.get("created"), now[group]))
    figure, axes = _figure(2.6)
    at = range(len(points))
    for colour, name in zip(COLOURS, DRAWN, strict=False):
        values = [metrics.get(f"{name}@{k}", float("nan")) for _, metrics in points]
        axes.plot(at, values, marker="o", ms=3.5, lw=1.4, color=colour, label=f"{name}@{k}")
    every = max(1, len(points) // 8)
    axes.set_xticks([*at][::every], [_moment(moment, "%d %b %H:%M") for moment, _ in points][::every], fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_title(_label(group), fontsize=9, loc="left", parse_math=False)
    figure.legend(frameon=False, fontsize=8, ncols=3, loc="outside upper right")
    return _svg(figure, "runs")


def _rankers_plot(evaluation: Mapping[str, Any]) -> Markup | None:
    rows = evaluation.get("metrics", [])
    if len({row["ranker"] for row in rows}) < 2:
        return None
    group, k = rows[0]["group"], evaluation["k"][0]
    of_group = [row for row in rows if row["group"] == group]
    names = [name for name in ("recall", "ndcg") if f"{name}@{k}" in of_group[0]]
    figure, axes = _figure(0.9 + 0.34 * len(of_group))
    height = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        places = [place + number * height for place in range(len(of_group))]
        values = [row[f"{name}@{k}"] for row in of_group]
        axes.barh(places, values, height=height, color=COLOURS[number], label=f"{name}@{k}")
    middle = [place + height * (len(names) - 1) / 2 for place in range(len(of_group))]
    axes.set_yticks(middle, [_label(row["ranker"]) for row in of_group], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_title(_label(group), fontsize=9, loc="left", parse_math=False)
    figure.legend(frameon=False, fontsize=8, ncols=2, loc="outside upper right")
    return _svg(figure, "rankers")


def _training_plot(training: Mapping[str, Any]) -> Markup | None:
    steps = [one for one in training.get("history", []) if "loss" in one]
    if len(steps) < 2:
        return None
    figure, axes = _figure(2.2)
    axes.plot([one["step"] for one in steps], [one["loss"] for one in steps], color=COLOURS[4], lw=1.4, label="loss")
    axes.set_xlabel("step", fontsize=8)
    lines = [*axes.lines]
    metrics = sorted({name for one in steps for name in one if "@" in name})
    if metrics:
        other = axes.twinx()
        other.spines["top"].set_visible(False)
        other.tick_params(labelsize=8)
        for colour, name in zip(COLOURS, metrics, strict=False):
            measured = [one for one in steps if name in one]
            other.plot(
                [one["step"] for one in measured],
                [one[name] for one in measured],
                color=colour,
                marker="o",
                ms=3,
                lw=1.2,
                label=_label(name),
            )
        other.set_ylim(bottom=0)
        lines += other.lines
    figure.legend(handles=lines, frameon=False, fontsize=8, ncols=3, loc="outside upper right")
    return _svg(figure, "training")


def _times_plot(timings: Mapping[str, float]) -> Markup | None:
    if not timings:
        return None
    figure, axes = _figure(0.5 + 0.22 * len(timings))
    bars = axes.barh(range(len(timings)), list(timings.values()), color=COLOURS[0])
    axes.set_yticks(range(len(timings)), [_label(name) for name in timings], fontsize=8, parse_math=False)
    axes.bar_label(bars, [duration(seconds) for seconds in timings.values()], fontsize=8, padding=3)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    return _svg(figure, "times")


def _figure(height: float) -> tuple[Any, Any]:
    """A figure that touches none of matplotlib's global state, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Any, name: str) -> Markup:
    """The figure as an SVG element; the same numbers give the same text."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.BytesIO()
    # A salt of its own keeps the ids of the figures of a page apart; letters as letters keep it small.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_figure(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue().decode("utf-8")
    # The numbers in it were drawn by matplotlib, which escapes the labels.
    return Markup(text[text.index("<svg") :].replace("<svg", '<svg role="img"', 1))  # noqa: S704


def _label(text: Any) -> str:
    cleaned = _UNPRINTABLE.sub("\ufffd", str(text)).replace("\n", " ")
    return cleaned if len(cleaned) <= 40 else cleaned[:39] + "…"


def _date(seconds: Any) -> str:
    """UTC seconds as a date; whatever no calendar has, as it is."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M UTC}"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(seconds)


def _moment(text: Any, shape: str = "%Y-%m-%d %H:%M UTC") -> str:
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):{shape}}"
    except ValueError:
        return str(text or "")
