"""Sequence models on Beauty and Toys: leave-one-out, all items ranked.

As in `walk`: fitted on the training part alone; the number of steps is chosen on validation (NDCG@20); the request of
the test has the validation item in its history; test is read once. "known targets" leaves out the users whose item of
the test is in no history of the training, as the published numbers do.

    python -m benchmarks sequences --data DIR [--only beauty|toys ...] [--model sasrec ...] [--parts id text knowledge]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import walk
from benchmarks.results import FOLDER, record
from gnn.evaluation.metrics import Values, bootstrap_interval, per_user_metrics
from gnn.sequence.settings import ItemPart, SequenceTraining
from gnn.training.context import RunContext
from kg import KnowledgeGraph
from kg.io.files import read_json
from recall.channels import (
    BERT4RecChannel,
    BERT4RecChannelConfig,
    GRU4RecChannel,
    GRU4RecChannelConfig,
    NARMChannel,
    NARMChannelConfig,
    SASRecChannel,
    SASRecChannelConfig,
)
from recall.channels.base import item_likes
from recall.channels.sequence import SequenceChannel
from recall.contracts import FitData, Query

NAME = "sequences"
_BLOCK = 4096  # users who are asked at a time
TRAINING = SequenceTraining(learning_rate=0.003, patience=10, eval_every=250, max_steps=12_000)
MODELS: Mapping[str, tuple[type[SequenceChannel], Any]] = {
    "sasrec": (SASRecChannel, SASRecChannelConfig(blocks=1, training=TRAINING)),
    "bert4rec": (BERT4RecChannel, BERT4RecChannelConfig(training=TRAINING)),
    "narm": (NARMChannel, NARMChannelConfig(training=TRAINING)),
    "gru4rec": (GRU4RecChannel, GRU4RecChannelConfig(training=TRAINING)),
}
SETS = (walk.BEAUTY, walk.TOYS)


def fitted(problem: walk.Problem, model: str, parts: Sequence[ItemPart], *, steps: int, seed: int) -> SequenceChannel:
    """A trained channel, its steps chosen on validation."""
    kind, config = MODELS[model]
    training = config.training.changed(max_steps=steps, eval_every=min(config.training.eval_every, steps))
    data = FitData.of(
        problem.first,
        features=problem.features,
        validation=problem.chosen_on,
        context=RunContext(device="cpu", seed=seed, on_validation=lambda log: print(model, log[-1], flush=True)),
    )
    return kind(config.changed(item_parts=tuple(parts), training=training)).fit(data)


def last_item(problem: walk.Problem, channel: SequenceChannel) -> dict[str, Values]:
    """The metrics of the test part, a value for each user; the served index ranks all items."""
    group = problem.test
    if problem.later is None:
        raise ValueError(f"{problem.name} is not split by leaving the last item out")
    queries = replace(Query.of_users(group.user, problem.final.users), history=problem.later)
    ranked = [
        channel.score(block).top(problem.k, exclude=group.seen.take(np.arange(rows.start, rows.stop))).items
        for rows, block in queries.blocks(_BLOCK)
    ]
    values = per_user_metrics(np.concatenate(ranked), group.truth, problem.k)
    return {metric: values[metric.partition("@")[0]] for metric in problem.metrics}


def row_of(problem: walk.Problem, values: Sequence[Mapping[str, Values]]) -> dict[str, Any]:
    """Means over seeds of each user's values, with intervals over users, for all users and for known targets."""
    known = item_likes(FitData.of(problem.first).history)[problem.test.truth.values] > 0
    row: dict[str, Any] = {"data": problem.name, "k": problem.k, "users": len(problem.test), "seeds": len(values)}
    for metric in problem.metrics:
        mean = np.mean([of_seed[metric] for of_seed in values], axis=0)
        row[metric] = float(mean.mean())
        row[f"{metric} interval"] = list(bootstrap_interval(mean))
        row[f"{metric} known targets"] = float(mean[known].mean())
    return {**row, "known targets": int(known.sum())}


def keep(row: Mapping[str, Any], sums: Mapping[str, str]) -> None:
    """Add a row to the file, in place of an earlier one of the same data, model and parts."""
    file = FOLDER / f"{NAME}.json"
    kept = read_json(file) if file.exists() else {"rows": [], "data": {}}
    same = ("data", "model", "parts")
    rows = [old for old in kept["rows"] if [old[key] for key in same] != [row[key] for key in same]]
    rows = sorted([*rows, row], key=lambda each: [str(each[key]) for key in same])
    record(NAME, rows, data={**kept["data"], **sums}, notes=(__doc__ or "").strip())


def main(argv: Sequence[str]) -> None:
    """Train, measure and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sequences", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--only", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--parts", nargs="*", choices=["id", "text", "knowledge"], default=["id"])
    parser.add_argument("--steps", type=int, default=TRAINING.max_steps, help="of a training, at most")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args(argv)
    features = walk.encoded if "text" in arguments.parts else _without
    for name in arguments.only:
        problem = walk.sequences(name, arguments.data, features)
        for model in arguments.model:
            began = time.perf_counter()
            channels = [
                fitted(problem, model, arguments.parts, steps=arguments.steps, seed=seed)
                for seed in range(arguments.seeds)
            ]
            seconds = (time.perf_counter() - began) / arguments.seeds
            row = row_of(problem, [last_item(problem, channel) for channel in channels])
            row |= {
                "model": model,
                "parts": " + ".join(arguments.parts),
                "steps": [channel.recipe["steps"] for channel in channels],
                "seconds a training": round(seconds, 1),
                "settings": channels[0].config.model_dump(mode="json"),
            }
            keep(row, problem.data)


def _without(_graph: KnowledgeGraph) -> None:
    return None
