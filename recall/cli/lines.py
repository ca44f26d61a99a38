"""Progress as lines, for logs of cron and CI: one when a task ends, and one a minute while it lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self, TextIO

from recall.cli.screen import visible
from recall.ops.words import duration

MINUTE = 60.0


class _LineTask:
    """A `kg.progress.Task` that is told about in lines."""

    def __init__(self, description: str, total: int | None) -> None:
        self.description, self.total = description, total
        self.start = time.monotonic()
        self.steps, self.text = 0, ""

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def note(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        steps = "" if self.total is None else f"{self.steps:,} of {self.total:,}"
        parts = [part for part in (steps, self.text, duration(time.monotonic() - self.start)) if part]
        return f"{self.description}: {', '.join(parts)}"


class ProgressLines:
    """A `kg.progress.Progress` that writes lines. Use it as a context manager around the work.

    Args:
        stream: where to.
        every: seconds between two lines about a task that lasts.
        ends: also write a line when a task ends that is not a part of another.
    """

    def __init__(self, stream: TextIO, *, every: float = MINUTE, ends: bool = True) -> None:
        self._stream, self._every, self._ends = stream, every, ends
        self._open: list[_LineTask] = []
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._clock.join()

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[_LineTask]:
        """Tell about one task until its block ends."""
        task = _LineTask(description, total)
        self._open.append(task)
        try:
            yield task
        except BaseException:
            self._open.remove(task)
            raise
        self._open.remove(task)
        if self._ends and not self._open:
            self._write(task)

    def _tell(self) -> None:
        while not self._over.wait(self._every):
            if open_tasks := list(self._open):
                self._write(open_tasks[-1])

    def _write(self, task: _LineTask) -> None:
        self._stream.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {visible(str(task))}\n")
        self._stream.flush()
