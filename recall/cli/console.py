"""Progress on stderr, as bars in a terminal and as lines elsewhere, and JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from kg.progress import SILENT, Progress
from recall.cli.lines import ProgressLines
from recall.cli.screen import Screen, json_escaped

WIDE, NARROW = 24, 12  # columns of a bar
ROOMY = 100  # columns of a terminal


class _OneLine(TextColumn):
    """Text that is cut where there is no room for it."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


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
        # Names and notes give way where the terminal is narrow, and the bar stays a bar.
        self._bars = RichProgress(
            SpinnerColumn(finished_text="[green]✓", table_column=Column(no_wrap=True)),
            _OneLine("{task.description}", markup=False, table_column=Column()),
            BarColumn(bar_width=WIDE if console.width >= ROOMY else NARROW, table_column=Column(no_wrap=True)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _OneLine("{task.fields[note]}", style="dim", markup=False, table_column=Column()),
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
def shown_progress(*, quiet: bool, stages: bool = False) -> Iterator[Progress]:
    """Progress on stderr: bars if it is a terminal, else lines.

    Args:
        quiet: show nothing.
        stages: without a terminal, write a line when a task ends; otherwise only one a minute while it lasts.
    """
    console = Screen(stderr=True)
    if quiet:
        yield SILENT
    elif console.is_terminal:
        with ProgressBars(console) as bars:
            yield bars
    else:
        with ProgressLines(sys.stderr, ends=stages) as lines:
            yield lines


def json_text(data: Any) -> str:
    """Plain data as `--json` prints it; NaN is refused."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2)
    # What a terminal would obey stands in strings only, where JSON has the same escapes.
    return json_escaped(text)


def print_json(data: Any) -> None:
    """Print plain data as JSON on stdout."""
    typer.echo(json_text(data))
