"""Time and memory of a refresh over the size of the data, stage by stage: generated power-law interactions and triples.

    python -m benchmarks scaling [--interactions 1000000 10000000 50000000] [--memory 14] [--minutes 25]

There are as many triples as interactions up to a million, half as many beyond. They are read from N-Triples and
Parquet, and `refresh` makes a run with the usual settings but for `STEPS` steps of training, each of which takes
`step_seconds`, and `TRIALS` trials of the walk. Each size is a process of its own on one thread, which ends when it
needs more memory or processor time than it may: its row then says in which stage. Rows of other sizes stay. Seconds are
those of the processor, which do not depend on what else the machine does; the embedded store is built in a process of
its own, whose time is not in them. The peak of a stage is all that the process ever held in it (VmHWM), libraries
included.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.generated import (
    INTERACTIONS_A_USER,
    INTERACTIONS_AN_ITEM,
    RELATIONS,
    entities,
    power_law_pairs,
    power_law_triples,
)
from benchmarks.results import FOLDER, record
from kg.io.files import read_json, write_json
from kg.processes.job import JobDiedError, run_job
from kg.processes.limits import limit_seconds
from kg.progress import SILENT, Progress, Task
from recall.jobs import runner
from recall.ops.logs import FIELDS
from recall.ops.summary import peak_memory

NAME, MILLION = "scaling", 1_000_000
STEPS, TRIALS = 20, 4
LINES = 1 << 20
TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
HOME = "https://example.org/"
CONFIG = f"""\
[graph]
user = "user"
item = "item"

[graph.nodes.item]
rdf_class = "{HOME}Item"
key = "{HOME}item/{{id}}"

[[sources.rdf]]
files = ["triples.nt"]

[[sources.interactions]]
relation = "liked"
files = ["interactions.parquet"]
columns = {{ user = "user", item = "item", timestamp = "timestamp" }}

[channels.lightgcn.training]
max_steps = {STEPS}

[channels.walk]
trials = {TRIALS}

[runs]
folder = "runs"
"""
CLEAR, RESET_PEAK = Path("/proc/self/clear_refs"), "5"
MEASURED = "measured.json"
PUBLISH = "check and publish"
TRAINING_TASK = "training lightgcn for {}"
SERVING = "train lightgcn for serving"
PARTS = {
    "lightgcn": ("train lightgcn for evaluation", SERVING),
    "walk": ("fit channels for evaluation", "fit channels for serving"),
    "weigh": ("weigh channels",),
    "evaluate": ("evaluate",),
    "publish": (PUBLISH,),
}


def write_sources(folder: str, interactions: int, triples: int, progress: Progress = SILENT) -> Iterator[bytes]:
    """Write configuration, interactions and triples; yields the number of users and items as JSON."""
    users, items = interactions // INTERACTIONS_A_USER, interactions // INTERACTIONS_AN_ITEM
    place = Path(folder)
    (place / "config.toml").write_text(CONFIG, encoding="utf-8")
    user, item = power_law_pairs(interactions, users, items)
    time_of = np.random.default_rng(2).permutation(interactions)
    schema = pa.schema([("user", pa.string()), ("item", pa.string()), ("timestamp", pa.int64())])
    with pq.ParquetWriter(place / "interactions.parquet", schema) as writer:
        for rows in _blocks(interactions):
            columns = [pa.array(ends[rows]).cast(pa.string()) for ends in (user, item)]
            writer.write_table(pa.table([*columns, time_of[rows]], schema=schema))
    with (place / "triples.nt").open("wb") as out:
        _write_types(out, "item", "Item", items)
        for name, (source, target) in power_law_triples(triples, items).items():
            _write_types(out, name, name.title(), entities(items, RELATIONS[name]))
            for rows in _blocks(len(source)):
                ends = [pa.array(part[rows]).cast(pa.string()) for part in (source, target)]
                lines = pc.binary_join_element_wise(
                    f"<{HOME}item/", ends[0], f"> <{HOME}{name}> <{HOME}{name}/", ends[1], "> .\n", ""
                )
                out.write("".join(lines.to_pylist()).encode())
    yield json.dumps({"users": users, "items": items}).encode()


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + LINES, count)) for start in range(0, count, LINES))


def _write_types(out: Any, name: str, kind: str, count: int) -> None:
    for rows in _blocks(count):
        numbers = range(rows.start, rows.stop)
        out.write("".join(f"<{HOME}{name}/{number}> {TYPE} <{HOME}{kind}> .\n" for number in numbers).encode())


class Stopwatch(logging.Handler):
    """Notes of each stage and each task of a refresh what it took, in a file that is there whatever becomes of it.

    A stage ends where the runner of the stages logs it; a task is one of the listener's.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._stage = (time.process_time(), time.perf_counter())
        self._peak = 0
        self.measured: dict[str, Any] = {"stages": {}, "tasks": {}, "steps": [], "at": "", "peak": 0}
        self._write()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        facts = getattr(record, FIELDS, {})
        if facts.get("event") == runner.STAGE_DONE:
            self.end_stage(facts["stage"])

    def end_stage(self, name: str) -> None:
        """Note a stage that began where the one before ended."""
        cpu, wall = time.process_time(), time.perf_counter()
        peak = max(self._peak, peak_memory())
        self.measured["stages"][name] = {"seconds": cpu - self._stage[0], "wall": wall - self._stage[1], "peak": peak}
        self.measured["peak"] = max(self.measured["peak"], peak)
        self._stage, self._peak = (cpu, wall), 0
        CLEAR.write_text(RESET_PEAK)
        self._write()

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        """See `kg.progress.Progress`."""
        began = time.process_time()
        self.measured["at"] = description
        self._write()
        try:
            yield _Steps(self.measured["steps"] if description == TRAINING_TASK.format("evaluation") else [])
        finally:
            tasks = self.measured["tasks"]
            tasks[description] = tasks.get(description, 0.0) + time.process_time() - began

    def _write(self) -> None:
        write_json(self._path, self.measured)


