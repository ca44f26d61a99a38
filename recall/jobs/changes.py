"""What changed since the run that a new one stands on: its sources and its graph, as the report tells it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
from pydantic import Field

from kg import KnowledgeGraph
from kg.difference import Difference
from kg.difference import difference as compare
from kg.errors import ArtifactError
from kg.graph import column
from kg.io.graph_folder import load_graph
from recall.jobs.inputs import Inputs
from recall.runs.layout import RunLayout
from recall.runs.report import Changes, Finding, InteractionTimes, Report, ReportPart, SourceState, State

DAY = 86_400


def difference_to(base: RunLayout | None, graph: KnowledgeGraph) -> Difference | None:
    """How a graph differs from that of a run; None without a run."""
    return None if base is None else compare(load_graph(base.graph, verify=False), graph)


class Comparison(ReportPart):
    """A new run beside the run before."""

    sources: tuple[SourceState, ...] = Field(description="each source with its state")
    changes: Changes | None = Field(description="None without a run before")
    findings: tuple[Finding, ...] = Field(description="what clocks and times of interactions show")


def describe(
    base: RunLayout | None, inputs: Inputs, graph: KnowledgeGraph, *, difference: Difference | None = None
) -> Comparison:
    """What a report says of the sources of a new run and of what they changed.

    Args:
        base: the run to compare with, or None for the first one.
        inputs: what the new run is made of.
        graph: what was built of it.
        difference: what `difference_to(base, graph)` gave; default: it is called.
    """
    before = base_report(base)
    sources = compare_sources(before, inputs)
    findings = list(_clock_findings(before, inputs, sources))
    difference = difference if difference is not None else difference_to(base, graph)
    changes = None
    if base is not None and difference is not None:
        times = _times(difference)
        since = "" if before is None else before.created
        facts = {"base": base.name, "since": since, **difference.to_json()}
        changes = Changes.model_validate(facts if times is None else {**facts, "times": times})
        if times is not None:
            findings += _time_findings(times)
    return Comparison(sources=tuple(sources), changes=changes, findings=tuple(findings))


def base_report(base: RunLayout | None) -> Report | None:
    """The report of a run; None where there is no run, or its report cannot be read."""
    with suppress(ArtifactError):
        return None if base is None else Report.load(base)
    return None


def compare_sources(before: Report | None, inputs: Inputs) -> list[SourceState]:
    """Each source with its state against those that a report lists; removed ones come last.

    Fingerprints decide, not times: a file that was only touched is unchanged, and one that was written by a machine
    whose clock is behind is changed all the same.
    """
    old = _present(before)
    states = []
    for name, facts in inputs.sources.items():
        was = old.get(name)
        state: State = "changed"
        if was is None:
            state = "new"
        elif was.fingerprint == facts["fingerprint"]:
            state = "unchanged"
        states.append(SourceState(name=name, state=state, **facts))
    for name, was in old.items():
        if name not in inputs.sources:
            states.append(
                SourceState(name=name, state="removed", kind=was.kind, fingerprint=was.fingerprint, bytes=was.bytes)
            )
    return states


def _present(report: Report | None) -> dict[str, SourceState]:
    """The sources of a run by name, without those that it had no more."""
    sources = () if report is None else report.sources
    return {source.name: source for source in sources if source.state != "removed"}


def _clock_findings(before: Report | None, inputs: Inputs, sources: Sequence[SourceState]) -> Iterator[Finding]:
    """Where the clock of this machine and those of the machines that wrote the sources disagree."""
    if inputs.clock < inputs.now:
        yield _finding(
            "the clock was turned back",
            1,
            "this machine's clock is behind the time at which the run before was made; that time is taken for now, so "
            "that nothing newer than the clock is lost: set the clock",
            [f"{_date(inputs.clock)} instead of {_date(inputs.now)} or later"],
        )
    late = [source.name for source in sources if (source.modified or 0) > inputs.now + DAY]
    if late:
        yield _finding(
            "sources written in the future",
            len(late),
            "their time of change is more than a day ahead of this machine's clock; their content decides what is new",
            late,
        )
    old = _present(before)
    older = [
        source.name
        for source in sources
        if source.state == "changed" and (source.modified or math.inf) < (old[source.name].modified or 0)
    ]
    if older:
        yield _finding(
            "changed sources with an older time",
            len(older),
            "a backup was put back, or the clock of their writer was: their content was read all the same",
            older,
            severity="info",
        )


def _times(difference: Difference) -> InteractionTimes | None:
    """When the interactions before and after were newest, and how many of the added ones are older than that."""
    key = difference.after.schema.interaction
    if key is None or key not in difference.edges or key not in difference.before.edges:
        return None
    tables = difference.before.edges[key], difference.after.edges[key]
    if any("timestamp" not in table.column_names or not table.num_rows for table in tables):
        return None
    if any(table["timestamp"].null_count for table in tables):
        tables = tuple(table.filter(table["timestamp"].is_valid()) for table in tables)
        if not all(table.num_rows for table in tables):
            return None
    newest = [int(column(table, "timestamp").max()) for table in tables]
    added = difference.after.edges[key].take(difference.edges[key].added)["timestamp"].drop_null()
    late = int(np.count_nonzero(added.to_numpy() <= newest[0]))
    return InteractionTimes(newest_before=newest[0], newest=newest[1], added_late=late)


def _time_findings(times: InteractionTimes) -> Iterator[Finding]:
    if times.newest < times.newest_before:
        yield _finding(
            "the newest interaction went back",
            1,
            "the newest interactions were removed, or the clock of their writer was turned back",
            [f"{_date(times.newest)}, before it was {_date(times.newest_before)}"],
        )
    if times.added_late:
        yield _finding(
            "interactions that came late",
            times.added_late,
            "added since the last run and no newer than the newest one that it had; they are taken like all others",
            [],
            severity="info",
        )


def _finding(kind: str, count: int, explanation: str, examples: Sequence[str], *, severity: str = "warning") -> Finding:
    return Finding(kind=kind, severity=severity, count=count, explanation=explanation, examples=tuple(examples[:5]))


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
