"""The protocol by which long work reports its progress.

The command line shows it as bars of rich; a notebook or a scheduled job shows nothing. `kg`, `ingest` and `gnn` use the
protocol only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One line of progress, alive inside the `with` block that made it."""

    def advance(self, steps: int = 1) -> None:
        """Say that `steps` more units are done."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the current loss."""


class Progress(Protocol):
    """A listener that can show several tasks, one after the other or nested."""

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown) as a context manager that yields a `Task`."""


class _Silence:
    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """The listener that shows nothing."""

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        """Yield a task that shows nothing."""
        yield _Silence()


SILENT: Progress = Silent()
