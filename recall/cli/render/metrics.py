"""Metrics of rankers as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import table

SHOWN = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")


def print_metrics(evaluation: Mapping[str, Any], *, console: Console) -> None:
    """A table of rankers for every group of users and cut-off."""
    rows = evaluation["metrics"]
    serves = evaluation.get("serves", "model")
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = [row for row in rows if row["group"] == group]
        for k in evaluation["k"]:
            names = [f"{name}@{k}" for name in SHOWN]
            title = f"{group}, {of_group[0]['users']:,} of them, {evaluation['split']['kind']} split, test"
            rankers = table("ranker", *names, right=names, title=title)
            for row in of_group:
                style = "bold" if row["ranker"] == serves else None
                rankers.add_row(row["ranker"], *(f"{row[name]:.3f}" for name in names), style=style)
            console.print(rankers)
            intervals = ", ".join(
                f"{name} {low:.3f} to {high:.3f}"
                for name, (low, high) in of_group[0].get("intervals", {}).items()
                if name.endswith(f"@{k}")
            )
            if intervals:
                console.print(Text(f"95% bootstrap interval of the {serves} over users: {intervals}", style="dim"))
