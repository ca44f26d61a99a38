"""The table of faults: how often each was tried, and how often anything was lost.

python -m benchmarks faults [--state .cache/soak]

`make soak` tries them and keeps every attempt in the folder; this counts what is there, also of a soak that goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import record
from tests.soak.decisions import CASES, steps
from tests.soak.journal import STATE, Journal, histogram
from tests.soak.memory import growth


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: in words.
        journal: where its attempts are.
        kind: of the journal's lines that are attempts.
        tried: how many faults a line stands for.
    """

    name: str
    journal: str
    kind: str
    tried: Callable[[dict[str, Any]], int] = lambda _: 1


FAULTS = (
    Fault("killed, any stage, demo's size", "killed", "kill"),
    Fault("killed while it trains", "training", "kill"),
    *(
        Fault(name, "decisions", case, lambda line: len(line["steps"]))
        for name, case in (
            ("accept killed", "accept"),
            ("rollback killed", "rollback"),
            ("forgetting killed", "forget"),
            ("refusal by the gate killed", "rejection"),
            ("second judgement of a refused run killed", "judged again"),
        )
    ),
    Fault("disk full", "disk", "full"),
    Fault("disk full while users are forgotten", "disk-forget", "full"),
    Fault("source gone, cut short or changed", "sources", "disturbed"),
    Fault("clock set back or forth", "clock", "setting"),
    Fault("two refreshes at once", "locks", "pair"),
    Fault("byte of a run flipped", "flipped", "flip", lambda line: int(line["tried"])),
    Fault(
        "published or rolled back among 8 readers",
        "readers",
        "readers",
        lambda line: int(line["published"] + line["rolled_back"]),
    ),
    Fault("refreshed in one process, memory", "memory", "refresh"),
    Fault("reloaded in one process, memory", "memory", "reload"),
)


def rows_of(state: Path) -> list[dict[str, Any]]:
    """A row for each fault that was tried: how often, and in how many attempts anything was lost or not as promised."""
    rows = []
    for fault in FAULTS:
        journal = Journal(state / f"{fault.journal}.jsonl")
        tried = sum(fault.tried(line) for line in journal.of(fault.kind))
        # What came after a fault, such as the refresh that has to complete, counts with it.
        others = {other.kind for other in FAULTS if other.journal == fault.journal} - {fault.kind}
        lost = sum(bool(line["problems"]) for line in journal.lines if line["kind"] not in others)
        if tried:
            rows.append({"fault": fault.name, "tried": tried, "lost": lost})
    return rows


def facts_of(state: Path) -> dict[str, Any]:
    """Facts beside the counts: kills by stage, latency of readers, memory."""
    killed = Journal(state / "killed.jsonl")
    facts: dict[str, Any] = {"kills_by_stage": dict(killed.count("kill", "stage").most_common())}
    facts["disks_by_last_stage"] = dict(Journal(state / "disk.jsonl").count("full", "stage").most_common())
    facts["decisions_by_step"] = {
        case: dict(steps(Journal(state / "decisions.jsonl"), case).most_common()) for case in CASES
    }
    readers = Journal(state / "readers.jsonl").of("readers")
    if readers:
        facts["readers"] = {key: value for key, value in readers[-1].items() if key not in ("kind", "problems")}
    memory = Journal(state / "memory.jsonl")
    for kind in ("refresh", "reload"):
        megabytes = [float(line["megabytes"]) for line in memory.of(kind)[-100:]]
        if megabytes:
            facts[f"memory_{kind}_mb"] = {"last": megabytes[-1], "growth_of_last_third": round(growth(megabytes), 2)}
    return facts


def main(argv: Sequence[str]) -> None:
    """Count what the soak has tried, print it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults", description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the soak's attempts")
    arguments = parser.parse_args(argv)
    rows = rows_of(arguments.state)
    if not rows:
        parser.error(f"nothing was tried yet in {arguments.state}: run `make soak` first")
    print(histogram(Journal(arguments.state / "killed.jsonl").count("kill", "stage")))
    record("faults", rows, **facts_of(arguments.state))
