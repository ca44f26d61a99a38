"""Users a second of a batch: a plain loop, the same in blocks, processes of this machine, Ray, Spark.

python -m benchmarks batch [--rows 500000] [--users 20000] [--engines local ray spark]

The run is `recall.fit` on generated interactions with one channel that trains nothing, so that what differs is how
users reach it. The time of a batch that one user is in, the start of the engine and the loading of the run, is taken
apart.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
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
ENGINES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "local": (("processes, 1", {"workers": 1}), ("processes, 2", {"workers": 2})),
    "ray": (("Ray, 2 tasks", {"engine": "ray", "workers": 2}),),
    "spark": (("Spark, 2 tasks", {"engine": "spark", "cluster": "local[2,4]"}),),
}
PACKAGES = {"ray": "ray", "spark": "pyspark"}


def main(argv: Sequence[str]) -> None:
    """Measure every way to the same candidates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=1_000)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
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

    nothing = (0.0, 0.0)  # the run is loaded
    rows = [
        row("loop over users", min(LOOPED, len(users)), nothing, loop, waited=True),
        row("loop over blocks", len(users), nothing, blocks, waited=True),
    ]
    outputs = []
    for name, settings in ways(arguments.engines):
        common = {"options": options, "part_queries": arguments.part, **settings}
        place = folder / f"out-{len(outputs)}"
        clock = Clock()
        run_batch(run.path, folder / "one.parquet", folder / f"start-{len(outputs)}", **common)
        start = clock.read()

        def batch(place: Path = place, common: dict[str, Any] = common) -> int:
            return run_batch(run.path, folder / "users.parquet", place, **common).candidates

        rows.append(row(name, len(users), start, batch, waited="engine" not in settings))
        outputs.append(place)
    for place in outputs[1:]:
        if not pq.read_table(place).equals(pq.read_table(outputs[0])):
            raise AssertionError(f"the candidates in {place} are not those in {outputs[0]}")
    size = sum(file.stat().st_size for file in outputs[0].glob("*.parquet"))
    return rows, {"items": len(made.graph.items), "users": len(users), "bytes_per_user": size / len(users)}


def ways(engines: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and arguments of the batches; engines that are not installed are left out."""
    for engine in engines:
        if engine in PACKAGES and find_spec(PACKAGES[engine]) is None:
            print(f"{engine} is not installed and left out")
            continue
        yield from ENGINES[engine]


class Clock:
    """Measures calls: seconds, and those of the processor, of this process and of those that it waited for.

    What the processor works is little changed by what else the machine does. Of engines whose processes are not waited
    for it is not known.
    """

    def __init__(self) -> None:
        self._begin, self._worked = time.perf_counter(), self._processor()

    def read(self) -> tuple[float, float]:
        """Seconds, and seconds of the processor, since it was made."""
        return time.perf_counter() - self._begin, self._processor() - self._worked

    @staticmethod
    def _processor() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def row(name: str, users: int, start: tuple[float, float], answer: Callable[[], int], waited: bool) -> dict[str, Any]:
    """What answering users takes, beyond the start.

    Args:
        name: of the way.
        users: how many.
        start: seconds, and those of the processor, until the first user is answered.
        answer: answers all, and says how many candidates they get.
        waited: whether the processor's seconds are known.
    """
    clock = Clock()
    candidates = answer()
    seconds, processor = clock.read()
    made = {
        "model": name,
        "users": users,
        "candidates": candidates,
        "seconds": seconds,
        "start_seconds": start[0],
        "users_per_second": users / beyond(seconds, start[0]),
    }
    if waited:
        made |= {"start_cpu_seconds": start[1], "users_per_cpu_second": users / beyond(processor, start[1])}
    return made


def beyond(seconds: float, start: float) -> float:
    """What is left without the start. The second start may be faster than the first, so it is never less than half."""
    return max(seconds - start, seconds / 2)
