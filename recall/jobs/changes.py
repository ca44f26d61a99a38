"""What changed since the run that a new one stands on: its sources and its graph, as the report tells it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kg import KnowledgeGraph
from kg.difference import Difference, difference
from kg.errors import ArtifactError
from kg.graph import column
from kg.io.files import read_json
from kg.io.graph_folder import load_graph
from recall.jobs.inputs import Inputs
from recall.runs.layout import RunLayout

DAY = 86_400


def difference_to(base: RunLayout | None, graph: KnowledgeGraph) -> Difference | None:
    """How a graph differs from that of a run; None without a run."""
    return None if base is None else difference(load_graph(base.graph), graph)


def describe(
    base: RunLayout | None, inputs: Inputs, graph: KnowledgeGraph, *, found: Difference | None = None
) -> dict[str, Any]:
    """What a report says of the sources of a new run and of what they changed.

    Args:
        base: the run to compare with, or None for the first one.
        inputs: what the new run is made of.
        graph: what was built of it.
        found: what `difference_to(base, graph)` gave; default: it is called.

    Returns:
        Plain data: `sources`, a list with each source's `state` ("new", "changed", "unchanged" or "removed");
        `changes`, None without a base, else counts by node type and relation, a few ids of what is no user and no trace
        of one, shares of the interactions and of the items, and what is to be said of the times of the interactions;
        and `findings`, in the form of those of the quality report.
    """
    before = base_report(base)
    sources = compare_sources(before, inputs)
    findings = list(_clock_findings(before, inputs, sources))
    if base is None:
        return {"sources": sources, "changes": None, "findings": findings}
    found = found if found is not None else difference(load_graph(base.graph), graph)
    changes = {"base": base.name, "since": str(before.get("created", "")), **found.to_json()}
    if times := _times(found):
        changes["times"] = times
        findings += _time_findings(times)
    return {"sources": sources, "changes": changes, "findings": findings}


def base_report(base: RunLayout | None) -> Mapping[str, Any]:
    """The report of a run; nothing where there is no run, or its report cannot be read."""
    if base is None:
        return {}
    try:
        report = read_json(base.report)
    except ArtifactError:
        return {}
    return report if isinstance(report, dict) else {}


def compare_sources(before: Mapping[str, Any], inputs: Inputs) -> list[dict[str, Any]]:
    """Each source with its state against those that a report lists; removed ones come last.

    Fingerprints decide, not times: a file that was only touched is unchanged, and one that was written by a machine
    whose clock is behind is changed all the same.
    """
    old = {str(entry.get("name")): entry for entry in before.get("sources", []) if isinstance(entry, dict)}
    found = []
    for name, facts in inputs.sources.items():
        was = old.get(name)
        state = "new" if was is None or was.get("state") == "removed" else "changed"
        if was is not None and was.get("fingerprint") == facts["fingerprint"] and state == "changed":
            state = "unchanged"
        found.append({"name": name, "state": state, **facts})
    for name, was in old.items():
        if name not in inputs.sources and was.get("state") != "removed":
            kept = {key: was.get(key) for key in ("kind", "fingerprint", "bytes")}
            found.append({"name": name, "state": "removed", **kept})
    return found


def _clock_findings(
    before: Mapping[str, Any], inputs: Inputs, sources: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What the clocks of this machine and of the sources' writers say against each other."""
    if inputs.clock < inputs.now:
        yield _finding(
            "the clock was turned back",
            1,
            "this machine's clock is behind the time at which the run before was made; that time is taken for now, so "
            "that nothing newer than the clock is lost: set the clock",
            [f"{_told(inputs.clock)} instead of {_told(inputs.now)} or later"],
        )
    late = [entry["name"] for entry in sources if (entry.get("modified") or 0) > inputs.now + DAY]
    if late:
        yield _finding(
            "sources written in the future",
            len(late),
            "their time of change is more than a day ahead of this machine's clock; their content decides what is new",
            late,
        )
    old = {str(entry.get("name")): entry for entry in before.get("sources", []) if isinstance(entry, dict)}
    older = [
        entry["name"]
        for entry in sources
        if entry["state"] == "changed"
        and (entry.get("modified") or math.inf) < (old[entry["name"]].get("modified") or 0)
    ]
    if older:
        yield _finding(
            "changed sources with an older time",
            len(older),
            "a backup was put back, or the clock of their writer was: their content was read all the same",
            older,
            severity="info",
        )


def _times(found: Difference) -> dict[str, Any]:
    """When the interactions before and after were newest, and how many of the added ones are older than that."""
    key = found.after.schema.interaction
    if key is None or key not in found.edges or key not in found.before.edges:
        return {}
    tables = found.before.edges[key], found.after.edges[key]
    if any("timestamp" not in table.column_names or not table.num_rows for table in tables):
        return {}
    if any(table["timestamp"].null_count for table in tables):
        tables = tuple(table.filter(table["timestamp"].is_valid()) for table in tables)
        if not all(table.num_rows for table in tables):
            return {}
    newest = [int(column(table, "timestamp").max()) for table in tables]
    added = found.after.edges[key].take(found.edges[key].added)["timestamp"].drop_null()
    late = int(np.count_nonzero(added.to_numpy() <= newest[0]))
    return {"newest_before": newest[0], "newest": newest[1], "added_late": late}


def _time_findings(times: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if times["newest"] < times["newest_before"]:
        yield _finding(
            "the newest interaction went back",
            1,
            "the newest interactions were removed, or the clock of their writer was turned back",
            [f"{_told(times['newest'])}, before it was {_told(times['newest_before'])}"],
        )
    if times["added_late"]:
        yield _finding(
            "interactions that came late",
            times["added_late"],
            "added since the last run and no newer than the newest one that it had; they are taken like all others",
            [],
            severity="info",
        )


def _finding(
    kind: str, count: int, explanation: str, examples: list[str], *, severity: str = "warning"
) -> dict[str, Any]:
    """In the form of `ingest.report.QualityReport.to_json`."""
    return {
        "kind": kind,
        "severity": severity,
        "count": count,
        "explanation": explanation,
        "examples": examples[:5],
    }


def _told(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
