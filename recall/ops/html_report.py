"""The HTML report of a run: one file that opens without a server and loads nothing from outside.

It shows what report.json holds, beside the outcomes of the last refreshes. Whatever stands in the sources (ids, titles,
names of relations) is escaped, and the page forbids itself scripts and the network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from kg.io.files import write_text
from recall.ops.report_plots import UNPRINTABLE, rankers_plot, runs_plot, times_plot, training_plot
from recall.ops.words import duration, moment
from recall.runs.layout import RunLayout

_log = logging.getLogger(__name__)

NAME = "report.html"
SHOWN = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")
MOST_EXAMPLES = 10
MOST_REFRESHES = 12


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
    page.filters["readable"] = _readable
    page.filters["columns"] = _columns
    page.globals["most"] = MOST_EXAMPLES
    return page.get_template("report.html.jinja").render(_content(report, history))


def _content(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    published = [
        summary
        for summary in history
        if summary.get("status") == "published" and isinstance(summary.get("metrics"), dict)
    ]
    before = _before(published, report)
    evaluation, quality = report.get("evaluation", {}), report.get("quality", {})
    changes = report.get("changes") or {}
    created = str(report.get("created", ""))
    kind = "incremental refresh" if report.get("kind") == "incremental" else "full build"
    base = f" on {report['base']}" if report.get("base") else ""
    seconds = sum(report.get("timings", {}).values())
    return {
        "title": f"Refresh of {moment(created)}",
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
        "refreshes": [_refresh(summary) for summary in history[: -MOST_REFRESHES - 1 : -1]],
        "made_with": {name: report[name] for name in ("texts", "index", "fusion", "versions") if report.get(name)},
        "plots": {
            "runs": runs_plot(published, report),
            "rankers": rankers_plot(evaluation),
            "training": training_plot(report.get("training", {}).get("evaluation", {})),
            "times": times_plot(report.get("timings", {})),
        },
    }


def _before(published: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The summary of the run that served when this one was made; of the last one published, where that is unknown."""
    gate = report.get("gate") or {}
    if "against" not in gate:
        return published[-1] if published else {}
    return next((summary for summary in reversed(published) if summary.get("run") == gate["against"]), {})


def _gate(gate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The gate's part of the report, with None for every field that it lacks."""
    if not gate:
        return None
    empty = dict.fromkeys(("passed", "against", "users", "reasons", "note", "readings"))
    reading = dict.fromkeys(("name", "before", "now", "change", "limit", "passed", "text"))
    return empty | dict(gate) | {"readings": [reading | measured for measured in gate.get("readings") or ()]}


def _tiles(data: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    def flat(counts: Mapping[str, Any]) -> dict[str, int]:
        sums = {name: sum(counts[name].values()) for name in ("nodes", "edges") if name in counts}
        return sums | {name: counts[name] for name in ("interactions", "users", "items") if name in counts}

    counts_before = flat(before)
    return [
        {"name": name, "value": value, "change": f"{value - counts_before[name]:+,}" if name in counts_before else None}
        for name, value in flat(data).items()
    ]


def _groups(evaluation: Mapping[str, Any], before: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A table for each group of users or items: a row a ranker, and what served before."""
    rows, serves = evaluation.get("metrics", []), evaluation.get("serves", "model")
    groups = []
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = [row for row in rows if row["group"] == group]
        names = [f"{name}@{k}" for k in evaluation["k"] for name in SHOWN if f"{name}@{k}" in of_group[0]]
        values_before = before.get(group)
        intervals: Mapping[str, Sequence[float]] = next(
            (row.get("intervals", {}) for row in of_group if row["ranker"] == serves), {}
        )
        groups.append(
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
                "before": values_before
                and [f"{values_before[name]:.4f}" if name in values_before else "" for name in names],
                "intervals": ", ".join(f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in intervals.items()),
            }
        )
    return groups


def _changed(changes: Mapping[str, Mapping[str, Any]], heading: str) -> list[dict[str, Any]]:
    """The node types or relations that changed, examples last."""
    rows = []
    for name, facts in changes.items():
        if any(facts.get(kind) for kind in ("added", "removed", "changed")):
            plain = {key: value for key, value in facts.items() if key != "examples"}
            rows.append({heading: name, **plain, "examples": facts.get("examples") or ""})
    return rows


def _more_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Further facts about a change: shares, and the times of the interactions as dates."""
    rows: dict[str, Any] = {}
    if shares := changes.get("shares"):
        rows["share that changed"] = {name: f"{share:.2%}" for name, share in shares.items()}
    if times := changes.get("times"):
        rows["newest interaction before"] = _date(times.get("newest_before"))
        rows["newest interaction now"] = _date(times.get("newest"))
        rows["added, and older than the newest before"] = times.get("added_late")
    return rows


def _reasons(report: Mapping[str, Any]) -> dict[str, Any]:
    """Why the run is a full or an incremental one, and what follows from it."""
    rows: dict[str, Any] = {}
    if report.get("reasons"):
        rows["because"] = "; ".join(report["reasons"])
    if report.get("generation"):
        rows["incremental runs since the last full one"] = report["generation"]
    if any((report.get("stayed_known") or {}).values()):
        rows["interactions not held out, for an ancestor was trained on them"] = report["stayed_known"]
    for key, heading in (
        ("on_list", "users on the list of the forgotten"),
        ("weights_may_remember", "forgotten users that the weights were trained with"),
    ):
        if count := (report.get("forgotten") or {}).get(key):
            rows[heading] = count
    return rows


def _short(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without its fingerprint and time, which only programs compare."""
    return {key: value for key, value in source.items() if key not in ("fingerprint", "modified")}


def _refresh(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "finished": moment(summary.get("finished")),
        "outcome": summary.get("status"),
        "seconds": summary.get("seconds"),
        "run": summary.get("run") or "",
        "error": summary.get("error") or "",
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _readable(value: Any) -> str:
    """A plain value as text: numbers with separators, yes or no."""
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
    return UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value


def _date(seconds: Any) -> str:
    """UTC seconds as a date; whatever no calendar has, as it is."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M UTC}"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(seconds)
