"""Metrics of rankers as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import table
from recall.ops.legend import METRICS, NOTHING_HELD_OUT, behind_popularity
from recall.ops.words import users_asked

if TYPE_CHECKING:
    from recall.runs.report import EvaluationReport

SHOWN = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")


def print_metrics(evaluation: EvaluationReport, *, console: Console) -> None:
    """A table of rankers for every group of users and cut-off, where popularity is ahead, and what the metrics mean."""
    if not evaluation.metrics:
        console.print(Text(NOTHING_HELD_OUT, style="yellow"))
        return
    for group in dict.fromkeys(row.group for row in evaluation.metrics):
        rows = [row for row in evaluation.metrics if row.group == group]
        for k in evaluation.k:
            names = [f"{name}@{k}" for name in SHOWN]
            users = users_asked(rows[0].users, rows[0].drawn_from)
            title = f"{group}, {users}, {evaluation.split['kind']} split, test; each metric @{k}"
            rankers = table("ranker", *SHOWN, right=SHOWN, title=title)
            for row in rows:
                style = "bold" if row.ranker == evaluation.serves else None
                rankers.add_row(row.ranker, *(f"{row.metrics[name]:.3f}" for name in names), style=style)
            console.print(rankers)
            intervals = ", ".join(
                f"{name} {low:.3f} to {high:.3f}"
                for name, (low, high) in rows[0].intervals.items()
                if name.endswith(f"@{k}")
            )
            if intervals:
                text = f"95% bootstrap interval of the {evaluation.serves} over users: {intervals}"
                console.print(Text(text, style="dim"))
    for sentence in behind_popularity(evaluation):
        console.print(Text(sentence, style="yellow"))
    console.print(Text("; ".join(f"{name}: {METRICS[name]}" for name in SHOWN), style="dim"))
