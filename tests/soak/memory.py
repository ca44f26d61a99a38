"""One process refreshes changed data again and again and loads each new run: its memory must stay flat.

`python -m tests.soak.memory CONFIG STATE REFRESHES RELOADS [SEED]`
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal


def repeat(deployment: Deployment, state: Path, *, refreshes: int, reloads: int, seed: int = 0) -> Journal:
    """Refresh and reload in a process of its own, which keeps its memory after each in the journal."""
    command = [sys.executable, "-m", "tests.soak.memory", str(deployment.config), str(state)]
    done = subprocess.run(
        [*command, str(refreshes), str(reloads), str(seed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Journal(state / "memory.jsonl")


def growth(megabytes: list[float]) -> float:
    """MB by which the last third lies above the middle one, by their medians; 0 for fewer than three."""
    third = len(megabytes) // 3
    if not third:
        return 0.0
    return float(np.median(megabytes[-third:]) - np.median(megabytes[-2 * third : -third]))


def _resident() -> float:
    """MB in use, what is free in the allocator's own pools given back first."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _repeat(config: Path, state: Path, refreshes: int, reloads: int, seed: int) -> None:
    deployment, journal = Deployment(config), Journal(state / "memory.jsonl")
    settings = load_config(config)
    assert refresh(settings).run is not None
    runs = RunsFolder(deployment.runs)
    recommender = Recommender.load(runs.link)
    for number in range(refreshes):
        deployment.change(np.random.default_rng([seed, number, len(journal.lines)]))
        status = refresh(settings).status
        recommender = _ask(recommender.reload())
        problems = [] if status == "published" else [f"refresh {number} ended as {status}"]
        journal.add(kind="refresh", megabytes=_resident(), files=_descriptors(), problems=problems)
    there = runs.runs()
    for number in range(reloads):
        runs.serve(there[number % len(there)])
        recommender = _ask(recommender.reload())
        journal.add(kind="reload", megabytes=_resident(), files=_descriptors(), problems=[])


def _ask(recommender: Recommender) -> Recommender:
    users = recommender.graph.users.ids.to_pylist()[:5]
    item = recommender.recommend(users, k=5).table["item_id"][0].as_py()
    recommender.explain([(users[0], item)])
    recommender.cypher("MATCH (m:Movie) RETURN count(m) AS n")
    return recommender


if __name__ == "__main__":
    _repeat(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
