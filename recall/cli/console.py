"""Progress bars on stderr, and JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from kg.progress import SILENT, Progress


class _BarTask:
    """A `kg.progress.Task` shown as one bar."""

    def __init__(self, bars: RichProgress, task_id: TaskID) -> None:
        self._bars = bars
        self._task_id = task_id

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._task_id, steps)

    def note(self, text: str) -> None:
        self._bars.update(self._task_id, note=text)


class ProgressBars:
    """A `kg.progress.Progress` that rich draws; finished tasks stay on the screen with their time.

    Use it as a context manager around the work.
    """

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[_BarTask]:
        """Show one task until its block ends."""
        task_id = self._bars.add_task(description, total=total, note="")
        try:
            yield _BarTask(self._bars, task_id)
        except BaseException:
            self._bars.stop_task(task_id)
            raise
        completed = self._bars.tasks[self._bars.task_ids.index(task_id)].completed
        self._bars.update(task_id, total=max(completed, 1), completed=max(completed, 1))


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Progress]:
    """Progress bars on stderr if it is a terminal, else a listener that shows nothing.

    Args:
        quiet: show nothing on a terminal either.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield SILENT
        return
    with ProgressBars(console) as bars:
        yield bars


def json_text(data: Any) -> str:
    """Plain data as `--json` prints it; NaN is refused."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2)


def print_json(data: Any) -> None:
    """Print plain data as JSON on stdout."""
    typer.echo(json_text(data))
