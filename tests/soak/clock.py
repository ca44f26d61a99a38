"""The clock of the machine is set back and forth between refreshes, by libfaketime."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)
HOUR, DAY = 3600, 86_400
SETTINGS = (0, -HOUR, -DAY, -400 * DAY, 3650 * DAY, 0, -2 * DAY, 30 * DAY, -30 * DAY)


def library() -> str | None:
    """The library that gives processes another clock, where there is one (Debian's package faketime)."""
    return next((path for path in LIBRARIES if Path(path).exists()), None)


def set_clock(deployment: Deployment, state: Path, *, times: int, seed: int = 0) -> Journal:
    """Refresh changed data under one clock after the other, and once more unchanged."""
    journal = Journal(state / "clock.jsonl")
    check = KilledRefreshes(deployment, state)
    offset = state / "offset"
    offset.write_text("+0")
    preload = library()
    assert preload is not None
    faked = {
        "LD_PRELOAD": preload,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with Launcher(environment=faked) as launcher:

        def refresh() -> int:
            return launcher.start(
                ["refresh", str(deployment.config)], runs=deployment.runs, log=state / "clock.log"
            ).wait()

        while (number := len(journal.of("setting"))) < times:
            seconds = SETTINGS[number % len(SETTINGS)]
            offset.write_text(f"{seconds:+d}")
            before = check.runs.current()
            deployment.change(np.random.default_rng([seed, number]))
            for file in deployment.folder.glob("ratings.csv*"):  # as a source that is written now looks
                os.utime(file, (time.time() + seconds,) * 2)
            code = refresh()
            problems = check.check_completed(code)
            current = check.runs.current()
            if current is None or current == before:
                problems.append("what changed was not seen")
            if current is not None and current != check.runs.runs()[-1]:
                problems.append(f"{current.name} serves, which is not the last by name")
            if before is not None and before not in check.runs.runs():
                problems.append(f"the run before, {before.name}, was not kept")
            again = refresh()
            if again != 0 or check.runs.current() != current:
                problems.append(f"the same again: exit code {again}, another run serves")
            journal.add(kind="setting", seconds=seconds, problems=problems)
    return journal
