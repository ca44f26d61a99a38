"""A source goes away, is cut short or is changed, before or in the middle of a refresh."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher, launcher_or_new

WAYS = ("gone", "cut short", "grows", "replaced unseen", "emptied")
LOSSES = ("gone", "cut short", "emptied")  # of what a run that serves was made of
REFUSED = 4


def disturb_sources(
    deployment: Deployment, state: Path, *, times: int, seed: int = 0, launcher: Launcher | None = None
) -> Journal:
    """Disturb a source, so many times; once it is mended it goes in.

    What was disturbed is refused with a reason: while it is read, or by the gate, where what is left can be read.
    """
    journal = Journal(state / "sources.jsonl")
    check = KilledRefreshes(deployment, state)
    (victim,) = deployment.folder.glob("ratings.csv*")
    with launcher_or_new(launcher) as starter:

        def start(where: tuple[str, int, str] | None = None) -> tuple[int, str, str]:
            """Run a refresh, disturbing the source at that change: exit code, what was printed, the change."""
            log = state / "sources.log"
            child = starter.start(["refresh", str(deployment.config)], runs=deployment.runs, log=log, where=where)
            while child.look(0.05) and not child.at:
                pass
            if child.at:
                _disturb(victim, way)
                child.go_on()
            return child.wait(), log.read_text(), child.at

        code, printed, _ = start()
        assert code == 0, printed
        while len(journal.of("disturbed")) < times:
            random = np.random.default_rng([seed, len(journal.of("disturbed"))])
            way = WAYS[int(random.integers(len(WAYS)))]
            deployment.change(random)
            before, published = check.runs.current(), {run.name for run in check.runs.runs()}
            if random.random() < 0.3:
                _disturb(victim, way)
                code, printed, at = (*start()[:2], "before")
            else:
                code, printed, at = start(("", int(random.integers(1, 40)), ""))
            told = printed.strip().splitlines()[-1] if code else ""
            problems = check.check_whole(before, published)
            if code == 1 and "Traceback" in printed:
                problems.append(f"{way}: {printed[-1500:]}")
            elif code not in (0, 1, REFUSED):
                problems.append(f"{way}: exit code {code}: {printed[-1500:]}")
            elif code and check.runs.current() != before:
                problems.append(f"{way}: another run serves")
            elif code == REFUSED and "of those before are gone" not in " ".join(printed.split()):
                problems.append(f"{way}: refused for another reason: {printed[-1500:]}")
            elif code == 0 and at == "before" and way in LOSSES:
                problems.append(f"{way}: nobody noticed")
            deployment.write()
            again, printed, _ = start()
            problems += check.check_completed(again)
            journal.add(kind="disturbed", way=way, at=at, code=code, told=told[:300], problems=problems)
    return journal


def _disturb(file: Path, way: str) -> None:
    facts = file.stat()
    if way == "gone":
        file.unlink()
    elif way == "cut short":
        os.truncate(file, facts.st_size // 2)
    elif way == "emptied":
        os.truncate(file, 0)
    elif way == "grows":
        with file.open("ab") as stream:
            stream.write(file.read_bytes()[: facts.st_size // 3])
    else:  # another file in its place, of the same size and time
        other = file.with_name("other")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        other.write_bytes(content)
        os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        other.replace(file)
