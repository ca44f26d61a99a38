"""The disk of the runs folder fills up during a refresh or a forgetting, wherever that hits it.

`unshare -rm python -m tests.soak.disk WORK CONFIG STATE TIMES SEED` mounts a small tmpfs of its own on the runs folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from kg.errors import ArtifactError
from kg.io.graph_folder import load_graph
from recall.runs.registry import folder_bytes
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher

FULL = "the disk is full"
JOURNALS = {"refresh": "disk.jsonl", "forget": "disk-forget.jsonl"}


def can_mount(folder: Path) -> bool:
    """Whether this system lets somebody without rights mount a small disk."""
    if shutil.which("unshare") is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return subprocess.run(probe, capture_output=True).returncode == 0


def fill_disks(deployment: Deployment, state: Path, *, times: int, seed: int = 0) -> Journal:
    """Refresh changed data on a disk with less and less room, so many times."""
    return _on_small_disk("refresh", deployment, state, times, seed)


def forget_on_full_disks(deployment: Deployment, state: Path, *, times: int, seed: int = 0) -> Journal:
    """Forget users on a disk with less room than that takes, so many times."""
    return _on_small_disk("forget", deployment, state, times, seed)


def _on_small_disk(work: str, deployment: Deployment, state: Path, times: int, seed: int) -> Journal:
    deployment.runs.mkdir(parents=True, exist_ok=True)
    arguments = [work, str(deployment.config), str(state), str(times), str(seed)]
    command = ["unshare", "-rm", sys.executable, "-m", "tests.soak.disk", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Journal(state / JOURNALS[work])


def _mount(runs: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(runs)], check=True)


def _forget(config: Path, state: Path, times: int, seed: int) -> None:
    deployment = Deployment(config)
    runs = deployment.runs
    _mount(runs)
    journal = Journal(state / JOURNALS["forget"])
    check = KilledRefreshes(deployment, state)
    log, filler = state / "disk.log", runs / "filler"
    with Launcher() as launcher:

        def command(*arguments: str) -> tuple[int, str]:
            """Exit code, and what was printed."""
            child = launcher.start([*arguments], runs=runs, log=log)
            while child.look(0.01):
                pass
            return int(child.code or 0), log.read_text()

        code, printed = command("refresh", str(config))
        assert code == 0, printed
        while len(journal.of("full")) < times:
            random = np.random.default_rng([seed, len(journal.lines)])
            before = check.runs.current()
            assert before is not None
            ids = load_graph(before.graph).users.ids.to_pylist()
            user = ids[int(random.integers(len(ids)))]
            left = int(random.choice([0, 4096, *(1.1 * folder_bytes(before.path) * random.uniform(0, 1, 6))]))
            _fill_up(filler, runs, left)
            room = shutil.disk_usage(runs).free
            code, printed = command("forget", str(config), "--user", user)
            problems = [f"left behind: {path}" for path in runs.rglob("*.tmp*")]
            problems += ["the staging is still there"] if check.runs.staging_root.exists() else []
            if code == 1 and FULL in printed and "start the forgetting again" in printed:
                problems += ["another run serves"] if check.runs.current() != before else []
                # The list has got longer, and names the process that holds the lock no more.
                problems += ["the disk stays full"] if shutil.disk_usage(runs).free < room - (64 << 10) else []
            elif code != 0:
                problems.append(f"exit code {code}: {printed[-1500:]}")
            filler.unlink()
            again, printed = command("forget", str(config), "--user", user)
            problems += [f"then exit code {again}: {printed[-1500:]}"] if again else []
            current = check.runs.current()
            try:
                assert current is not None
                current.verify()
                problems += ["the store is gone"] if not current.store.exists() else []
                problems += (
                    [f"{user} is still there"] if user in load_graph(current.graph).users.ids.to_pylist() else []
                )
            except (ArtifactError, AssertionError) as error:
                problems.append(f"no whole run serves: {error}")
            journal.add(kind="full" if code else "fits", left=left, problems=problems)


def _fill(config: Path, state: Path, times: int, seed: int) -> None:
    deployment = Deployment(config)
    runs = deployment.runs
    _mount(runs)
    journal = Journal(state / JOURNALS["refresh"])
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
    work, config, state, times, seed = sys.argv[1:]
    {"refresh": _fill, "forget": _forget}[work](Path(config), Path(state), int(times), int(seed))
