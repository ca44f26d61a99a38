"""One function in a process of its own: its arguments and progress as JSON, what it yields as bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import Any

import kg.errors
from kg.errors import GraphRecallError
from kg.processes.child import Child
from kg.processes.limits import limit_more_memory
from kg.processes.parent import Parent
from kg.progress import SILENT, Progress, Task

JobFunction = Callable[..., Iterator[bytes]]
_LARGEST = 1 << 40
_YIELDED = b"+"


class JobDiedError(Exception):
    """The process of a job ended in the middle of it, by a signal or by a limit; the message says how.

    Attributes:
        out_of_memory: it reached the limit of its memory.
    """

    def __init__(self, message: str, *, out_of_memory: bool) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


def run_job(
    function: str, arguments: Mapping[str, Any], *, memory: int | None = None, progress: Progress = SILENT
) -> Iterator[bytes]:
    """Run a function of ours in a process of its own, and yield what it yields.

    Args:
        function: "module:name"; it is called with the arguments and `progress`, and yields bytes.
        arguments: plain data, by name.
        memory: bytes that the process may take beside what it has when the function begins; None: no limit.
        progress: listener of the function's tasks.

    Raises:
        JobDiedError: the process died.
        GraphRecallError, OSError: as the function raised it.
    """
    child = Child("kg.processes.job")
    try:
        child.send(json.dumps({"function": function, "arguments": dict(arguments), "memory": memory}).encode())
        with ExitStack() as tasks:
            opened: list[tuple[ExitStack, Task]] = []
            while True:
                try:
                    message = child.receive(largest=_LARGEST)
                except EOFError:
                    how = child.last_words()
                    raise JobDiedError(how, out_of_memory=_no_memory(how)) from None
                if message[:1] == _YIELDED:
                    yield message[1:]
                    continue
                said = json.loads(message)
                match said["kind"]:
                    case "begin":
                        inner = tasks.enter_context(ExitStack())
                        task = inner.enter_context(progress.task(said["text"], total=said["total"]))
                        opened.append((inner, task))
                    case "advance":
                        opened[-1][1].advance(said["steps"])
                    case "note":
                        opened[-1][1].note(said["text"])
                    case "end":
                        opened.pop()[0].close()
                    case "error":
                        raise _error(said)
                    case "done":
                        return
    finally:
        child.end()


def main() -> None:
    """Run the job that the parent sends; what a `Child` starts."""
    parent = Parent.connected()
    job = json.loads(parent.receive())
    try:
        module, _, name = job["function"].partition(":")
        function: JobFunction = getattr(import_module(module), name)
        if job["memory"] is not None:
            limit_more_memory(job["memory"])
        for part in function(**job["arguments"], progress=_Reported(parent)):
            parent.send(_YIELDED + part)
    except MemoryError as error:
        _say(parent, "error", type="MemoryError", text=str(error), errno=None)
    except (GraphRecallError, OSError) as error:
        _say(
            parent,
            "error",
            type=type(error).__name__,
            text=error.strerror if isinstance(error, OSError) and error.strerror else str(error),
            errno=error.errno if isinstance(error, OSError) else None,
        )
    else:
        _say(parent, "done")
    os._exit(0)  # without the ends of libraries, which may take long and change nothing


def _say(parent: Parent, kind: str, **facts: Any) -> None:
    parent.send(json.dumps({"kind": kind, **facts}).encode())


def _error(said: Mapping[str, Any]) -> Exception:
    if said["type"] == "MemoryError":
        return JobDiedError(f"out of memory {said['text']}".strip(), out_of_memory=True)
    kind = getattr(kg.errors, said["type"], None)
    if isinstance(kind, type) and issubclass(kind, GraphRecallError):
        return kind(said["text"])
    return OSError(said["errno"], said["text"])


def _no_memory(how: str) -> bool:
    return any(words in how for words in ("bad_alloc", "MemoryError", "memory allocation", "Cannot allocate memory"))


class _Reported:
    """A listener that tells the parent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        return self._task(description, total)

    @contextmanager
    def _task(self, description: str, total: int | None) -> Iterator[Task]:
        _say(self._parent, "begin", text=description, total=total)
        try:
            yield _ReportedTask(self._parent)
        finally:
            _say(self._parent, "end")


class _ReportedTask:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def advance(self, steps: int = 1) -> None:
        _say(self._parent, "advance", steps=steps)

    def note(self, text: str) -> None:
        _say(self._parent, "note", text=text)
