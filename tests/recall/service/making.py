"""A real service in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

START_SECONDS = 240.0


class Served:
    """`graphrecall serve` on a free port, until the block ends.

    Attributes:
        address: where it listens.
        client: asks it.
    """

    def __init__(self, run: Path, log: Path, options: Sequence[str] = (), environment: dict[str, str] | None = None):
        self.log_file = log
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recall", "serve", str(run), "--port", "0", *options],
                stderr=stderr,
                env=variables,
            )
        try:
            self.address = str(self.wait_for("listening")["address"])
        except BaseException:
            self.process.kill()
            raise
        self.client = httpx.Client(base_url=self.address, timeout=60.0)

    def __enter__(self) -> Self:
        try:
            self.wait_for("ready")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and give its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def log(self) -> list[dict[str, Any]]:
        *lines, _ = self.log_file.read_text().split("\n")  # behind the last end of a line, one is being written
        return [json.loads(line) for line in lines]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log() if entry.get("event") == event]

    def wait_for(self, event: str, count: int = 1, *, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The last of so many log lines about an event."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            if len(found := self.events(event)) >= count:
                return found[count - 1]
            if ended:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {event!r} in the log:\n{self.log_file.read_text()}")

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)


def detail(response: httpx.Response, status: int) -> str:
    """The detail of a problem, whose form is checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    return str(problem["detail"])
