"""Time and memory of the typed walk over the size of the graph: generated interactions and triples with power laws.

    python -m benchmarks walk_scaling [--interactions 1000000 5000000 20000000] [--trials-up-to 5000000] [--memory 20]

There are half as many triples as interactions (as many at the first size), of three relations: one with a hub that a
tenth of the triples name. Each size is a process of its own, on one thread. Fit: the operators under the default
settings, as a refresh makes them again for serving; trials: the search for settings and weights on 1,000 validation
users. The peak is all that the process ever held (VmHWM) over what it held before the fit. Serving: a thousand users in
one batch, and one user at a time. All times but `fit_seconds` are the processor's: other work on the machine does not
change them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.generated import (
    INTERACTIONS_A_USER,
    INTERACTIONS_AN_ITEM,
    RELATIONS,
    entities,
    power_law_pairs,
    power_law_triples,
)
from benchmarks.results import record
from kg.processes.job import run_job
from kg.progress import SILENT, Progress
from recall.ops.summary import peak_memory

ASKED, ALONE = 1000, 200
TRIALS = 8


def generate(interactions: int, triples: int) -> Any:
    """A graph whose users, items and entities follow power laws, and the same without the last like of each user."""
    from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
    from kg.schema import Event

    users, items = interactions // INTERACTIONS_A_USER, interactions // INTERACTIONS_AN_ITEM
    user, item = power_law_pairs(interactions, users, items)
    likes = RelationKey("user", "likes", "item")
    edges = {likes: table(user, item, timestamp=np.random.default_rng(2).permutation(interactions))}
    nodes = {"user": ids("u", users), "item": ids("i", items)}
    relations = [Relation(key=likes, event=Event())]
    for name, (source, target) in power_law_triples(triples, items).items():
        key = RelationKey("item", name, f"{name}_node")
        nodes[key.target] = ids(name, entities(items, RELATIONS[name]))
        edges[key] = table(source, target)
        relations.append(Relation(key=key))
    schema = Schema(
        node_types={name: NodeType(name=name) for name in nodes},
        relations={relation.key: relation for relation in relations},
        user_type="user",
        item_type="item",
        interaction=likes,
    )
    return KnowledgeGraph(schema, nodes, edges)


def ids(prefix: str, count: int) -> Any:
    return pa.table({"id": pa.array([f"{prefix}{number:09d}" for number in range(count)])})


def table(source: Any, target: Any, **columns: Any) -> Any:
    return pa.table({"src": source, "dst": target, **columns})


def measure(interactions: int, triples: int, trials: int, progress: Progress = SILENT) -> Iterator[bytes]:
    """One size, with so many trials or none; yields a row as JSON."""
    from gnn.evaluation.validation import Validation
    from kg import SplitConfig, split_interactions
    from recall.channels.walk import Walk, WalkConfig
    from recall.contracts import FitData, Query
    from recall.pipeline import Pipeline

    graph = generate(interactions, triples)
    split = split_interactions(graph, SplitConfig(kind="leave_last_out"))
    view = split.view(graph, "train")
    data = FitData.of(view)
    facts: dict[str, Any] = {
        "model": f"{interactions:,} interactions, {triples:,} triples",
        "interactions": interactions,
        "triples": triples,
        "users": len(graph.users),
        "items": len(graph.items),
    }
    before, start, cpu = peak_memory(), time.perf_counter(), time.process_time()
    walk = Walk().fit(data)
    facts |= {
        "fit_seconds": round(time.perf_counter() - start, 1),
        "fit_processor_seconds": round(time.process_time() - cpu, 1),
        "fit_gib": round((peak_memory() - before) / 2**30, 2),
        "process_gib": round(peak_memory() / 2**30, 2),
    }
    pipeline = Pipeline([walk], data.history)
    users = np.sort(np.random.default_rng(1).permutation(len(graph.users))[:ASKED])
    start = time.process_time()
    pipeline.recommend(Query.of_users(users, graph.users), k=100)
    facts["users_a_second"] = round(ASKED / (time.process_time() - start))
    seconds = []
    for user in users[:ALONE]:
        start = time.process_time()
        pipeline.recommend(Query.of_users(np.array([user]), graph.users), k=20)
        seconds.append(time.process_time() - start)
    facts |= {f"p{at}_ms": round(1e3 * float(np.percentile(seconds, at)), 2) for at in (50, 99)}
    if not trials:
        yield json.dumps(facts).encode()
        return
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
    start = time.process_time()
    config = WalkConfig(trials=trials, trial_users=1000)
    Walk(config).fit(FitData(graph=view, history=data.history, validation=validation))
    facts["trials"], facts["trials_processor_seconds"] = trials, round(time.process_time() - start, 1)
    facts["with_trials_gib"] = round((peak_memory() - before) / 2**30, 2)
    yield json.dumps(facts).encode()


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks walk_scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--memory", type=float, default=20, help="GiB that a process may take beside the libraries")
    parser.add_argument(
        "--trials-up-to", type=int, default=5_000_000, help="interactions up to which weights are found"
    )
    arguments = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[dict[str, Any]] = []
    for number, interactions in enumerate(arguments.interactions):
        size = {"interactions": interactions, "triples": interactions // (2 if number else 1)}
        size["trials"] = TRIALS if interactions <= arguments.trials_up_to else 0
        (measured,) = run_job(f"{__name__}:measure", size, memory=int(arguments.memory * 2**30))
        row = json.loads(measured)
        if rows:
            before = rows[-1]
            ratio = math.log(row["fit_processor_seconds"] / before["fit_processor_seconds"])
            row["slope"] = round(ratio / math.log(interactions / before["interactions"]), 2)
        rows.append(row)
        print(row, flush=True)
        record("walk_scaling", rows, memory_gib=arguments.memory)
