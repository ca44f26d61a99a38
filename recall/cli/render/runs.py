"""The runs of a folder as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recall.cli.render.show import table
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
                "run": one.run.name,
                "path": str(one.run.path),
                "current": one.current,
                "rejected": list(one.rejected),
                **one.record.to_json(),
                "created": one.created,
                "bytes": one.bytes,
                "metrics": one.metrics,
                "problem": one.problem,
            }
            for one in summaries
        ]
    }


def print_runs(summaries: Sequence[RunSummary], *, console: Console) -> None:
    """A line a run."""
    made = table("", "run", "size", "metrics on test", "state", right=["size"])
    for one in summaries:
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in one.metrics.items())
        state = Text(one.problem, style="red") if one.problem else _state(one)
        made.add_row("→" if one.current else "", one.run.name, size(one.bytes), metrics, state)
    console.print(made if summaries else "no runs have been published here")


def _state(one: RunSummary) -> Text:
    said = ["serves"] if one.current else []
    if one.rejected:
        said.append(f"rejected: {'; '.join(one.rejected)}")
    if one.record.accepted is not None:
        said.append(f"accepted {_decision(one.record.accepted)}")
    if one.record.rolled_back is not None:
        said.append(f"rolled back {_decision(one.record.rolled_back)}")
    return Text(", ".join(said), style="yellow" if one.rejected else "")


def _decision(decision: Decision) -> str:
    return f"by {decision.by} at {decision.at}" + (f": {decision.reason}" if decision.reason else "")


def switched_data(switched: Switched) -> dict[str, Any]:
    """What a decision did, as plain data."""
    return {
        "run": switched.run.name,
        "path": str(switched.run.path),
        "before": None if switched.before is None else switched.before.name,
        "withdrawn": [run.name for run in switched.withdrawn],
        "damaged": [run.name for run in switched.damaged],
    }


def print_switched(switched: Switched, *, console: Console) -> None:
    """Which run serves now, in a line or two."""
    console.print(Text(f"{switched.run.name} serves", style="green"), soft_wrap=True)
    for runs, what in ((switched.withdrawn, "withdrawn"), (switched.damaged, "passed over, for it cannot be loaded")):
        for run in runs:
            console.print(Text(f"{run.name} {what}"), soft_wrap=True)
