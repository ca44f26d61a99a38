"""Time and memory of the typed walk over the size of the graph: generated interactions and triples with power laws.

    python -m benchmarks walk_scaling [--interactions 1000000 5000000 20000000] [--memory 20]

There are half as many triples as interactions (as many at the first size), of three relations: one with a hub that a
tenth of the items share. Each size is a process of its own, on one thread. Fit: the operators under the default
settings, as a refresh makes them again for serving; trials: the search for settings and weights on 1,000 validation
users. The peak is all that the process ever held (VmHWM) over what it held before the fit. Serving: a thousand users in
one batch, and one user at a time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.results import record
from recall.ops.summary import peak_memory

INTERACTIONS_A_USER, INTERACTIONS_AN_ITEM = 25, 60
ASKED, ALONE = 1000, 200
RELATIONS = {"made_by": 8, "in_genre": 2000, "part_of": 40}  # items an entity, about


def generate(interactions: int, triples: int) -> Any:
    """A graph whose users, items and entities follow power laws, and the same without the last like of each user."""
    from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
    from kg.schema import Event

    random = np.random.default_rng(0)
    users, items = interactions // INTERACTIONS_A_USER, interactions // INTERACTIONS_AN_ITEM
    pairs = np.unique(
        (users * random.random(interactions * 6 // 5) ** 1.5).astype(np.int64) * items
        + (items * random.random(interactions * 6 // 5) ** 2).astype(np.int64)
    )
    pairs = pairs[np.sort(random.permutation(len(pairs))[:interactions])]
    likes = RelationKey("user", "likes", "item")
    edges = {likes: table(pairs // items, pairs % items, timestamp=random.permutation(len(pairs)))}
    nodes = {"user": ids("u", users), "item": ids("i", items)}
    relations = [Relation(key=likes, event=Event())]
    for name, shared in RELATIONS.items():
        count = max(items // shared, 2)
        number = triples // len(RELATIONS)
        entity = (count * random.random(number) ** 2).astype(np.int64)
        entity[: number // 10] = 0  # a hub
        joined = np.unique(random.integers(0, items, number) * count + entity)
        key = RelationKey("item", name, f"{name}_node")
        nodes[key.target] = ids(name, count)
        edges[key] = table(joined // count, joined % count)
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
    order = np.lexsort((target, source))
    return pa.table({"src": source[order], "dst": target[order], **{k: v[order] for k, v in columns.items()}})


def measure(interactions: int, triples: int) -> dict[str, Any]:
    """One size."""
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
    start = time.perf_counter()
    pipeline.recommend(Query.of_users(users, graph.users), k=100)
    facts["users_a_second"] = round(ASKED / (time.perf_counter() - start))
    seconds = []
    for user in users[:ALONE]:
        start = time.perf_counter()
        pipeline.recommend(Query.of_users(np.array([user]), graph.users), k=20)
        seconds.append(time.perf_counter() - start)
    facts |= {f"p{at}_ms": round(1e3 * float(np.percentile(seconds, at)), 2) for at in (50, 99)}
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
    start = time.perf_counter()
    config = WalkConfig(trials=8, trial_users=1000)
    Walk(config).fit(FitData(graph=view, history=data.history, validation=validation))
    facts["eight_trials_seconds"] = round(time.perf_counter() - start, 1)
    facts["with_trials_gib"] = round((peak_memory() - before) / 2**30, 2)
    return facts


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks walk_scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--memory", type=float, default=20, help="GiB that no process may exceed")
    parser.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        resource.setrlimit(resource.RLIMIT_DATA, (int(arguments.memory * 2**30),) * 2)
        print(json.dumps(measure(*arguments.one)))
        return
    rows: list[dict[str, Any]] = []
    for number, interactions in enumerate(arguments.interactions):
        triples = interactions // (2 if number else 1)
        command = [sys.executable, "-m", "benchmarks.walk_scaling", "--one", str(interactions), str(triples)]
        done = subprocess.run(
            [*command, "--memory", str(arguments.memory)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode:
            raise SystemExit(f"{interactions:,} interactions failed: {done.stderr.strip().splitlines()[-1:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        if rows:
            before = rows[-1]
            ratio = math.log(row["fit_processor_seconds"] / before["fit_processor_seconds"])
            row["slope"] = round(ratio / math.log(interactions / before["interactions"]), 2)
        rows.append(row)
        print(row, flush=True)
    record("walk_scaling", rows, memory_gib=arguments.memory)


if __name__ == "__main__":
    main(sys.argv[1:])
