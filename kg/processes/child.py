"""A Python process of our own, as its parent sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

from kg.processes.frames import receive, send

_ENOUGH_TIME = 5.0  # seconds in which a process that was told to end does
_LAST_WORDS = 2000


class Child:
    """A process that runs a `main()` of ours, and ends with its parent, however that ends.

    It belongs to the process that started it: a fork of that one must start its own.

    Attributes:
        owner: id of the process that started it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        """Start it.

        Args:
            module: whose `main()` runs; it calls `kg.processes.parent.Parent.connected()` first.
            arguments: in its `sys.argv`, after the number of its socket.

        Raises:
            OSError: no process can be started.
        """
        self.owner = os.getpid()
        self.socket, theirs = socket.socketpair()
        words = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        try:
            process = subprocess.Popen(  # noqa: S603 - this Python, a module of ours
                [sys.executable, "-P", "-c", f"from {module} import main; main()", str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                process_group=0,  # Ctrl-C at a terminal is for the parent, which ends this process when it ends
            )
        except BaseException:
            self.socket.close()
            words.close()
            raise
        finally:
            theirs.close()
        self._process = process
        self._words: IO[bytes] = words
        # Not `self`: what is dropped without `end` is ended, too.
        self._end = weakref.finalize(self, _ended, self.socket, process, words, self.owner)

    @property
    def id(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: bytes, *, deadline: float | None = None) -> None:
        """Send a message; see `kg.processes.frames.send`."""
        send(self.socket, message, deadline=deadline)

    def receive(self, *, deadline: float | None = None, largest: int) -> bytes:
        """Wait for a message; see `kg.processes.frames.receive`."""
        return receive(self.socket, deadline=deadline, largest=largest)

    def kill(self) -> None:
        """End it now, from any thread; who waits for a message gets EOFError."""
        if os.getpid() == self.owner:
            self._process.kill()

    def last_words(self) -> str:
        """Wait until it has ended, and say how: the signal or the exit code, and the end of what it complained of."""
        try:
            code = self._process.wait(_ENOUGH_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        how = f"exit code {code}" if code >= 0 else _signal_name(-code)
        self._words.seek(max(self._words.seek(0, os.SEEK_END) - _LAST_WORDS, 0))
        lines = self._words.read().decode(errors="replace").split("\n")
        said = " ".join(line.strip() for line in lines[-4:] if line.strip())
        return f"{how}: {said}" if said else how

    def end(self) -> None:
        """End it and wait for that; a process that was forked off only lets go of it. Once is enough."""
        self._end()


def _ended(connection: socket.socket, process: subprocess.Popen[bytes], words: IO[bytes], owner: int) -> None:
    connection.close()
    if os.getpid() == owner:
        process.kill()
        process.wait()
    words.close()


def _environment() -> dict[str, str]:
    """That of this process, with the places where this process looks for modules."""
    places = [str(Path(place).absolute()) if place else str(Path.cwd()) for place in sys.path]
    # A process gets an arena of memory for each thread otherwise, and limits of its memory would have to allow for it.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "MALLOC_ARENA_MAX": "2"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
