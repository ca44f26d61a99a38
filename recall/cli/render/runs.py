"""The runs of a folder, and which of them serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import table
from recall.ops.words import size

if TYPE_CHECKING:
    from recall.jobs.decide import Switched
    from recall.runs.records import Decision
    from recall.runs.registry import RunSummary


def runs_data(summaries: Sequence[RunSummary]) -> dict[str, Any]:
    """The list of runs as plain data."""
    return {
        "runs": [
            {
                "run": summary.run.name,
                "path": str(summary.run.path),
                "current": summary.current,
                "rejected": list(summary.rejected),
                **summary.record.to_json(),
                "created": summary.created,
                "bytes": summary.bytes,
                "metrics": summary.metrics,
                "problem": summary.problem,
            }
            for summary in summaries
        ]
    }


def print_runs(summaries: Sequence[RunSummary], *, console: Console) -> None:
    """A line a run."""
    rows = table("", "run", "size", "metrics on test", "state", right=["size"], wrap=["metrics on test", "state"])
    for summary in summaries:
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in summary.metrics.items())
        state = Text(summary.problem, style="red") if summary.problem else _state(summary)
        rows.add_row("→" if summary.current else "", summary.run.name, size(summary.bytes), metrics, state)
    console.print(rows if summaries else "no runs have been published here")


def _state(summary: RunSummary) -> Text:
    states = ["serves"] if summary.current else []
    if summary.rejected:
        states.append(f"rejected: {'; '.join(summary.rejected)}")
    if summary.record.accepted is not None:
        states.append(f"accepted {_decision(summary.record.accepted)}")
    if summary.record.rolled_back is not None:
        states.append(f"rolled back {_decision(summary.record.rolled_back)}")
    return Text(", ".join(states), style="yellow" if summary.rejected else "")


def _decision(decision: Decision) -> str:
    return f"by {decision.by} at {decision.at}" + (f": {decision.reason}" if decision.reason else "")


def switch_data(switched: Switched) -> dict[str, Any]:
    """What a decision did, as plain data."""
    return {
        "run": switched.run.name,
        "path": str(switched.run.path),
        "before": None if switched.before is None else switched.before.name,
        "withdrawn": [run.name for run in switched.withdrawn],
        "damaged": [run.name for run in switched.damaged],
    }


def print_switch(switched: Switched, *, console: Console) -> None:
    """Which run serves now, in a line or two."""
    console.print(Text(f"{switched.run.name} serves", style="green"), soft_wrap=True)
    for runs, state in ((switched.withdrawn, "withdrawn"), (switched.damaged, "passed over, for it cannot be loaded")):
        for run in runs:
            console.print(Text(f"{run.name} {state}"), soft_wrap=True)
