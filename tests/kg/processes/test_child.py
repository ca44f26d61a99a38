"""A process of our own: it ends with its parent, however that ends, and says how it ended itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kg.processes.child import Child
from kg.processes.frames import MessageTooLargeError
from kg.processes.limits import forbid_files, limit_more_memory, limit_seconds
from kg.processes.parent import Parent
from tests.processes import is_there

ECHO = "tests.kg.processes.test_child"
MOST = 1 << 30


def main() -> None:
    """What the children of these tests run: they do what they are told."""
    parent = Parent.connected()
    parent.send(" ".join(parent.arguments).encode())
    while True:
        word, _, argument = parent.receive().decode().partition(" ")
        match word:
            case "echo":
                parent.send(argument.encode())
            case "die":
                os.kill(os.getpid(), int(argument))
            case "complain":
                raise RuntimeError(argument)
            case "sleep":
                time.sleep(float(argument))
            case "take":
                limit_more_memory(64 << 20)
                try:
                    parent.send(str(len(bytearray(int(argument)))).encode())
                except MemoryError:
                    parent.send(b"no memory")
            case "spin":
                limit_seconds(float(argument))
                while True:
                    pass
            case "write":
                forbid_files()
                Path(argument).write_text("something")


@pytest.fixture
def child():
    child = Child(ECHO, "a", "b c")
    assert child.receive(largest=MOST) == b"a b c"
    yield child
    child.end()


def _wait_until_gone(number: int) -> bool:
    for _ in range(6000):
        if not is_there(number):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("size", [0, 1, 100_000, 5 << 20])
def test_messages_of_any_length_go_both_ways(child: Child, size: int) -> None:
    child.send(b"echo " + b"x" * size)
    assert child.receive(largest=MOST) == b"x" * size


def test_who_waits_too_long_for_too_much_or_for_nobody_is_told(child: Child) -> None:
    with pytest.raises(TimeoutError):
        child.receive(deadline=time.monotonic() + 0.05, largest=MOST)
    child.send(b"echo 12345")
    with pytest.raises(MessageTooLargeError, match="5 bytes, where 4 are the most"):
        child.receive(largest=4)


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (f"die {signal.SIGSEGV.value}", "SIGSEGV"),
        ("complain of the weather", "exit code 1: .*RuntimeError: of the weather"),
        ("spin 0.1", "SIGXCPU"),
    ],
)
def test_it_is_told_how_it_ended(child: Child, words: str, how: str) -> None:
    child.send(words.encode())
    with pytest.raises(EOFError):
        child.receive(largest=MOST)
    with pytest.raises(AssertionError, match=how):
        raise AssertionError(child.last_words())


def test_memory_beyond_the_limit_is_not_given(child: Child) -> None:
    for size, answer in ((1 << 20, b"1048576"), (256 << 20, b"no memory")):
        child.send(f"take {size}".encode())
        assert child.receive(largest=MOST) == answer


def test_it_writes_no_file_where_that_is_forbidden(child: Child, tmp_path: Path) -> None:
    child.send(f"write {tmp_path / 'file'}".encode())
    with pytest.raises(EOFError):
        child.receive(largest=MOST)
    assert not (tmp_path / "file").exists() or not (tmp_path / "file").stat().st_size


def test_it_ends_when_it_is_told_to_or_nobody_refers_to_it() -> None:
    told, dropped = Child(ECHO), Child(ECHO)
    numbers = told.id, dropped.id
    told.send(b"sleep 100")
    told.end()
    told.end()
    del dropped
    assert all(map(_wait_until_gone, numbers))


@pytest.mark.parametrize("busy", ["echo", "sleep 100"])
def test_it_ends_with_a_parent_that_is_killed(busy: str) -> None:
    program = (
        f"import os, signal; from kg.processes.child import Child; child = Child({ECHO!r})\n"
        f"child.receive(largest=99); child.send({busy!r}.encode()); print(child.id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert _wait_until_gone(int(done.stdout))


def test_a_fork_lets_go_of_it_without_ending_it(child: Child) -> None:
    forked = os.fork()
    if not forked:
        child.kill()
        child.end()
        os._exit(0)
    os.waitpid(forked, 0)
    child.send(b"echo still here")
    assert child.receive(largest=MOST) == b"still here"
