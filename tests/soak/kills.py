"""A refresh is killed at seeded moments of every stage, again and again; what must hold afterwards is looked at.

After every kill: `current` leads to a whole run, the old one or the new one, which loads and answers as it always did,
and every other published run is whole, too. Then, at once or after more kills of the same work, the next refresh
completes, holds the data of now, and leaves nothing behind that piles up.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kg.errors import GraphRecallError
from kg.io.files import MANIFEST, TEMPORARY
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.recommender import Recommender
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.launcher import Child, Launcher, launcher_or_new

# Before the first and after the last stage that leaves a mark.
LOOKING, REPORTING, CHECKING = "looking for changes", "writing the report", "checking the new run"
SWITCHING, TIDYING = "switching", "tidying up"
STAGED = re.compile(r"mkdir \.staging/[0-9a-f]{64}")
MANIFESTED = re.compile(r"rename \.staging/[0-9a-f]{64}/run/MANIFEST\.json$")
PUBLISHED = re.compile(r"rename \d{8}T\d{9}Z-[0-9a-f]{8}$")
SWITCHED = re.compile(r"rename current$")
SPARED = 65.0  # seconds: a refresh removes only what is older, at its beginning (recall.runs.registry.SMALL_FILE_AGE)


class KilledRefreshes:
    """The experiment, in a folder that keeps its state.

    Attributes:
        journal: attempts: "kill", "completed", "finished" (a refresh that was quicker than its kill).
    """

    def __init__(self, deployment: Deployment, state: Path, *, seed: int = 0, keep: int = 2) -> None:
        self.deployment = deployment
        self.runs = RunsFolder(deployment.runs)
        self.seed = seed
        self.keep = keep
        self.journal = Journal(state / "killed.jsonl")
        self._facts_file = state / "killed.json"
        self._log = state / "refresh.log"
        # Stages in their order, seconds of each, its changes to files (after which mark, which numbers), answers of
        # every run: what finished refreshes told.
        self.facts: dict[str, Any] = {"stages": [], "seconds": {}, "changes": {}, "answers": {}, "rows": None}
        if self._facts_file.exists():
            self.facts = json.loads(self._facts_file.read_text())

    @property
    def kills(self) -> list[dict[str, Any]]:
        """What was killed so far."""
        return self.journal.of("kill")

    def histogram(self) -> Counter[str]:
        """Kills by the stage that they hit."""
        return self.journal.count("kill", "stage")

    def run(
        self,
        times: int,
        *,
        seconds: float = float("inf"),
        say: Callable[[str], None] = lambda _: None,
        launcher: Launcher | None = None,
    ) -> bool:
        """Kill until there are so many kills; whether there are.

        Args:
            times: kills, those of earlier calls counted.
            seconds: no new round begins later.
            say: hears of every attempt.
            launcher: starts the refreshes; None: one of its own.
        """
        end = time.monotonic() + seconds
        with launcher_or_new(launcher) as starter:
            self._complete(starter, say)
            while len(self.kills) < times and time.monotonic() < end:
                self._round(starter, say)
        return len(self.kills) >= times

    # ------------------------------------------------------------------------------------------------ one round

    def _round(self, launcher: Launcher, say: Callable[[str], None]) -> None:
        """Change the data, kill its refresh once or several times, and let it complete."""
        random = np.random.default_rng([self.seed, len(self.kills)])
        change = self.deployment.change(random)
        full = bool(random.random() < 0.25)
        while True:
            random = np.random.default_rng([self.seed, len(self.kills), 1])
            if not self._kill(launcher, random, full=full, change=change, say=say):
                return  # it was quicker
            # Work that is nearly finished is completed at once; other work may be killed again.
            if random.random() < 0.5 or self.kills[-1]["stage"] in (CHECKING, SWITCHING, TIDYING):
                break
        self._complete(launcher, say)

    def _kill(
        self, launcher: Launcher, random: np.random.Generator, *, full: bool, change: str, say: Callable[[str], None]
    ) -> bool:
        """One attempt; whether the refresh was killed before it ended."""
        before = self.runs.current()
        published = {run.name for run in self.runs.runs()}
        aim = self._aim(random, fresh=full)
        spans = self.facts["changes"].get(aim)
        clock = spans is None or (bool(random.random() < 0.5) and aim not in (SWITCHING, TIDYING))
        where = None
        if not clock:
            mark, first, last = spans
            where = (mark, int(random.integers(first, last + 1)), "")
        arguments = ["refresh", str(self.deployment.config), *(["--full"] if full else [])]
        resumed = "" if full else self._last_mark()
        child = launcher.start(arguments, runs=self.deployment.runs, log=self._log, where=where, resumed=resumed)
        started = time.monotonic()
        delay = float(random.uniform(0, self.facts["seconds"].get(aim, 0.5)))
        while child.look(0.002 if clock else 0.05) and not child.at:
            if clock and (aim == LOOKING or self.stage(before, published) == aim):
                child.look(delay)
                break
        code = child.code if child.code is not None else child.kill()
        if code >= 0:
            self._finished(child, code, started, say)
            return False
        stage = self.stage(before, published)
        problems = self.check_whole(before, published)
        self.journal.add(
            kind="kill",
            number=len(self.kills),
            aim=aim,
            stage=stage,
            at=child.at or f"{delay:.3f} s",
            full=full,
            change=change,
            problems=problems,
        )
        say(f"kill {len(self.kills)}: {stage} ({child.at or f'{delay:.3f} s into {aim}'}) {problems or 'fine'}")
        return True

    def _aim(self, random: np.random.Generator, *, fresh: bool) -> str:
        """The stage that was hit least among those still to come."""
        done = set() if fresh else self._marks()
        order = [LOOKING, *self.facts["stages"], REPORTING, CHECKING, SWITCHING, TIDYING]
        hits = self.histogram()
        still = [stage for stage in order if stage not in done]
        least = min(hits[stage] for stage in still)
        candidates = [stage for stage in still if hits[stage] <= least]
        return candidates[int(random.integers(len(candidates)))]

    def _complete(self, launcher: Launcher, say: Callable[[str], None]) -> None:
        """The next refresh, unhindered."""
        child = launcher.start(["refresh", str(self.deployment.config)], runs=self.deployment.runs, log=self._log)
        started = time.monotonic()
        self._finished(child, child.wait(), started, say)

    def _finished(self, child: Child, code: int, started: float, say: Callable[[str], None]) -> None:
        seconds = round(time.monotonic() - started, 2)
        problems = self.check_completed(code, seconds)
        self.journal.add(kind="completed", code=code, seconds=seconds, bytes=self._bytes(), problems=problems)
        say(f"completed in {seconds} s: {problems or 'fine'}")
        self._learn(child)

    def _learn(self, child: Child) -> None:
        """Keep what a finished refresh tells about the stages and the answers."""
        run = self.runs.current()
        if run is None:
            return
        timings = Report.load(run).timings
        for stage, seconds in timings.items():
            self.facts["seconds"][stage] = max(seconds, 0.02)
            if stage not in self.facts["stages"]:
                self.facts["stages"].append(stage)
        self._learn_changes(child.changes)
        for stage in (LOOKING, REPORTING, CHECKING):
            self.facts["seconds"][stage] = 0.5
        self.facts["answers"][run.name] = answer(run)
        self._facts_file.write_text(json.dumps(self.facts))

    def _learn_changes(self, changes: dict[str, list[str]]) -> None:
        """Which changes to files belong to which stage: after which mark, from which number to which."""
        spans = self.facts["changes"]
        for mark, made in changes.items():
            stages = self.facts["stages"]
            if mark == "":
                begin = next((n for n, change in enumerate(made, 1) if STAGED.match(change)), len(made))
                spans[LOOKING] = ["", 1, begin]
                if any(change.endswith(f"/done/{stages[0]}.json") for change in made):
                    spans[stages[0]] = ["", begin, len(made)]
            elif mark != stages[-1]:
                spans[stages[stages.index(mark) + 1]] = [mark, 1, len(made)]
            else:
                ends = [
                    next((n for n, change in enumerate(made, 1) if pattern.match(change)), None)
                    for pattern in (MANIFESTED, PUBLISHED, SWITCHED)
                ]
                if None not in ends:
                    starts = [1, *(end + 1 for end in ends if end is not None)]
                    for stage, start, end in zip(
                        (REPORTING, CHECKING, SWITCHING, TIDYING), starts, [*ends, len(made)], strict=True
                    ):
                        if end is not None and start <= end:
                            spans[stage] = [mark, start, end]

    # ------------------------------------------------------------------------------------------------ what must hold

    def stage(self, before: RunLayout | None, published: set[str]) -> str:
        """Where a refresh is, or was when it was killed, by what lies on the disk.

        Args:
            before: the run that served when it began.
            published: names of the runs there were.
        """
        if self.runs.current() != before:
            return TIDYING
        if any(run.name not in published for run in self.runs.runs()):
            return SWITCHING
        staged = self._staged()
        if staged is None:
            return LOOKING
        done = self._marks()
        stages: list[str] = self.facts["stages"]
        missing = [stage for stage in stages if stage not in done]
        if missing and stages:
            return missing[0]
        return CHECKING if (staged / "run" / MANIFEST).exists() else REPORTING

    def _staged(self) -> Path | None:
        root = self.runs.staging_root
        if not root.is_dir():
            return None
        return next((path for path in sorted(root.iterdir()) if len(path.name) == 64), None)

    def _marks(self) -> set[str]:
        staged = self._staged()
        return set() if staged is None else {mark.stem for mark in (staged / "done").glob("*.json")}

    def _last_mark(self) -> str:
        done = self._marks()
        return next((stage for stage in reversed(self.facts["stages"]) if stage in done), "")

    def check_whole(self, before: RunLayout | None, published: set[str]) -> list[str]:
        """The folder always loads, and always the old or the new run, whole."""
        problems = []
        current = self.runs.current()
        if before is not None and current is None:
            return ["nothing serves any more"]
        for run in self.runs.runs():
            try:
                run.verify()
            except GraphRecallError as error:
                problems.append(f"{run.name} is not whole: {error}")
        if current is not None and current != before and current.name in published:
            problems.append(f"{current.name} serves, which is neither the old nor the new run")
        if current is not None:
            try:
                found = answer(current)
            except GraphRecallError as error:
                return [*problems, f"{current.name} cannot be loaded: {error}"]
            if found != self.facts["answers"].setdefault(current.name, found):
                problems.append(f"{current.name} answers otherwise than before")
        return problems

    def check_completed(self, code: int, seconds: float = 0.0) -> list[str]:
        """The refresh, which took so long, succeeded with the data of now, and nothing lies about."""
        if code != 0:
            return [f"exit code {code}: {self._log.read_text()[-2000:]}"]
        problems = self.check_whole(None, set())
        current = self.runs.current()
        if current is None:
            return ["nothing serves"]
        rows = Report.load(current).data.interactions - self.deployment.rows()
        expected = self.facts["rows"] = rows if self.facts["rows"] is None else self.facts["rows"]
        if rows != expected:
            problems.append(f"{current.name} lacks {expected - rows} interactions of now")
        if self.runs.staging_root.exists():
            problems.append(f"the staging is still there: {sorted(self.runs.staging_root.rglob('*'))[:9]}")
        if len(self.runs.runs()) > self.keep:
            problems.append(f"{len(self.runs.runs())} runs are kept, not {self.keep}")
        problems += [f"left behind: {path}" for path in self._leftovers(seconds)]
        return problems

    def _leftovers(self, seconds: float) -> list[Path]:
        found = [path for path in self.runs.path.rglob(".*") if TEMPORARY.fullmatch(path.name)]
        cache = self.runs.cache
        return [
            path
            for path in found
            if not (path.parent == self.runs.path or cache in path.parents)
            or time.time() - path.lstat().st_mtime > seconds + SPARED
        ]

    def _bytes(self) -> int:
        return sum(path.lstat().st_size for path in self.runs.path.rglob("*") if path.is_file())


def answer(run: RunLayout) -> str:
    """A digest of what a run recommends to the same few users, scores and all."""
    recommender = Recommender.load(run.path)
    users = sorted(recommender.graph.users.ids.to_pylist())
    table = recommender.recommend(users[:: max(1, len(users) // 20)], k=10).table
    content = json.dumps([table["user_id"].to_pylist(), table["item_id"].to_pylist(), table["score"].to_pylist()])
    return hashlib.sha256(content.encode()).hexdigest()
