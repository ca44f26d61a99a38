"""What a refresh costs by the size of the change, and what an incremental one reaches beside a full rebuild.

    python -m benchmarks refresh [--only cost quality drift] [--data DIR] [--draws 3] [--work DIR]

`cost`: a share of the items and of the newest interactions taken away and brought back, as files, by the command itself
in a process of its own: processor seconds (other work on the machine does not count), wall seconds and peak memory.
`quality`: the evaluation models alone, trained as the refresh trains them, on draws of what is new: 1% of the items and
of the users, with all that was done to or by them, and the newest 1% of the interactions. `drift`: 20 changes of 1%
each, one line of incremental trainings, and full ones beside it. All of the bundled movies; with `--data`, of gowalla.
Nothing is tuned here: the steps and the rate were chosen on a graph without the test part.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.movies_data import ROOT
from benchmarks.refresh_data import BundledMovies, Deployment, Gowalla
from benchmarks.refresh_quality import drift, quality
from benchmarks.results import record
from gnn.text.cache import TextCache, text_keys
from gnn.text.encoder import TextEncoder
from gnn.text.features import encode_graph
from ingest import DataSettings, build_graph
from recall.config.deployment import RefreshConfig, load_config
from recall.ops.summary import SummaryLog

SHARES = (0.05, 0.01, 0.001)


def main(argv: Sequence[str]) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks refresh", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("cost", "quality", "drift"), default=["cost", "quality", "drift"])
    parser.add_argument("--data", type=Path, help="folder of gowalla: train.txt and test.txt; default: bundled movies")
    parser.add_argument(
        "--draws", type=int, default=3, help="draws of what is new, each trained from a seed of its own"
    )
    parser.add_argument("--work", type=Path, help="folder for text vectors; kept, so that they are encoded once")
    arguments = parser.parse_args(argv)
    deployment = BundledMovies.read() if arguments.data is None else Gowalla.read(arguments.data)
    prefix = "refresh" if arguments.data is None else f"refresh_{deployment.name}"
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.only:
            rows, facts = {"cost": cost, "quality": quality, "drift": drift}[name](deployment, work, arguments.draws)
            record(f"{prefix}_{name}", rows, data=deployment.checksums(), **facts)


def cost(deployment: Deployment, work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A full refresh, then each size of change brought to the run that serves, then no change."""
    folder = work / f"cost of {deployment.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    states = np.cumsum([0.0, *SHARES[::-1]])[::-1]  # what is still missing after each refresh
    config = deployment.write(folder, states[0])
    _encode_before(work, load_config(config))
    rows = [{"refresh": "full", **_run(config)}]
    for share, missing in zip(SHARES, states[1:], strict=True):
        deployment.write(folder, missing)
        rows.append({"refresh": f"incremental, {share:.1%} new", **_run(config)})
    rows.append({"refresh": "nothing changed", **_run(config)})
    whole = rows[0]["cpu s"]
    for row in rows:
        row["of full"] = round(row["cpu s"] / whole, 3)
    return rows, {"shares": list(SHARES)}


def _encode_before(work: Path, config: RefreshConfig) -> None:
    """Put the texts of the first refresh, and no others, into its cache: a full rebuild would find its own there."""
    settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality)
    graph, _ = build_graph(settings, base=config.base)
    texts = [text for name in graph.nodes for text in (graph.texts(name) or pa.array([])).to_pylist() if text]
    if not texts:
        return
    kept = config.runs_folder / ".cache" / "text"
    if (work / "text").is_dir():
        shutil.copytree(work / "text", kept)
    encode_graph(graph, TextEncoder(config.text, "cpu"), cache=TextCache(kept))
    shutil.copytree(kept, work / "text", dirs_exist_ok=True)
    TextCache(kept).keep_only(np.unique(text_keys(texts)))


def _run(config: Path, *flags: str) -> dict[str, Any]:
    """One refresh in a process of its own."""
    command = [
        sys.executable,
        "-c",
        "from recall.cli.main import main; main()",
        "refresh",
        str(config),
        "--json",
        *flags,
    ]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        outcome = json.loads(out.read())
    report = outcome["report"]
    row = {
        "status": outcome["status"],
        "cpu s": round(used.ru_utime + used.ru_stime, 2),
        "wall s": round(wall, 2),
        "peak MB": round(SummaryLog(load_config(config).runs_folder).read()[-1]["peak_memory_bytes"] / 1e6, 1),
    }
    if outcome["status"] != "unchanged":
        row |= {"kind": report["kind"], "steps": report["training"]["lightgcn"]["evaluation"]["steps"]}
        changed = report["changes"]
        row["changed"] = None if changed is None else changed["shares"]["interactions"]
        row["stages"] = report["timings"]
    return row
