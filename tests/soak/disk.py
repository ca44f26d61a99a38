"""The disk of the runs folder fills up during a refresh, wherever that hits it.

`unshare -rm python -m tests.soak.disk CONFIG STATE TIMES [SEED]` mounts a small tmpfs of its own on the runs folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from recall.runs.registry import folder_bytes
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher

FULL = "the disk is full"


def can_mount(folder: Path) -> bool:
    """Whether this system lets somebody without rights mount a small disk."""
    if shutil.which("unshare") is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return subprocess.run(probe, capture_output=True).returncode == 0


def fill_disks(deployment: Deployment, state: Path, *, times: int, seed: int = 0) -> Journal:
    """Refresh changed data on a disk with less and less room, so many times."""
    deployment.runs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.soak.disk", str(deployment.config), str(state), str(times), str(seed)]
    done = subprocess.run(["unshare", "-rm", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Journal(state / "disk.jsonl")


def _fill(config: Path, state: Path, times: int, seed: int) -> None:
    deployment = Deployment(config)
    runs = deployment.runs
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(runs)], check=True)
    journal = Journal(state / "disk.jsonl")
    check = KilledRefreshes(deployment, state)
    with Launcher() as launcher:

        def refresh() -> tuple[int, str, str]:
            """Exit code, what was printed, and the last stage that was finished."""
            log, stage = state / "disk.log", ""
            child = launcher.start(["refresh", str(config)], runs=runs, log=log)
            while child.look(0.01):
                stage = max((mark for mark in runs.glob(".staging/*/done/*.json")), key=_age, default=Path(stage)).stem
            return int(child.code or 0), log.read_text(), stage

        code, printed, _ = refresh()
        assert code == 0, printed
        first = check.runs.current()
        assert first is not None
        need = 2.2 * folder_bytes(first.path)
        while len(journal.of("full")) < times:
            number = len(journal.lines)
            random = np.random.default_rng([seed, number])
            deployment.change(random)
            before = check.runs.current()
            published = {run.name for run in check.runs.runs()}
            left = int(random.choice([0, 4096, *(need * random.uniform(0, 1, 6))]))
            filler = runs / "filler"
            _fill_up(filler, runs, left)
            code, printed, stage = refresh()
            problems = check.check_whole(before, published)
            if code == 1 and FULL in printed:
                if check.runs.current() != before:
                    problems.append("another run serves")
                if check.runs.staging_root.exists():
                    problems.append("the staging is still there")
            elif code != 0:
                problems.append(f"exit code {code}: {printed[-1500:]}")
            filler.unlink()
            again, printed, _ = refresh()
            problems += check.check_completed(again)
            journal.add(kind="full" if code else "fits", left=left, stage=stage, problems=problems)


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _fill_up(filler: Path, disk: Path, left: int) -> None:
    state = os.statvfs(disk)
    rest = state.f_bavail * state.f_frsize - left
    with filler.open("wb") as stream:
        while rest > 0:
            rest -= stream.write(b"0" * min(rest, 1 << 20))


if __name__ == "__main__":
    _fill(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
