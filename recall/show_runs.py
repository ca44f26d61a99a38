"""The runs of a folder as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recall.console import size
from recall.show import table

if TYPE_CHECKING:
    from recall.runs import RunSummary


def runs_data(summaries: Sequence[RunSummary]) -> dict[str, Any]:
    """The list of runs as plain data."""
    return {
        "runs": [
            {
                "run": one.run.name,
                "path": str(one.run.path),
                "current": one.current,
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
        state = Text(one.problem, style="red") if one.problem else Text("serves" if one.current else "")
        made.add_row("→" if one.current else "", one.run.name, size(one.bytes), metrics, state)
    console.print(made if summaries else "no runs have been published here")