class _Steps:
    """Notes when each step of a training ended."""

    def __init__(self, ends: list[float]) -> None:
        self._ends = ends

    def advance(self, steps: int = 1) -> None:
        if steps:
            self._ends.append(time.process_time())

    def note(self, text: str) -> None:
        pass


def make_run(folder: str, minutes: float, progress: Progress = SILENT) -> Iterator[bytes]:
    """Refresh the deployment of a folder; yields nothing, what was measured is in a file there."""
    from recall.config.deployment import load_config
    from recall.jobs.refresh import refresh

    limit_seconds(60 * minutes)
    watch = Stopwatch(Path(folder) / MEASURED)
    log = logging.getLogger(runner.__name__)
    log.setLevel(logging.INFO)
    log.addHandler(watch)
    refresh(load_config(Path(folder) / "config.toml"), progress=watch)
    watch.end_stage(PUBLISH)
    yield b""


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Seconds and peaks of a refresh, as far as it came."""
    stages, tasks = measured["stages"], measured["tasks"]
    seconds = {name: stage["seconds"] for name, stage in stages.items()}
    parts = {"read": sum(taken for name, taken in tasks.items() if name.startswith("reading "))}
    if "build" in seconds:
        parts["map"] = seconds["build"] - parts["read"]
    for part, names in PARTS.items():
        if ended := [seconds[name] for name in names if name in seconds]:
            parts[part] = sum(ended)
    if (whole := seconds.get(SERVING)) is not None:
        # What is left beside the training: the vectors of all nodes, the index, the files.
        parts["index"] = whole - tasks[TRAINING_TASK.format("serving")]
    steps = np.diff(measured["steps"])
    row = {f"{part}_seconds": round(taken, 1) for part, taken in parts.items()}
    if len(steps):
        row["step_seconds"] = round(float(np.median(steps)), 3)
    return row | {
        "processor_seconds": round(sum(seconds.values()), 1),
        "wall_seconds": round(sum(stage["wall"] for stage in stages.values()), 1),
        "peak_gib": round(measured["peak"] / 2**30, 2),
        "stages": {
            name: {"seconds": round(stage["seconds"], 1), "peak_gib": round(stage["peak"] / 2**30, 2)}
            for name, stage in stages.items()
        },
    }


def run(interactions: int, triples: int, memory: float, minutes: float) -> dict[str, Any]:
    """Measure one size."""
    row: dict[str, Any] = {
        "model": f"{interactions:,} interactions, {triples:,} triples",
        "interactions": interactions,
        "triples": triples,
    }
    with tempfile.TemporaryDirectory() as folder:
        (counts,) = run_job(
            f"{__name__}:write_sources", {"folder": folder, "interactions": interactions, "triples": triples}
        )
        row |= json.loads(counts)
        try:
            list(run_job(f"{__name__}:make_run", {"folder": folder, "minutes": minutes}, memory=int(memory * 2**30)))
            row["ended"] = "published"
        except JobDiedError as error:
            row["ended"] = str(error)
        measured = read_json(Path(folder) / MEASURED)
    if row["ended"] != "published":
        row["in"] = measured["at"]  # the task that it was in
    return row | summary(measured)


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=int, nargs="+", default=[1_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--memory", type=float, default=14, help="GiB that no refresh may exceed")
    parser.add_argument("--minutes", type=float, default=25, help="of the processor that no refresh may exceed")
    arguments = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    file = FOLDER / f"{NAME}.json"
    kept = read_json(file) if file.exists() else {"rows": [], "stages": {}}
    rows, stages = kept["rows"], kept["stages"]
    for interactions in arguments.interactions:
        row = run(interactions, triples_of(interactions), arguments.memory, arguments.minutes)
        print(row, flush=True)
        stages[row["model"]] = row.pop("stages")
        row |= {"memory_gib": arguments.memory, "processor_minutes": arguments.minutes}
        rows = sorted([old for old in rows if old["model"] != row["model"]] + [row], key=itemgetter("interactions"))
        record(NAME, rows, steps=STEPS, trials=TRIALS, stages=stages)


def triples_of(interactions: int) -> int:
    """How many triples stand beside so many interactions."""
    return interactions if interactions <= MILLION else interactions // 2
