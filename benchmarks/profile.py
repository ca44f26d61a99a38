"""Where a training step on gowalla spends its time: milliseconds of the processor on one thread, part by part.

    python -m benchmarks profile --data DIR

The parts of the tuned recipe's step, and of one of 32,768 random pairs against 2,048 negatives, are run one after the
other on the same state, the median of some rounds counts. Milliseconds are the processor's own count, so that other
work on the machine does not change them. Evaluation ranks all items for all users with something to find on validation,
and for all users.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gowalla_data import checksums, load, split
from benchmarks.recipes import GOWALLA
from benchmarks.results import record
from gnn.evaluation.ranking import top_items
from gnn.evaluation.validation import Validation
from gnn.graph.encoder import WholeEncoded
from gnn.graph.fit import schedule_of
from gnn.graph.job import TrainingJob
from gnn.graph.tasks import make_task
from gnn.sampling import Stream
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from gnn.training.trainer import Trainer
from kg import KnowledgeGraph, Split

ROUNDS = 5
RANDOM_PAIRS = TrainingConfig(batch_size=32_768, negatives=2048, negative_power=1.0, temperature=0.12, cold_weight=0.0)


def cpu_ms(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives, and what it takes of the processor, all threads."""
    start = time.process_time()
    result = work()
    return result, 1e3 * (time.process_time() - start)


def profile(graph: KnowledgeGraph, parts: Split, name: str, training: TrainingConfig) -> dict[str, Any]:
    """One row: the parts of a step and of a validation."""
    validation = Validation(truth=parts.positives(graph, "valid"), seen=parts.seen(graph, "train"))
    job = TrainingJob(
        graph=parts.view(graph, "train"), model=GOWALLA.model, training=training, validation=validation, device="cpu"
    )
    context = RunContext(device="cpu")
    task = make_task(job, context)
    optimizer = Trainer(task, schedule_of(job), context).optimizer
    rounds: dict[str, list[float]] = {}
    for step in range(ROUNDS + 1):
        optimizer.zero_grad(set_to_none=True)
        ms: dict[str, float] = {}
        edges, ms["sampling"] = cpu_ms(lambda step=step: task.batches(step))
        users, items = task.pair_users[edges].long(), task.pair_items[edges].long()
        encoded, ms["products"] = cpu_ms(lambda: task.encoder())
        final = encoded.final.detach().requires_grad_()
        passed = WholeEncoded(final, encoded.base.detach())
        loss, ms["loss"] = cpu_ms(
            lambda passed=passed, users=users, items=items, step=step: task.objective(
                passed, users, items, cold=task.cold, step=step, stream=Stream.NEGATIVES
            )
        )
        _, back = cpu_ms(lambda loss=loss: loss.backward())
        ms["loss"] += back
        _, back = cpu_ms(lambda encoded=encoded, final=final: encoded.final.backward(final.grad))
        ms["products"] += back
        _, ms["optimiser"] = cpu_ms(optimizer.step)
        for part, value in ms.items():
            rounds.setdefault(part, []).append(value)
    row = {f"{part}_ms": round(float(np.median(values[1:])), 1) for part, values in rounds.items()}
    row["step_ms"] = round(sum(row.values()), 1)
    with torch.no_grad():
        final = task.encoder().final
    _, row["validation_ms"] = cpu_ms(task.validate)
    everyone, everything = final[task.users].detach(), final[task.items].detach()
    seen = parts.seen(graph, "train")
    _, row["all_users_ms"] = cpu_ms(lambda: top_items(everyone, everything, 20, seen=seen))
    return {
        "model": name,
        "pairs": len(users),
        "negatives": training.negatives,
        **{part: round(value, 1) for part, value in row.items()},
    }


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gowalla/")
    data = parser.parse_args(argv).data
    torch.set_num_threads(1)
    graph = load(data / "gowalla")
    parts = split(graph)
    rows = [
        profile(graph, parts, "tuned recipe", GOWALLA.training),
        profile(graph, parts, "random pairs", RANDOM_PAIRS),
    ]
    record("profile", rows, data=checksums(data / "gowalla"), threads=1, users=len(graph.users), items=len(graph.items))
