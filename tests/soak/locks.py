"""Two refreshes of one runs folder are started at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher, launcher_or_new

LOCKED = 75


def two_at_once(
    deployment: Deployment, state: Path, *, times: int, seed: int = 0, launcher: Launcher | None = None
) -> Journal:
    """Start two, so many times; one must publish, and the other find the folder locked, or nothing left to do."""
    journal = Journal(state / "locks.jsonl")
    check = KilledRefreshes(deployment, state)
    with launcher_or_new(launcher) as one, Launcher() as two:
        while len(journal.of("pair")) < times:
            random = np.random.default_rng([seed, len(journal.of("pair"))])
            deployment.change(random)
            launchers = [one, two] if random.random() < 0.5 else [two, one]
            before = {run.name for run in check.runs.runs()}
            logs = [state / "first.log", state / "second.log"]
            children = [
                launcher.start(["refresh", str(deployment.config)], runs=deployment.runs, log=log)
                for launcher, log in zip(launchers, logs, strict=True)
            ]
            codes = sorted(child.wait() for child in children)
            new = [run.name for run in check.runs.runs() if run.name not in before]
            problems = check.check_completed(0)
            if codes not in ([0, LOCKED], [0, 0]):
                problems.append(f"exit codes {codes}: {[log.read_text()[-1000:] for log in logs]}")
            if len(new) != 1:
                problems.append(f"{len(new)} new runs: {new}")
            journal.add(kind="pair", codes=codes, problems=problems)
    return journal
