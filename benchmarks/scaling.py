"""Memory and time over the size of the graph: generated power-law interactions, each phase in a process of its own.

    python -m benchmarks scaling [--edges 1000000 10000000 50000000] [--memory 24]

Build: from a Parquet file of string ids to a saved `KnowledgeGraph`. Train: load it, train a few steps, save
the vectors. Serve: load graph and vectors, build the adjacency and the index, recommend for a thousand users. The peak
of a phase is all that its process ever held (VmHWM) less what it held after its imports. A step has always the same
number of pairs, so that what grows is the propagation over the graph; its slope is that of the logarithm of the step's
seconds over that of the edges, between neighbouring sizes. Seconds of a step are those of the processor, on one thread:
they do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results import record
from recall.ops.summary import peak_memory

EDGES_A_USER, EDGES_AN_ITEM = 25, 100
DIM, LAYERS, STEPS = 64, 2, 6
ASKED = 1000


def generate(folder: Path, edges: int) -> None:
    """Distinct pairs whose ends follow power laws: few users and items have most of the interactions."""
    random = np.random.default_rng(0)
    users, items = edges // EDGES_A_USER, edges // EDGES_AN_ITEM
    keys = np.zeros(0, dtype=np.int64)
    while len(keys) < edges:
        missing = (edges - len(keys)) * 5 // 4
        user = (users * random.random(missing) ** 1.5).astype(np.int64)
        item = (items * random.random(missing) ** 2).astype(np.int64)
        keys = np.unique(np.concatenate([keys, user * items + item]))
    keys = keys[np.sort(random.permutation(len(keys))[:edges])]
    schema = pa.schema([("user", pa.string()), ("item", pa.string())])
    with pq.ParquetWriter(folder / "edges.parquet", schema) as writer:
        for start in range(0, edges, 1 << 20):
            part = keys[start : start + (1 << 20)]
            columns = [pa.array(part // items).cast(pa.string()), pa.array(part % items).cast(pa.string())]
            writer.write_table(pa.table(columns, schema=schema))


def build(folder: Path, _: int) -> dict[str, float]:
    from ingest import GraphBuilder, GraphSettings
    from kg.io.graph_folder import save_graph

    def work() -> dict[str, float]:
        builder = GraphBuilder(GraphSettings(user="user", item="item"))
        builder.add_interactions(folder / "edges.parquet", columns={"user": "user", "item": "item"})
        graph, _ = builder.build()
        save_graph(graph, folder / "graph")
        return {}

    return measured(work)


class Clock:
    """Records when each step ends: wall-clock time, and processor time."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu: list[float] = []

    def task(self, description: str, *, total: int | None = None) -> Clock:
        return self

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        if steps:
            self.times.append(time.perf_counter())
            self.cpu.append(time.process_time())

    def note(self, text: str) -> None:
        pass


def train(folder: Path, _: int) -> dict[str, float]:
    from gnn.graph.fit import fit
    from gnn.graph.lightgcn import LightGCNConfig
    from gnn.settings import TrainingConfig
    from gnn.training.context import RunContext
    from kg.io.graph_folder import load_graph

    def work() -> dict[str, float]:
        clock = Clock()
        embeddings = fit(
            load_graph(folder / "graph"),
            LightGCNConfig(dim=DIM, layers=LAYERS, relations=()),
            TrainingConfig(batch_size=8192, negatives=1024),
            steps=STEPS,
            context=RunContext(device="cpu", progress=clock),
        )
        embeddings.save(folder / "model")
        # The first step also builds what the others reuse.
        return {"step_seconds": float(np.median(np.diff(clock.cpu)))}

    return measured(work)


def serve(folder: Path, _: int) -> dict[str, float]:
    from gnn.graph.embeddings import Embeddings
    from kg.io.graph_folder import load_graph
    from recall.contracts import Query
    from recall.quality.assess import exact_pipeline

    def work() -> dict[str, float]:
        graph = load_graph(folder / "graph")
        # Vectors of so few steps have no clusters yet, so that no approximate index would reach its target.
        pipeline = exact_pipeline(Embeddings.load(folder / "model"), graph)
        users = np.arange(0, len(graph.users), len(graph.users) // ASKED)[:ASKED]
        start = time.perf_counter()
        batch = pipeline.recommend(Query.of_users(users, graph.users), k=20)
        if len(batch) != 20 * ASKED:
            raise SystemExit(f"{len(batch)} candidates for {ASKED} users")
        return {"ms_a_user": 1e3 * (time.perf_counter() - start) / ASKED}

    return measured(work)


PHASES = {"build": build, "train": train, "serve": serve}


def measured(work: Any) -> dict[str, float]:
    """Seconds, and the peak of this process over what it holds now, in bytes."""
    before = peak_memory()
    start = time.perf_counter()
    facts: dict[str, float] = work()
    return {"seconds": time.perf_counter() - start, "bytes": peak_memory() - before, **facts}


def child(phase: str, folder: Path, edges: int, memory: float) -> dict[str, Any]:
    """A phase in a process of its own, which dies rather than take more memory than it may."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--phase", phase, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--edges", str(edges), "--memory", str(memory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(f"{phase} of {edges:,} edges failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}


def run(sizes: Sequence[int], memory: float) -> list[dict[str, Any]]:
    """Measure all sizes; a row each."""
    rows: list[dict[str, Any]] = []
    for edges in sizes:
        row: dict[str, Any] = {"model": f"{edges:,} edges", "edges": edges}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            child("generate", folder, edges, memory)
            for phase in PHASES:
                measured = child(phase, folder, edges, memory)
                row |= {
                    f"{phase}_bytes_an_edge": round(measured["bytes"] / edges, 1),
                    f"{phase}_gib": round(measured["bytes"] / 2**30, 2),
                    f"{phase}_seconds": round(measured["seconds"], 1),
                }
                row |= {key: round(measured[key], 4) for key in ("step_seconds", "ms_a_user") if key in measured}
                print(f"{edges:,} edges, {phase}: {measured}", flush=True)
        if rows:
            before = rows[-1]
            row["step_slope"] = round(
                math.log(row["step_seconds"] / before["step_seconds"]) / math.log(edges / before["edges"]), 3
            )
        rows.append(row)
    return rows


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--memory", type=float, default=24, help="GiB that no process may exceed")
    parser.add_argument("--phase", choices=["generate", *PHASES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.phase is None:
        rows = run(arguments.edges, arguments.memory)
        record("scaling", rows, dim=DIM, layers=LAYERS, batch_size=8192, negatives=1024, memory_gib=arguments.memory)
        return
    # Heap and mapped data together; the address space is larger, of libraries.
    resource.setrlimit(resource.RLIMIT_DATA, (int(arguments.memory * 2**30),) * 2)
    if arguments.phase == "generate":
        generate(arguments.folder, arguments.edges[0])
    else:
        print(json.dumps(PHASES[arguments.phase](arguments.folder, arguments.edges[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
