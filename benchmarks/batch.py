"""Users a second of a batch: a plain loop, the same in blocks, processes of this machine.

python -m benchmarks batch [--rows 500000] [--users 20000]

The run is `recall.fit` on generated interactions with one channel that trains nothing, so that what differs is how
users reach it. The time of a batch that one user is in, the start of processes and the loading of the run, is taken
apart.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import recall
from benchmarks.fit import interactions
from benchmarks.results import record
from recall.batch.answering import CandidateFunction
from recall.batch.run import run_batch
from recall.serve.questions import RecommendOptions

CHANNEL = "rp3beta"
LOOPED = 500  # users of the plain loop, which is too slow for all of them
PAPER = {"users": 100_000_000, "machines": 50, "cores": 8}
WAYS = (("processes, 1", 1), ("processes, 2", 2))


def main(argv: Sequence[str]) -> None:
    """Measure every way to the same candidates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=1_000)
    parser.add_argument("-k", type=int, default=100)
    arguments = parser.parse_args(argv)
    load = os.getloadavg()[0]  # what else the machine had to do
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = measured(Path(folder), arguments)
    record("batch", rows, channel=CHANNEL, k=arguments.k, part=arguments.part, paper=PAPER, load=load, **facts)


def measured(folder: Path, arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each way, and what is the same for all."""
    made = recall.fit(interactions(arguments.rows), pipeline={"channels": [CHANNEL]})
    run, users = made.save(folder / "run"), made.graph.users.ids.to_pylist()
    users = [users[place % len(users)] for place in range(arguments.users)]
    options = RecommendOptions(k=arguments.k, titles=False)
    function = CandidateFunction.of(run, options)
    rec = function.recommender()
    pq.write_table(pa.table({"user_id": users}), folder / "users.parquet")
    pq.write_table(pa.table({"user_id": users[:1]}), folder / "one.parquet")

    def loop() -> int:
        return sum(len(rec.recommend([user], k=arguments.k)) for user in users[:LOOPED])

    def blocks() -> int:
        queries = pa.table({"user_id": users}).combine_chunks().to_batches()
        return sum(batch.num_rows for batch in function(queries))

    rows = [
        row("loop over users", min(LOOPED, len(users)), 0.0, loop),
        row("loop over blocks", len(users), 0.0, blocks),
    ]
    outputs = []
    for name, workers in WAYS:
        common = {"options": options, "part_queries": arguments.part, "workers": workers}
        place = folder / f"out-{len(outputs)}"
        begin = time.perf_counter()
        run_batch(run.path, folder / "one.parquet", folder / f"start-{len(outputs)}", **common)
        start = time.perf_counter() - begin

        def batch(place: Path = place, common: dict[str, Any] = common) -> int:
            return run_batch(run.path, folder / "users.parquet", place, **common).candidates

        rows.append(row(name, len(users), start, batch))
        outputs.append(place)
    for place in outputs[1:]:
        if not pq.read_table(place).equals(pq.read_table(outputs[0])):
            raise AssertionError(f"the candidates in {place} are not those in {outputs[0]}")
    size = sum(file.stat().st_size for file in outputs[0].glob("*.parquet"))
    return rows, {"items": len(made.graph.items), "users": len(users), "bytes_per_user": size / len(users)}


def row(name: str, users: int, start: float, answer: Callable[[], int]) -> dict[str, Any]:
    """What answering users takes, beyond the start."""
    begin = time.perf_counter()
    candidates = answer()
    seconds = time.perf_counter() - begin
    # A second start may be faster than the first: what is left is never less than half.
    working = max(seconds - start, seconds / 2)
    return {
        "model": name,
        "users": users,
        "candidates": candidates,
        "seconds": seconds,
        "start_seconds": start,
        "users_per_second": users / working,
    }
