"""Where a training step of each sequence model spends its time: milliseconds of the processor on one thread.

    python -m benchmarks sequence_profile --data DIR

Models, settings and data are those of `sequences`, Beauty by ids, and SASRec by ids and knowledge as well. The parts of
the same step are run one after the other on the same state; the median of some steps counts. A look-up of item vectors
is measured with its gradient, the model between them with its own, and the loss with that of what it compares.
Validation ranks all items for the users that a training validates with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import walk
from benchmarks.profile import cpu_ms
from benchmarks.results import record
from benchmarks.sequences import MODELS
from gnn.sequence.data import SequenceData
from gnn.sequence.fit import schedule_of
from gnn.sequence.losses import sequence_loss
from gnn.sequence.settings import ItemPart
from gnn.sequence.task import SequenceTask
from gnn.training.context import RunContext
from gnn.training.trainer import Trainer
from kg.history import InteractionHistory

NAME = "sequence_profile"
STEPS = 12  # the first two are not counted
PROFILED: Sequence[tuple[str, tuple[ItemPart, ...]]] = (
    ("sasrec", ("id",)),
    ("sasrec", ("id", "knowledge")),
    ("bert4rec", ("id",)),
    ("gru4rec", ("id",)),
    ("narm", ("id",)),
)


def task_of(problem: walk.Problem, model: str, parts: tuple[ItemPart, ...]) -> SequenceTask:
    """The training of a model."""
    _, config = MODELS[model]
    config = config.changed(item_parts=parts)
    context = RunContext(device="cpu")
    data = SequenceData.of(
        problem.first,
        InteractionHistory.of(problem.first),
        config.model,
        config.training,
        features=problem.features,
        validation=problem.chosen_on,
        seed=context.seed,
    )
    return SequenceTask(data, config.model, config.training, context, graph=problem.first)


def profile(problem: walk.Problem, model: str, parts: tuple[ItemPart, ...]) -> dict[str, Any]:
    """One row: the parts of a step, and a validation."""
    task = task_of(problem, model, parts)
    optimizer = Trainer(task, schedule_of(task.training, None), task.context).optimizer
    task.network.train()
    rounds: dict[str, list[float]] = {}
    targets = []
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        ms, count = parts_of(task, step)
        targets.append(count)
        _, ms["optimiser"] = cpu_ms(optimizer.step)
        for part, value in ms.items():
            rounds.setdefault(part, []).append(value)
    row = {f"{part}_ms": float(np.median(values[2:])) for part, values in rounds.items()}
    row["step_ms"] = sum(row.values())
    _, row["validation_ms"] = cpu_ms(task.validate)
    return {
        "model": model,
        "parts": " + ".join(parts),
        "targets": int(np.median(targets)),
        "validated": len(task.data.asked or ()),
        **{part: round(value, 1) for part, value in row.items()},
    }


def parts_of(task: SequenceTask, step: int) -> tuple[dict[str, float], int]:
    """Milliseconds of each part of a step but the optimiser's, and how many targets it has."""
    ms: dict[str, float] = {}
    (examples, negatives), ms["preparation"] = cpu_ms(lambda: task.batch(step))
    network = task.network
    vectors, ms["vectors"] = cpu_ms(lambda: network.items(network.asked(examples, negatives.items)))
    looked_up = vectors.detach().requires_grad_()
    (states, own, others), ms["model"] = cpu_ms(lambda: network.read(examples, looked_up))
    compared = [part.detach().requires_grad_() for part in (states, own, others)]
    loss, ms["loss"] = cpu_ms(
        lambda: sequence_loss(
            task.training, compared[0], examples.targets, compared[1], negatives, compared[2], total=len(own)
        )
    )
    _, back = cpu_ms(lambda: loss.backward())
    ms["loss"] += back
    _, back = cpu_ms(lambda: torch.autograd.backward([states, own, others], [part.grad for part in compared]))
    ms["model"] += back
    _, back = cpu_ms(lambda: vectors.backward(looked_up.grad))
    ms["vectors"] += back
    return ms, len(examples.targets)


def main(argv: Sequence[str]) -> None:
    """Profile all and keep the rows."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {NAME}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    problem = walk.PROBLEMS[walk.BEAUTY](arguments.data, lambda _graph: None)
    rows = [profile(problem, model, parts) for model, parts in PROFILED]
    record(NAME, rows, data=problem.data, threads=1, steps=STEPS, items=len(problem.first.items))
