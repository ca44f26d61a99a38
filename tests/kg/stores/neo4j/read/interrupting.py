"""A listener of progress by which tests do something in the middle of a piece of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kg.progress import Task


class At:
    """A listener that has something done, in a thread of its own, once a task has come so far."""

    def __init__(self, name: str, after: int, then: Callable[[], object], *, wait: bool = False) -> None:
        self.name, self.after, self.wait = name, after, wait
        self.thread = threading.Thread(target=then)

    def join(self) -> None:
        self.thread.join()

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        yield Counting(self, description)


class Counting:
    def __init__(self, owner: At, name: str) -> None:
        self.owner, self.name, self.done = owner, name, 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        if self.name == self.owner.name and self.done >= self.owner.after and self.owner.thread.ident is None:
            self.owner.thread.start()
            if self.owner.wait:
                self.owner.join()

    def note(self, text: str) -> None:
        pass
