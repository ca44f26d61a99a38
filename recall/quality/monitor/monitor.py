"""The last runs of a folder, each beside the published one before it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kg import Vocabulary
from kg.arrays import IntArray
from kg.errors import ArtifactError
from kg.progress import SILENT, Progress
from recall.quality.monitor.classes import WeightedItems, item_stability
from recall.quality.monitor.report import CandidateState, InputState, MonitorReport, RunState, Stability
from recall.quality.monitor.sample import Lists, RunSample, sample_run
from recall.quality.monitor.stability import Masses, stability
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder, RunSummary
from recall.runs.report import Report

LAST, SAMPLE_USERS, K = 5, 1000, 50


def monitor_runs(
    folder: Path, *, last: int = LAST, sample_users: int = SAMPLE_USERS, k: int = K, progress: Progress = SILENT
) -> MonitorReport:
    """Compare each of the last runs with the last one before it that the gate did not refuse.

    Two graphs and the channels of one run are in memory at a time. The candidates are those that a run gives by itself,
    without the feedback that came in since.

    Args:
        folder: the runs folder.
        last: how many runs, rejected ones too; the one that serves is shown in any case.
        sample_users: users asked of each run, at most; 0: only what went in is compared.
        k: candidates of each user.
        progress: listener.

    Raises:
        ArtifactError: there is no such folder, or no run in it. A run that is damaged is reported, not raised.
    """
    runs = RunsFolder(folder)
    summaries = runs.summaries()
    if not summaries:
        # The link says best what is missing, and what to do.
        RunLayout.open(runs.link)
    shown = [summary for at, summary in enumerate(summaries) if at >= len(summaries) - last or summary.current]
    states: list[RunState] = []
    before: tuple[RunState, RunSample] | None = None
    with progress.task("reading runs", total=len(shown)) as task:
        for summary in shown:
            task.note(summary.run.name)
            state, sample = _read(summary, sample_users, k)
            if sample is not None:
                if before is not None:
                    state = compared(state, sample, *before)
                if not state.rejected:
                    before = state, sample
            states.append(state)
            task.advance()
    current = next((state for state in states if state.current), None)
    return MonitorReport(
        there=len(summaries),
        current=None if current is None else current.run,
        age_seconds=None if current is None else _age(current.created),
        runs=tuple(states),
    )


def exceeded_limits(report: MonitorReport, *, max_psi: float | None, max_age: float | None) -> Iterator[str]:
    """What is above a limit, in words.

    Args:
        report: of the runs.
        max_psi: of every index of the run that serves; None: no limit.
        max_age: of the run that serves, in seconds; None: no limit.
    """
    current = report.serving
    if current is None or current.problem is not None:
        if max_psi is not None or max_age is not None:
            yield "no run serves" if current is None else f"{current.run}, which serves, cannot be read"
        return
    if max_age is not None and report.age_seconds is not None and report.age_seconds > max_age:
        yield f"{current.run} serves and is {report.age_seconds:,.0f} s old, {max_age:,.0f} s allowed"
    for each in current.stability:
        if max_psi is not None and each.index > max_psi:
            yield f"{current.run}: {each.part} have moved by {each.name}, index {each.index:.3f}, {max_psi:g} allowed"


def compared(state: RunState, now: RunSample, state_before: RunState, before: RunSample) -> RunState:
    """A run beside one before it.

    Args:
        state: of the run by itself.
        now: what was read of it.
        state_before: of the run before.
        before: what was read of that.

    Returns:
        The state with shares of what is new, and with indexes; of runs that have nothing in common with a note.
    """
    schema, schema_before = now.graph.schema, before.graph.schema
    facts: dict[str, object] = {"compared_with": state_before.run}
    roles = (schema.user_type, schema.item_type)
    if roles != (schema_before.user_type, schema_before.item_type):
        facts["note"] = (
            f"its users and items are {roles[0]} and {roles[1]}, those of {state_before.run} were "
            f"{schema_before.user_type} and {schema_before.item_type}: not compared"
        )
        return state.model_copy(update=facts)
    old_users, old_items = (
        vocabulary_before.index(vocabulary.ids, missing="negative")
        for vocabulary_before, vocabulary in (
            (before.graph.users, now.graph.users),
            (before.graph.items, now.graph.items),
        )
    )
    facts["input"] = state.input.model_copy(
        update={
            "new_users": _missing(old_users),
            "new_items": _missing(old_items),
            "gone_users": _gone(old_users, before.graph.users),
            "gone_items": _gone(old_items, before.graph.items),
        }
    )
    if (old_items < 0).all():
        facts["note"] = f"none of its items were in {state_before.run}: candidates and likes are not compared"
        return state.model_copy(update=facts)
    if now.lists is not None and before.lists is not None:
        facts["candidates"] = _kept(now.lists, before.lists, old_users, old_items)
    indexes = sorted(_indexes(before, now), key=lambda each: -each.index)
    return state.model_copy(update={**facts, "stability": tuple(indexes)})


def _age(created: str) -> float | None:
    try:
        return round((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds(), 1)
    except ValueError:
        return None


def _read(summary: RunSummary, sample_users: int, k: int) -> tuple[RunState, RunSample | None]:
    """A run by itself; without a sample when it is damaged."""
    state = RunState(
        run=summary.run.name, created=summary.created, current=summary.current, rejected=bool(summary.rejected)
    )
    if summary.problem is not None:
        return state.model_copy(update={"problem": summary.problem}), None
    try:
        report = Report.load(summary.run)
        sample = sample_run(summary.run, users=sample_users, k=k)
    except ArtifactError as error:
        return state.model_copy(update={"problem": str(error)}), None
    gate = report.gate
    counts = report.data
    facts = {
        "gate_passed": None if gate is None else gate.passed,
        "gate_reasons": () if gate is None else gate.reasons,
        "metrics": report.evaluation.served_by_group(),
        "headline": report.headline(),
        "input": InputState(
            nodes=counts.nodes,
            edges=counts.edges,
            interactions=counts.interactions,
            users=len(sample.graph.users),
            items=len(sample.graph.items),
            warnings=sum(finding.severity == "warning" for finding in report.quality.findings),
        ),
        "candidates": None if sample.lists is None else sample.lists.state,
    }
    return state.model_copy(update=facts), sample


def _missing(old: IntArray) -> float:
    return round(float((old < 0).mean()), 5) if len(old) else 0.0


def _gone(old: IntArray, vocabulary: Vocabulary) -> float:
    return round(1 - int((old >= 0).sum()) / len(vocabulary), 5) if len(vocabulary) else 0.0


def _kept(now: Lists, before: Lists, old_users: IntArray, old_items: IntArray) -> CandidateState:
    """How new the candidates are: items that were not there, and lists that were others."""
    new = _missing(old_items[now.items.values])
    # Rows of both samples of the same user.
    place = np.searchsorted(before.user, old_users[now.user])
    place = np.minimum(place, len(before.user) - 1)
    rows = np.flatnonzero((before.user[place] == old_users[now.user]) & (now.items.counts > 0))
    kept = None
    if len(rows):
        same, lists = before.items.take(place[rows]), now.items.take(rows)
        items = old_items[lists.values]
        hits = (items >= 0) & same.has(lists.rows(), np.maximum(items, 0))
        shares = np.bincount(lists.rows(), hits, minlength=len(rows)) / lists.counts
        kept = round(float(shares.mean()), 5)
    return now.state.model_copy(update={"new_items": new, "kept": kept})


def _indexes(before: RunSample, now: RunSample) -> Iterator[Stability]:
    """Of the likes, and where both have them of the candidates."""
    yield _activity(before, now)
    yield from item_stability("input", *(_weighted(side, side.likes.astype(np.float64)) for side in (before, now)))
    if before.lists is None or now.lists is None:
        return
    sides = [
        _weighted(side, np.bincount(lists.items.values, minlength=len(side.graph.items)).astype(np.float64))
        for side, lists in ((before, before.lists), (now, now.lists))
    ]
    yield from item_stability("candidates", *sides)
    names = sorted({*before.lists.channels, *now.lists.channels})
    by_channel = [np.array([lists.channels.get(name, 0.0) for name in names]) for lists in (before.lists, now.lists)]
    yield stability("candidates", "channels", by_channel, names.__getitem__)


def _weighted(side: RunSample, weight: Masses) -> WeightedItems:
    return WeightedItems(graph=side.graph, likes=side.likes, weight=weight)


def _activity(before: RunSample, now: RunSample) -> Stability:
    """Users by their number of likes: 1, 2 to 3, 4 to 7, and so on."""
    parts = [np.log2(side.likes_of_users[side.likes_of_users > 0]).astype(np.int64) for side in (before, now)]
    width = max(int(part.max(initial=0)) for part in parts) + 1
    sides = [np.bincount(part, minlength=width).astype(np.float64) for part in parts]
    return stability("input", "likes of a user", sides, _powers)


def _powers(number: int) -> str:
    return f"{2**number:,} to {2 ** (number + 1) - 1:,}" if number else "1"
