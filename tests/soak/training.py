"""A refresh is killed inside its trainings; each attempt must go on from the step that the one before had kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from safetensors import safe_open

from gnn.training.checkpoint import CHECKPOINT
from recall.runs.registry import RunsFolder
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.launcher import Launcher, launcher_or_new

KEPT = rf"rename .*/work/[^/]+/%s/{re.escape(CHECKPOINT)}$"


def kill_in_training(
    deployment: Deployment, state: Path, *, times: int, seed: int = 0, launcher: Launcher | None = None
) -> Journal:
    """Kill refreshes while they train until there are so many such kills.

    A checkpoint is about to be put in place when the process dies: the step it holds must lie as many checkpoints after
    the one on the disk as this attempt has made. With `training.eval_every = 1` that is as many steps.
    """
    journal = Journal(state / "training.jsonl")
    runs = RunsFolder(deployment.runs)
    with launcher_or_new(launcher) as starter:

        def start(where: tuple[None, int, str] | None) -> tuple[int, str]:
            child = starter.start(
                ["refresh", str(deployment.config)],
                runs=deployment.runs,
                log=state / "training.log",
                where=where,
            )
            while child.look(0.2) and not child.at:
                pass
            return (child.code, "") if child.code is not None else (child.kill(), child.at)

        while len(journal.of("kill")) < times:
            random = np.random.default_rng([seed, len(journal.of("kill"))])
            marks = {mark.stem for mark in runs.staging_root.glob("*/done/*.json")}
            if not marks:
                deployment.change(random)
            late = "train lightgcn for evaluation" in marks or bool(random.random() < 0.4)
            before = {path.parent.name: step_of(path) for path in runs.staging_root.glob(f"*/work/*/*/{CHECKPOINT}")}
            ahead = int(random.integers(1, 3))
            code, at = start((None, ahead, KEPT % ("serving" if late else "evaluation")))
            if code >= 0:
                journal.add(kind="completed", code=code, problems=[] if code == 0 else [f"exit code {code}"])
                continue
            name = Path(at).parent.name
            (half,) = runs.staging_root.glob(f"*/work/*/{name}/.{CHECKPOINT}.*.tmp")
            expected = before.get(name, 0) + ahead
            problems = [] if step_of(half) == expected else [f"at step {step_of(half)}, not {expected}, in {name}"]
            journal.add(kind="kill", training=name, step=step_of(half), ahead=ahead, problems=problems)
        code, _ = start(None)
        journal.add(kind="completed", code=code, problems=[] if code == 0 else [f"exit code {code}"])
    return journal


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint holds."""
    with safe_open(checkpoint, framework="np") as stored:
        return int(json.loads(stored.metadata()["state"])["step"])
