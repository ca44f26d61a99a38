"""Latency of a published run, one request at a time, as a process that serves would see it.

python -m benchmarks serving [--run runs/current] [--requests 2000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import record
from recall import Recommender


def main(argv: Sequence[str]) -> None:
    """Measure recommend, similar and explain on a run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving", description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/current"))
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    rec = Recommender.load(arguments.run)
    loaded = time.perf_counter() - start
    random = np.random.default_rng(0)
    users = [rec.graph.users.ids[int(n)].as_py() for n in random.integers(0, len(rec.graph.users), arguments.requests)]
    top = {user: rec.recommend([user], k=1, on_unknown="popular").table["item_id"][0].as_py() for user in set(users)}
    history = list(top.values())[:3]
    rows = [
        latency("recommend, one user, k = 20", users, lambda user: rec.recommend([user], k=20)),
        latency("recommend_for, three liked items", users[:500], lambda _: rec.recommend_for(history=history, k=20)),
        latency("similar, one item, k = 10", users[:500], lambda user: rec.similar([top[user]], k=10)),
        latency("explain, one pair, best candidate", users[:1000], lambda user: rec.explain([(user, top[user])])),
    ]
    start = time.perf_counter()
    everybody = rec.recommend_all(k=100)
    seconds = time.perf_counter() - start
    rows.append(
        {
            "request": "recommend_all, k = 100",
            "requests": len(rec.graph.users),
            "users_per_second": len(rec.graph.users) / seconds,
        }
    )
    record("serving", rows, load_seconds=round(loaded, 3), candidates=len(everybody), graph=rec.graph.counts())


def latency(name: str, arguments: Sequence[str], call: Callable[[str], Any]) -> dict[str, Any]:
    """Milliseconds of each call after a warm-up."""
    for argument in arguments[:20]:
        call(argument)
    taken = np.empty(len(arguments))
    for place, argument in enumerate(arguments):
        start = time.perf_counter()
        call(argument)
        taken[place] = (time.perf_counter() - start) * 1000
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    return {"request": name, "requests": len(arguments), "p50_ms": float(p50), "p99_ms": float(p99)}
