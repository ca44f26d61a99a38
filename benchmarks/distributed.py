"""A training step in one and in two processes, each of one thread, and what a large one would cost.

    python -m benchmarks distributed --data DIR

The same steps on gowalla, started by torchrun as a user would; bytes are those that a process sent to others in a step,
counted where they are sent (gnn.distributed). The last row is computed, not measured: a billion edges among 60 million
nodes with 256 columns in 64 ranks with a GPU each, whose memory gives 3.35 TB/s and whose network 25 GB/s; a product
reads each entry of A (8 bytes) and a row of own columns for it. Its reads are random and taken at the full speed of the
memory, so that the row is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gowalla_data import checksums, load, split
from benchmarks.results import record
from gnn.distributed import process_group
from gnn.graph.fit import fit, run_worker
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext

MODEL = LightGCNConfig(dim=64, layers=3, relations=())
TRAINING = TrainingConfig(batch_size=32_768, negatives=2048, negative_power=1.0)
STEPS = 8
EDGE_BYTES = 32  # of gnn.graph.propagation: both entries of A, the edge's ends, and which entry is which edge
TABLES = 16  # of nodes x columns that a step holds: parameters, optimiser, layers and their gradients


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


def measure(data: Path, result: Path) -> None:
    """Train some steps; the first rank writes what they took."""
    with process_group() as ranks:
        if not ranks.first:
            run_worker(ranks)
            return
        graph = load(data / "gowalla")
        clock = Clock()
        context = RunContext(device="cpu", progress=clock, ranks=ranks)
        # One step in advance: what it sends is handed over to the others before the first step, too.
        sent = []
        for steps in (1, STEPS):
            before = ranks.sent
            fit(split(graph).view(graph, "train"), MODEL, TRAINING, steps=steps, context=context)
            sent.append(ranks.sent - before)
        seconds = np.diff(clock.times[-STEPS:])
        facts = {
            "seconds": round(float(np.median(seconds)), 4),
            "cpu_seconds": round(float(np.median(np.diff(clock.cpu[-STEPS:]))), 4),
            "mb_sent_a_step": round((sent[1] - sent[0]) / (STEPS - 1) / 1e6, 3),
        }
        result.write_text(json.dumps(facts), encoding="utf-8")


def on_paper(
    *,
    edges: float = 1e9,
    nodes: float = 6e7,
    dim: int = 256,
    ranks: int = 64,
    pairs: int = 1 << 20,
    wrong: int = 1 << 14,
) -> dict[str, Any]:
    """The cost of a step of three layers by the module's assumptions."""
    columns = dim / ranks
    memory = edges * EDGE_BYTES + nodes * columns * 4 * TABLES
    sent = 2 * (2 * pairs / ranks + wrong) * columns * (ranks - 1) * 4
    products = 2 * MODEL.layers * 2 * edges * (8 + 4 * 4 * columns) / 3.35e12
    tables = nodes * columns * 4 * TABLES / 3.35e12
    scores = 3 * 2 * pairs / ranks * wrong * dim / 4e14
    return {
        "model": f"on paper: {edges:.0e} edges, {nodes:.0e} nodes, {dim} columns",
        "ranks": ranks,
        "seconds": round(products + tables + scores + sent / 25e9, 4),
        "mb_sent_a_step": round(sent / 1e6, 3),
        "gib_a_rank": round(memory / 2**30, 1),
        "ms_products": round(1e3 * products, 1),
        "ms_loss": round(1e3 * scores, 1),
        "ms_exchange": round(1e3 * sent / 25e9, 1),
    }


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks distributed", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gowalla/")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.into is not None:
        measure(arguments.data, arguments.into)
        return
    rows: list[dict[str, Any]] = []
    for ranks in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            subprocess.run(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)),
                    *("-m", "benchmarks.distributed", "--data", str(arguments.data.resolve()), "--into", str(result)),
                ],
                check=True,
                cwd=Path(__file__).resolve().parents[1],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            rows.append({"model": "gowalla, 64 columns, 3 layers", "ranks": ranks, **json.loads(result.read_text())})
    rows[1]["speedup"] = round(rows[0]["seconds"] / rows[1]["seconds"], 2)
    record(
        "distributed",
        [*rows, on_paper()],
        data=checksums(arguments.data / "gowalla"),
        batch_size=TRAINING.batch_size,
        negatives=TRAINING.negatives,
        threads_a_rank=1,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
