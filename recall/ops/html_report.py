"""The HTML report of a run: one file that opens without a server and loads nothing from outside.

It shows what report.json holds, beside the outcomes of the last refreshes. Whatever stands in the sources (ids, titles,
names of relations) is escaped, and the page forbids itself scripts and the network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kg.io.files import write_text
from recall.ops.legend import METRICS, NOTHING_HELD_OUT, behind_popularity, gate_rows
from recall.ops.pages import pages
from recall.ops.report_plots import rankers_plot, runs_plot, times_plot, training_plot
from recall.ops.words import duration, moment, users_asked
from recall.runs.layout import RunLayout
from recall.runs.report import ChangeCounts, Changes, EvaluationReport, Report

_log = logging.getLogger(__name__)

NAME = "report.html"
SHOWN = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")
MOST_REFRESHES = 12


def write_html(run: RunLayout, report: Report, history: Sequence[Mapping[str, Any]]) -> None:
    """Write `report.html` into a run that is not published yet, or is being made anew.

    What cannot be shown is a warning in the log, and the run goes without the page: it serves all the same.

    Args:
        run: the folder, before its manifest is written.
        report: its report.
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


def render(report: Report, history: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        report: of a run.
        history: summaries of earlier refreshes, oldest first; only those that published a run give points to the plots.
    """
    return pages("recall.ops").get_template("report.html.jinja").render(_content(report, history))


def _content(report: Report, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    published = [
        summary
        for summary in history
        if summary.get("status") == "published" and isinstance(summary.get("metrics"), dict)
    ]
    before = _before(published, report)
    changes = report.changes
    kind = "incremental refresh" if report.kind == "incremental" else "full build"
    base = f" on {report.base}" if report.base else ""
    data = report.to_json()
    return {
        "title": f"Refresh of {moment(report.created)}",
        "lead": f"{kind}{base}, {duration(sum(report.timings.values()))} of work, seed {report.seed}, "
        f"on {report.device}",
        "tiles": _tiles(data.get("data", {}), before.get("counts", {})),
        "gate": report.gate,
        "gate_rows": [] if report.gate is None else gate_rows(report.gate),
        "reasons": _reasons(report),
        "groups": _groups(report.evaluation, before.get("metrics", {})),
        "nothing_measured": NOTHING_HELD_OUT,
        "behind": list(behind_popularity(report.evaluation)),
        "legend": METRICS,
        "shown": SHOWN,
        "changes": changes,
        "changed_nodes": [] if changes is None else _changed(changes.nodes, "type"),
        "changed_edges": [] if changes is None else _changed(changes.edges, "relation"),
        "changes_more": {} if changes is None else _more_changes(changes),
        "findings": report.quality.findings,
        "sources": [_short(source.to_json()) for source in report.sources or report.quality.sources],
        "counts": {"nodes": report.data.nodes, "edges": report.data.edges},
        "refreshes": [_refresh(summary) for summary in history[: -MOST_REFRESHES - 1 : -1]],
        "made_with": {name: data[name] for name in ("texts", "index", "fusion", "versions") if data.get(name)},
        "plots": {
            "runs": runs_plot(published, report),
            "rankers": rankers_plot(report.evaluation),
            "training": training_plot(next(iter(report.training.values()), None)),
            "times": times_plot(report.timings),
        },
        "validated": _validated(report),
    }


def _before(published: Sequence[Mapping[str, Any]], report: Report) -> Mapping[str, Any]:
    """The summary of the run that served when this one was made; the last one published before the gate has judged."""
    if report.gate is None:
        return published[-1] if published else {}
    return next((summary for summary in reversed(published) if summary.get("run") == report.gate.against), {})


def _tiles(data: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    def flat(counts: Mapping[str, Any]) -> dict[str, int]:
        sums = {name: sum(counts[name].values()) for name in ("nodes", "edges") if name in counts}
        return sums | {name: counts[name] for name in ("interactions", "users", "items") if name in counts}

    counts_before = flat(before)
    return [
        {"name": name, "value": value, "change": f"{value - counts_before[name]:+,}" if name in counts_before else None}
        for name, value in flat(data).items()
    ]


def _validated(report: Report) -> str:
    """Whom the validations of the drawn training ranked for; empty where there were none."""
    channel = next(iter(report.training.values()), None)
    asked = None if channel is None else channel.evaluation.validated
    return "" if asked is None else f": {users_asked(asked.users, asked.drawn_from)}"


def _groups(evaluation: EvaluationReport, before: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A table for each group of users or items: a row a ranker, and what served before."""
    groups = []
    for group in dict.fromkeys(row.group for row in evaluation.metrics):
        rows = [row for row in evaluation.metrics if row.group == group]
        names = [f"{name}@{k}" for k in evaluation.k for name in SHOWN if f"{name}@{k}" in rows[0].metrics]
        was = before.get(group)
        intervals = next((row.intervals for row in rows if row.ranker == evaluation.serves), {})
        groups.append(
            {
                "name": group,
                "users": users_asked(rows[0].users, rows[0].drawn_from),
                "names": names,
                "rows": [
                    {
                        "ranker": row.ranker,
                        "serves": row.ranker == evaluation.serves,
                        "values": [f"{row.metrics[name]:.4f}" for name in names],
                    }
                    for row in rows
                ],
                "before": was and [f"{was[name]:.4f}" if name in was else "" for name in names],
                "intervals": ", ".join(f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in intervals.items()),
            }
        )
    return groups


def _changed(changes: Mapping[str, ChangeCounts], what: str) -> list[dict[str, Any]]:
    """The node types or relations that changed, examples last."""
    rows = []
    for name, counts in changes.items():
        if counts.added or counts.removed or counts.changed:
            facts = counts.to_json()
            examples = facts.pop("examples", None) or ""
            rows.append({what: name, **facts, "examples": examples})
    return rows


def _more_changes(changes: Changes) -> dict[str, Any]:
    """What else is in a change: shares, and the times of the interactions as dates."""
    more: dict[str, Any] = {}
    if changes.shares:
        more["share that changed"] = {name: f"{share:.2%}" for name, share in changes.shares.items()}
    if times := changes.times:
        more["newest interaction before"] = _date(times.newest_before)
        more["newest interaction now"] = _date(times.newest)
        more["added, and older than the newest before"] = times.added_late
    return more


def _reasons(report: Report) -> dict[str, Any]:
    """Why the run is a full or an incremental one, and what came of that."""
    reasons: dict[str, Any] = {}
    if report.reasons:
        reasons["because"] = "; ".join(report.reasons)
    if report.generation:
        reasons["incremental runs since the last full one"] = report.generation
    if any(report.stayed_known.values()):
        reasons["interactions not held out, for an ancestor was trained on them"] = report.stayed_known
    if report.forgotten.on_list:
        reasons["users on the list of the forgotten"] = report.forgotten.on_list
    if report.forgotten.weights_may_remember:
        reasons["forgotten users that the weights were trained with"] = report.forgotten.weights_may_remember
    return reasons


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


def _date(seconds: Any) -> str:
    """UTC seconds as a date; whatever no calendar has, as it is."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M UTC}"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(seconds)
