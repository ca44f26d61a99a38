"""An hour of mixed load on the HTTP service while runs are published: answers, waits, memory, and what went wrong.

python -m benchmarks mixed_load [--state .cache/soak]

`make soak` asks for an hour, and keeps what it saw in the folder; this makes a table of the last time. Every answer is
compared with what the run that it names answers in a process of its own. Memory is that of all processes together, what
they share counted once, without the files that they map.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import record
from tests.soak.journal import STATE, Journal

NAME = "mixed_load"
FACTS = ("seconds", "clients", "published", "runs_seen", "megabytes", "growth", "runs_mapped")


def rows_of(seen: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each kind of request."""
    return [
        {"request": kind, "asked": asked, "p50_ms": seen["p50_ms"][kind], "p99_ms": seen["p99_ms"][kind]}
        for kind, asked in seen["asked"].items()
    ]


def main(argv: Sequence[str]) -> None:
    """Take what the soak saw, print it and keep it."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {NAME}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the soak's attempts")
    arguments = parser.parse_args(argv)
    lines = Journal(arguments.state / "service.jsonl").of("mixed load")
    if not lines:
        parser.error(f"nothing was asked yet in {arguments.state}: run `make soak` first")
    seen = lines[-1]
    record(NAME, rows_of(seen), problems=len(seen["problems"]), **{fact: seen[fact] for fact in FACTS})
