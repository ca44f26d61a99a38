"""A function in a process of its own: what it yields, its progress and its errors arrive; its death is an error."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from kg.errors import InvalidDataError
from kg.processes.job import JobDiedError, run_job
from kg.progress import Progress

HERE = "tests.kg.processes.test_job"


def counts(up_to: int, progress: Progress) -> Iterator[bytes]:
    with progress.task("counting", total=up_to) as task:
        for number in range(up_to):
            task.advance(2)
            task.note(f"at {number}")
            yield str(number).encode()


def fails(how: str, progress: Progress) -> Iterator[bytes]:
    yield b"a part"
    match how:
        case "ours":
            raise InvalidDataError("line 3 is no line")
        case "disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "bug":
            raise ZeroDivisionError("by nothing")
        case "memory":
            yield bytes(1 << 30)
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.words: list[Any] = []

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Heard]:
        self.words.append((description, total))
        yield self
        self.words.append("ended")

    def advance(self, steps: int = 1) -> None:
        self.words.append(steps)

    def note(self, text: str) -> None:
        self.words.append(text)


def test_what_it_yields_and_its_progress_arrive() -> None:
    heard = Heard()
    assert list(run_job(f"{HERE}:counts", {"up_to": 2}, progress=heard)) == [b"0", b"1"]
    assert heard.words == [("counting", 2), 2, "at 0", 2, "at 1", "ended"]


def test_errors_arrive_as_they_were_raised() -> None:
    with pytest.raises(InvalidDataError, match=r"^line 3 is no line$"):
        list(run_job(f"{HERE}:fails", {"how": "ours"}))
    with pytest.raises(OSError, match="No space left") as raised:
        list(run_job(f"{HERE}:fails", {"how": "disk"}))
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("how", "words", "out_of_memory"),
    [
        ("bug", "ZeroDivisionError: by nothing", False),
        ("signal", "SIGKILL", False),
        ("memory", "out of memory|bad_alloc|MemoryError", True),
    ],
)
def test_its_death_is_an_error(how: str, words: str, out_of_memory: bool) -> None:
    with pytest.raises(JobDiedError, match=words) as raised:
        list(run_job(f"{HERE}:fails", {"how": how}, memory=256 << 20))
    assert raised.value.out_of_memory is out_of_memory


def test_who_takes_no_more_of_it_ends_it() -> None:
    before = {child.pid for child in psutil.Process().children()}  # of other tests of this process
    parts = run_job(f"{HERE}:counts", {"up_to": 1_000_000})
    next(parts)
    assert {child.pid for child in psutil.Process().children()} - before
    parts.close()  # type: ignore[attr-defined]
    assert {child.pid for child in psutil.Process().children()} <= before


def test_the_place_of_its_modules_is_that_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def say(progress):\n    yield b'here'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(run_job("only_here:say", {})) == [b"here"]
