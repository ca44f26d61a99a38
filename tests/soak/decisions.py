"""What changes runs beside a refresh that publishes is killed before each of its changes to the disk.

A decision (accept, rollback), a forgetting, a refresh whose run the gate refuses and one that judges a refused run
again: each is stopped dead at seeded places which cover all of its kinds of changes, on a folder that has all that one
may have. Afterwards the folder loads, the run of before or the one of after serves, whole, and so is every record; the
same command again, or a refresh, completes it; nothing is left behind. Who is forgotten stands in no file then, however
often the forgetting was killed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kg.errors import GraphRecallError
from kg.io.files import TEMPORARY, read_json
from recall.jobs.privacy import Privacy
from recall.ops.summary import SummaryLog
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from tests.recall.conftest import write_deployment
from tests.recall.decoding import places
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import answer
from tests.soak.launcher import Child, Launcher, launcher_or_new

CASES = ("accept", "rollback", "forget", "rejection", "judged again")
VICTIM = "mal.lory@example.org"
CLOSED = "\n[gate.first]\nminimum = {ndcg = 1.0}\n"
CLOSED += "".join(f"[gate.{kind}]\nminimum = {{ndcg = 1.0}}\n" for kind in ("incremental", "full"))
LAST_STAGE = "store"
# Seconds: what is younger than a minute may be somebody's who is at work (recall.runs.registry.SMALL_FILE_AGE).
OLD = 120.0
RUN_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")
_NAMES = ((RUN_ID, "RUN"), (re.compile(r"[0-9a-f]{64}"), "INPUTS"), (re.compile(r"\.[0-9a-f]{8}\.tmp"), ".tmp"))


def kill_decisions(
    state: Path,
    *,
    times: int,
    cases: Sequence[str] = CASES,
    seed: int = 0,
    launcher: Launcher | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Journal:
    """Kill each so many times.

    Args:
        state: folder of the journal and of the runs.
        times: kills of each case, those of earlier calls counted.
        cases: some of `CASES`.
        seed: of the places.
        launcher: starts the commands; None: one of its own.
        say: hears of every attempt.
    """
    journal = Journal(state / "decisions.jsonl")
    with launcher_or_new(launcher) as starter:
        for case in cases:
            killed = _Killed(case, state, journal, starter)
            while killed.kills < times:
                killed.attempt(np.random.default_rng([seed, len(journal.of(case)), CASES.index(case)]))
                say(f"{case} {killed.kills}: {journal.lines[-1]}")
    return journal


def steps(journal: Journal, case: str) -> Counter[str]:
    """Kills of a case by the kind of the change that did not come about any more."""
    return Counter(step for line in journal.of(case) for step in line["steps"])


def kind_of(change: str) -> str:
    """A change without what is another one each time: `open .records/RUN.json`, `remove .staging/forget`."""
    for pattern, name in _NAMES:
        change = pattern.sub(name, change)
    event, _, path = change.partition(" ")
    return f"{event} {'/'.join(path.split('/')[:2])}"


class _Killed:
    """One case, on copies of a folder that is made once."""

    def __init__(self, case: str, state: Path, journal: Journal, launcher: Launcher) -> None:
        self.case, self.journal, self.launcher = case, journal, launcher
        self.home = state / "decisions"
        self.log = state / "decisions.log"
        template = self.home / ("staged" if case == "rejection" else "settled")
        if not template.exists():
            self._make_templates()
        self.template = template
        self.config = self.home / "work" / "config.toml"
        self.runs = RunsFolder(self.config.parent / "runs")
        there = RunsFolder(template / "runs")
        current = there.current()
        assert current is not None
        self.first, self.second = (run.name for run in there.runs())
        self.rejected = [run.name for run in there.rejected()]
        assert current.name == self.second
        self.answers = {run.name: answer(run) for run in (*there.runs(), *there.rejected())}
        self.command = self._command()
        self.changes = self._learn()

    @property
    def kills(self) -> int:
        """So far."""
        return sum(steps(self.journal, self.case).values())

    # --------------------------------------------------------------------------------------------- where it begins

    def _make_templates(self) -> None:
        """Two published runs, one that is rejected, and the same with the work of a refresh that is nearly done."""
        made = self.home / "making"
        shutil.rmtree(made, ignore_errors=True)
        config = write_deployment(made, users=8, movies=10, ratings=6)
        ratings = made / "ratings.csv"
        ratings.write_text(ratings.read_text().replace("u3,", f"{VICTIM},"))
        deployment = Deployment(config)
        open_gate = config.read_text()
        for number in range(3):
            deployment.added.append([VICTIM, f"new{number}", "5", f"{2_000_000 + number}"])
            deployment.added.append(["u1", f"new{number}", "5", f"{2_000_000 + number}"])
            deployment.write()
            if number == 2:
                config.write_text(open_gate.partition("\n[gate")[0] + CLOSED)
            code = self._run(["refresh", str(config)], made / "runs").wait()
            assert code == (4 if number == 2 else 0), self.log.read_text()
        settled, staged = self.home / "settled", self.home / "staged"
        shutil.copytree(made, self.home / "copy", symlinks=True)
        (self.home / "copy").rename(settled)
        deployment.added.append(["u2", "new0", "5", "2000003"])
        deployment.write()
        shutil.rmtree(made / "runs" / ".rejected")
        child = self._run(["refresh", str(config)], made / "runs", where=(LAST_STAGE, 1, ""))
        while child.look(0.05) and not child.at:
            pass
        assert child.at, self.log.read_text()
        child.kill()
        made.rename(staged)

    def _renew(self) -> None:
        work = self.config.parent
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.template, work, symlinks=True)
        if self.case == "forget":  # unfinished work names users, too
            shutil.copytree(self.home / "staged" / "runs" / ".staging", self.runs.staging_root)
            self._leave_halves()
        if self.case == "judged again":
            text = self.config.read_text()
            self.config.write_text(text.replace("minimum = {ndcg = 1.0}", "metric_loss = 1\ncoverage_loss = 1\n"
                                                "top_changed = 1").replace("[gate.first]\nmetric_loss = 1\n"
                                                "coverage_loss = 1\ntop_changed = 1\n", ""))  # fmt: skip

    def _leave_halves(self) -> None:
        """What refreshes leave that were killed a moment ago while they wrote."""
        for name in ("..refreshes.jsonl", ".records/.RUN.json", ".cache/text/.shard", ".rejected/.report.json"):
            half = self.runs.path / f"{name}.0123abcd.tmp"
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_text(f"{VICTIM} rates nothing")

    def _command(self) -> list[str]:
        by = ["--by", "soak", "--reason", "tried"]
        if self.case == "accept":
            return ["accept", str(self.runs.rejected_root / self.rejected[0]), *by]
        if self.case == "rollback":
            return ["rollback", str(self.runs.path), "--to", self.first, *by]
        if self.case == "forget":
            return ["forget", str(self.config), "--user", VICTIM, "--wait", "0"]
        return ["refresh", str(self.config)]

    def _learn(self) -> list[str]:
        """The changes that it makes when nobody hinders it."""
        self._renew()
        child = self._run(self.command)
        code = child.wait()
        assert code == (4 if self.case == "rejection" else 0), self.log.read_text()
        if self.case == "forget":
            assert self._traces() == []
        return [change for made in child.changes.values() for change in made]

    def _run(
        self, arguments: list[str], runs: Path | None = None, where: tuple[str | None, int, str] | None = None
    ) -> Child:
        return self.launcher.start(arguments, runs=runs or self.runs.path, log=self.log, where=where)

    # --------------------------------------------------------------------------------------------------- one attempt

    def attempt(self, random: np.random.Generator) -> None:
        """Kill it, once or, a forgetting, several times, and complete it."""
        self._renew()
        struck: list[str] = []
        problems: list[str] = []
        finisher = "the same" if random.random() < 0.5 else "a refresh"
        while True:
            child = self._run(self.command, where=(None, self._aim(random), ""))
            while child.look(0.05) and not child.at:
                pass
            code = child.code if child.code is not None else child.kill()
            if code >= 0:
                break  # what an earlier one had done is not done again, so that it was quicker
            struck.append(kind_of(child.at))
            problems += self._whole()
            if self.case != "forget" or random.random() < 0.5:
                break
        if self.case != "forget":
            self._age()
        problems += self._complete(finisher)
        self.journal.add(kind=self.case, steps=struck, finisher=finisher, problems=problems)

    def _aim(self, random: np.random.Generator) -> int:
        """The number of a change, from 1, of a kind that was hit least; renames first, for they make it count."""
        hits = steps(self.journal, self.case)
        kinds = [kind_of(change) for change in self.changes]
        order = [(hits[kind], not kind.startswith("rename")) for kind in kinds]
        wanted = [number for number, one in enumerate(order, 1) if one == min(order)]
        return wanted[int(random.integers(len(wanted)))]

    def _age(self) -> None:
        """Let what was left look as it will a while later."""
        past = time.time() - OLD
        for path in self.runs.path.rglob(".*"):
            if TEMPORARY.fullmatch(path.name):
                os.utime(path, (past, past), follow_symlinks=False)

    def _complete(self, finisher: str) -> list[str]:
        problems: list[str] = []
        if finisher == "a refresh" or self.case in ("rejection", "judged again"):
            problems += self._refreshed((4,) if self.case == "rejection" else (0, 4))
            problems += self._whole()
        if self.case in ("accept", "rollback"):
            code = self._run(self.command).wait()
            if code and "serves already" not in self.log.read_text():
                problems.append(f"the same again ends with {code}: {self._said()}")
        elif self.case == "forget":
            listed = bool(Privacy.open(self.runs.path).users)
            if finisher == "the same" or not listed:
                command = self.command if not listed else ["forget", str(self.config), "--wait", "0"]
                if code := self._run(command).wait():
                    problems.append(f"the forgetting ends with {code}: {self._said()}")
        problems += self._whole()
        problems += self._ended()
        self._age()
        problems += self._refreshed((4,) if self.case in ("rejection", "rollback") else (0, 4))
        problems += self._ended()
        for path in self.runs.path.rglob(".*"):
            if TEMPORARY.fullmatch(path.name):
                problems.append(f"left behind: {path.relative_to(self.runs.path)}")
        if self.runs.staging_root.exists():
            problems.append("the staging is still there")
        return problems

    def _refreshed(self, codes: Sequence[int]) -> list[str]:
        code = self._run(["refresh", str(self.config)]).wait()
        return [] if code in codes else [f"the refresh ends with {code}: {self._said()}"]

    def _said(self) -> str:
        return self.log.read_text()[-1500:]

    # ------------------------------------------------------------------------------------------------ what must hold

    def _whole(self) -> list[str]:
        """The folder loads, the run of before or that of after serves, and every run and record is whole."""
        problems: list[str] = []
        current = self.runs.current()
        if current is None:
            return ["nothing serves any more"]
        try:
            for run in (*self.runs.runs(), *self.runs.rejected()):
                run.verify()
                self.runs.record(run)
            for file in self.runs.records_root.glob("*.json"):
                read_json(file)
            Privacy.open(self.runs.path)
            SummaryLog(self.runs.path).read()
            found = answer(current)
        except GraphRecallError as error:
            return [f"not whole: {error}"]
        if current.name not in self._may_serve(current):
            problems.append(f"{current.name} serves, which is neither the old nor the new run")
        if found != self.answers.setdefault(current.name, found):
            problems.append(f"{current.name} answers otherwise than before")
        return problems

    def _may_serve(self, current: RunLayout) -> set[str]:
        after = {
            "accept": self.rejected,
            "rollback": [self.first],
            "forget": [current.name] if current.manifest().get("made_from") == self.second else [],
            "rejection": [],
            "judged again": [run.name for run in self.runs.runs() if run.name > self.second],
        }[self.case]
        return {self.second, *after}

    def _ended(self) -> list[str]:
        """It came to what it comes to unhindered."""
        problems: list[str] = []
        current = self.runs.current()
        runs, rejected = self.runs.runs(), self.runs.rejected()
        name = "" if current is None else current.name
        if self.case == "accept":
            (mine,) = [run for run in runs if run.name == self.rejected[0]] or [None]
            accepted = None if mine is None else self.runs.record(mine).accepted
            if name != self.rejected[0] or accepted is None or (accepted.by, accepted.reason) != ("soak", "tried"):
                problems.append(f"{name} serves, and the record says {accepted}")
            if rejected:
                problems.append(f"still rejected: {rejected}")
        elif self.case == "rollback":
            withdrawn = [run.name for run in runs if self.runs.record(run).rolled_back is not None]
            if name != self.first or withdrawn != [self.second]:
                problems.append(f"{name} serves, and {withdrawn} are withdrawn")
        elif self.case == "forget":
            problems += self._traces()
            if len(runs) != 2 or len(rejected) != 1:
                problems.append(f"{len(runs)} runs and {len(rejected)} rejected ones, not 2 and 1")
            if Privacy.open(self.runs.path).pending:
                problems.append("somebody is still to be forgotten")
        elif self.case == "rejection":
            if name != self.second or len(rejected) != 1:
                problems.append(f"{name} serves, {len(rejected)} rejected")
        elif name == self.second:
            problems.append("the run that passes now does not serve")
        return problems

    def _traces(self) -> list[str]:
        found = places(self.runs.path, {"victim": VICTIM.encode()})["victim"]
        return [f"the forgotten user stands in {sorted(found)}"] if found else []
