"""Time and memory of `recall.fit` on generated interactions, a process of its own for each channel.

python -m benchmarks fit [--rows 1000000] [--channels rp3beta ease lightgcn]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import recall
from benchmarks.results import FOLDER, commit, record
from recall.ops.summary import peak_memory

CHANNELS = ("popularity", "rp3beta", "item_knn", "ease", "lightgcn")
USER_SHARE, ITEM_SHARE = 25, 100  # interactions a user and an item, on average


def main(argv: Sequence[str]) -> None:
    """Measure one process for each channel."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fit", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--channels", nargs="+", default=CHANNELS, choices=CHANNELS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.only:
        print(json.dumps(measured(arguments.rows, arguments.only)))
        return
    rows = earlier(arguments.rows)
    for channel in arguments.channels:
        command = [sys.executable, "-m", "benchmarks", "fit", "--rows", str(arguments.rows), "--only", channel]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows[channel] = {**json.loads(done.stdout.splitlines()[-1]), "commit": commit()}
        kept = [rows[name] for name in CHANNELS if name in rows]
        record("fit", kept, interactions=arguments.rows)  # what is measured stays, whatever comes


def earlier(count: int) -> dict[str, dict[str, Any]]:
    """What was measured before of as many interactions, by channel, each with the commit that it is of."""
    file = FOLDER / "fit.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if results.get("interactions") != count:
        return {}
    return {row["model"]: {"commit": results["commit"], **row} for row in results["rows"]}


def measured(count: int, channel: str) -> dict[str, Any]:
    """One call on a pandas frame, its stages, and the memory that it took beyond the frame and the libraries."""
    frame = interactions(count)
    before = peak_memory()
    start, worked = time.perf_counter(), time.process_time()
    made = recall.fit(frame, pipeline={"channels": [channel]})
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - worked
    report = made.report
    stages = {} if report is None else report.timings
    return {
        "model": channel,
        "users": len(made.graph.users),
        "items": len(made.graph.items),
        "interactions": len(made.graph.interactions),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # what a machine with other work does not change much
        "fit_seconds": sum(took for name, took in stages.items() if name.startswith(("train", "fit"))),
        "evaluate_seconds": stages.get("evaluate", 0.0),
        "peak_mb": peak_memory() / 1e6,
        "before_mb": before / 1e6,
    }


def interactions(count: int) -> pd.DataFrame:
    """Generated interactions: users alike, items with a long tail, in the order of time."""
    random = np.random.default_rng(0)
    items = max(count // ITEM_SHARE, 1)
    return pd.DataFrame(
        {
            "user_id": random.integers(0, max(count // USER_SHARE, 1), count),
            "item_id": np.minimum((random.pareto(1.1, count) * items / 50).astype(np.int64), items - 1),
            "timestamp": np.sort(random.integers(1_500_000_000, 1_600_000_000, count)),
        }
    )
