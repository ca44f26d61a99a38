"""Processes that run the command line and can be stopped dead at a chosen moment.

They are forked from one that has imported everything and computed nothing: no import twice, and safe for threads.
A child records the changes that it is about to make below the runs folder, by stage. Before a chosen one it sends a
message and stops: whatever happens to it then comes from outside.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PROGRAM = """
import json, os, re, signal, sys
import faiss, ladybug, safetensors.torch, torch
from transformers import AutoModel, AutoTokenizer
import recall.cli.main, recall.config.deployment, recall.serve.recommender, recall.jobs.refresh
import recall.cli.render.candidates
import recall.jobs.decide, recall.jobs.forget_run, recall.ops.html_report, recall.jobs.stages
import recall.cli.render.refresh, recall.jobs.reporting
# What torch and others import when they first work: two of three seconds of a small refresh.
import torch._dynamo, matplotlib.backends.backend_svg, pandas, polars

MARK = re.compile(r".*/done/([^/]+)\\.json")
CHANGES = {"os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.symlink": (1,)}

STAGED = re.compile(r"mkdir \\.staging/[0-9a-f]{64}")

def record_changes(runs, where, resumed, say):
    state = {"stage": "", "changes": {}}
    hits = 0
    def hook(event, arguments):
        nonlocal hits
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths = arguments[:1]
        elif event in CHANGES:
            paths = [arguments[at] for at in CHANGES[event]]
            if event in ("os.remove", "os.rmdir") and arguments[1] != -1:  # below an open folder
                paths = [os.readlink(f"/proc/self/fd/{arguments[1]}") + "/" + os.fsdecode(paths[0])]
        else:
            return
        paths = [os.fspath(path) for path in paths if isinstance(path, (str, os.PathLike))]
        if not any(path.startswith(runs) for path in paths):
            return
        change = event.removeprefix("os.") + " " + paths[-1][len(runs) + 1:]
        state["changes"].setdefault(state["stage"], []).append(change)
        if where and where[0] in (None, state["stage"]) and re.search(where[2], change):
            hits += 1
            if hits == where[1]:
                say({"at": change})
                os.kill(os.getpid(), signal.SIGSTOP)
        if not state["stage"] and STAGED.fullmatch(change):
            state["stage"] = resumed
        if event == "os.rename" and (mark := MARK.fullmatch(paths[-1])):
            state["stage"] = mark.group(1)
    sys.addaudithook(hook)
    return state["changes"]

def say(facts):
    os.write(out, (json.dumps(facts) + "\\n").encode())

out = os.dup(1)
say({"ready": os.getpid()})
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.argv = ["graphrecall", *order["arguments"]]
        changes = record_changes(order["runs"], order["where"], order["resumed"], say)
        code = 1
        try:
            recall.cli.main.main(order["arguments"])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            say({"changes": changes})
            os._exit(code)
    say({"child": child})
    say({"exit": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})
"""


@dataclass
class Child:
    """One command at work.

    Attributes:
        pid: of the process.
        at: the change that it stopped before, or "".
        changes: those below the runs folder, in their order, by the last finished stage; once it ended by itself.
        code: its exit code, negative for a signal, once it ended.
    """

    launcher: Launcher
    pid: int
    at: str = ""
    changes: dict[str, list[str]] = field(default_factory=dict)
    code: int | None = None

    def look(self, seconds: float = 0.0) -> bool:
        """Read its messages for so many seconds; returns whether it still runs."""
        while self.code is None and (facts := self.launcher.read(seconds)) is not None:
            self.at = facts.get("at", self.at)
            self.changes = facts.get("changes", self.changes)
            self.code = facts.get("exit")
            if self.at:
                break
        return self.code is None

    def kill(self) -> int:
        """Kill it from outside; its exit code, which is another one when it was quicker."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def go_on(self) -> None:
        """Let it go on from where it stopped."""
        status = Path(f"/proc/{self.pid}/status")
        while "State:\tT" not in status.read_text():  # the message came, and it is about to stop
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, seconds: float = 600.0) -> int:
        """Its exit code."""
        end = time.monotonic() + seconds
        while self.look(0.5):
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"the command did not end within {seconds:g} s")
        return int(self.code if self.code is not None else -1)


@contextmanager
def launcher_or_new(launcher: Launcher | None) -> Iterator[Launcher]:
    """The launcher, which stays open, or where there is none a new one for the length of the block."""
    if launcher is not None:
        yield launcher
        return
    with Launcher() as new:
        yield new


class Launcher:
    """Starts commands, one at a time."""

    def __init__(self, *, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._buffer = b""
        if self.read(300) is None:
            raise TimeoutError("the imports took more than five minutes")

    def read(self, seconds: float) -> dict[str, Any] | None:
        """The next message within so many seconds, or None."""
        stream = self._process.stdout
        assert stream is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([stream], [], [], seconds)
            if not ready:
                return None
            got = os.read(stream.fileno(), 65536)
            if not got:
                raise RuntimeError("the process that starts the others has ended")
            self._buffer += got
        line, self._buffer = self._buffer.split(b"\n", 1)
        return dict(json.loads(line))

    def start(
        self,
        arguments: list[str],
        *,
        runs: Path,
        log: Path,
        where: tuple[str | None, int, str] | None = None,
        resumed: str = "",
    ) -> Child:
        """Start a command.

        Args:
            arguments: of `graphrecall`.
            runs: the folder whose changes are counted.
            log: what the command prints goes there.
            where: stop before this change: the last finished stage (None: any), a number from 1, and the regular
                expression of the changes that it counts.
            resumed: the last stage that an attempt before has finished; "" for none.
        """
        order = {
            "arguments": arguments,
            "runs": str(runs.absolute()),
            "log": str(log),
            "where": where,
            "resumed": resumed,
        }
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order) + "\n").encode())
        self._process.stdin.flush()
        first: dict[str, Any] = {}
        child = Child(self, 0)
        while "child" not in first:  # the child may write before its start is reported
            first = self.read(60) or first
            child.at = first.get("at", child.at)
            child.changes = first.get("changes", child.changes)
        child.pid = int(first["child"])
        return child

    def close(self) -> None:
        """End; a command at work is killed with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
