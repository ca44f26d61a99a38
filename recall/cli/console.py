"""What people see: progress bars on stderr, tables on stdout, sizes and durations in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichBars

from kg.progress import SILENT, Progress


class _Line:
    def __init__(self, bars: RichBars, line: TaskID) -> None:
        self._bars = bars
        self._line = line

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._line, steps)

    def note(self, text: str) -> None:
        self._bars.update(self._line, note=text)


class Bars:
    """A `kg.progress.Progress` drawn by rich; finished tasks stay on the screen with their time.

    Use it as a context manager around the work.
    """

    def __init__(self, console: Console) -> None:
        self._bars = RichBars(
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
    def task(self, description: str, *, total: int | None = None) -> Iterator[_Line]:
        """Show one task until its block ends."""
        line = self._bars.add_task(description, total=total, note="")
        try:
            yield _Line(self._bars, line)
        except BaseException:
            self._bars.stop_task(line)
            raise
        done = self._bars.tasks[self._bars.task_ids.index(line)].completed
        self._bars.update(line, total=max(done, 1), completed=max(done, 1))


@contextmanager
def watch(*, quiet: bool) -> Iterator[Progress]:
    """Bars on stderr when somebody watches, else silence.

    Args:
        quiet: show nothing, terminal or not.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield SILENT
        return
    with Bars(console) as bars:
        yield bars


def json_text(data: Any) -> str:
    """Plain data as `--json` prints it; NaN is refused."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2)
