"""The result of a hyper-parameter search as tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import labelled, labelled_line, near, table
from recall.ops.words import duration, users_asked

if TYPE_CHECKING:
    from recall.tuning.result import Search, TuneResult

TOP_TRIALS = 10


def print_tune(result: TuneResult, *, console: Console) -> None:
    """The best trials of every search with what they change, and the file that holds the best of them."""
    for search in result.searches:
        _print_search(search, result, console=console)
    for search in result.searches:
        console.print(labelled("best", f"{search.name}: {_comparison(search, result.metric)}"))
    # In one line, however long: a path is there to be copied.
    console.print(labelled_line("written", str(near(result.out)), style="green"), soft_wrap=True)


def _print_search(search: Search, result: TuneResult, *, console: Console) -> None:
    finished = (trial for trial in search.trials if trial.value is not None)
    ranked = sorted(finished, key=lambda trial: (-(trial.value or 0.0), trial.number))
    names = list(ranked[0].metrics)
    columns = [*names, *(["steps"] if ranked[0].steps is not None else []), "time"]
    rows = table(
        "trial",
        *columns,
        "changed",
        right=["trial", *columns],
        wrap=["changed"],
        title=f"{search.name}: the best trials on validation, {users_asked(result.users, result.drawn_from)}",
    )
    for trial in ranked[:TOP_TRIALS]:
        changed = [
            f"{name.rpartition('.')[2]} {json.dumps(value)}"
            for name, value in trial.settings.items()
            if value != search.configured.settings[name]
        ]
        rows.add_row(
            str(trial.number),
            *(f"{trial.metrics[name]:.4f}" for name in names),
            *([str(trial.steps)] if "steps" in columns else []),
            duration(trial.seconds),
            Text("nothing: as configured" if trial is search.configured else ", ".join(changed) or "nothing"),
            style="bold" if trial is search.best else None,
        )
    console.print(rows)
    states = [trial.state for trial in search.trials]
    counts = [f"{states.count(state)} {state}" for state in ("finished", "given up", "failed") if state in states]
    console.print(labelled("trials", ", ".join(counts)))
    for trial in search.trials:
        if trial.error is not None:
            console.print(Text(f"trial {trial.number} failed: {trial.error}", style="yellow"), soft_wrap=True)
    if search.max_steps is not None and search.best.steps == search.max_steps:
        console.print(
            Text(
                f"the best trial took all steps: raise channels.{search.name}.training.max_steps = {search.max_steps}",
                style="yellow",
            ),
            soft_wrap=True,
        )


def _comparison(search: Search, metric: str) -> str:
    """The best value, and how far it is above that of the configuration."""
    best, configured = search.best, search.configured
    value = f"{metric} {best.value:.4f} on validation"
    if best is configured:
        return f"{value}, as configured"
    if not configured.value or best.value is None:
        return value
    return f"{value}, {best.value / configured.value - 1:+.1%} against {configured.value:.4f} as configured"
