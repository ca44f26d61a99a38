"""How good the paths are that a run gives as reasons, and the curves of the dial and of the history taken away.

python -m benchmarks paths [--run runs/current] [--users 200] [--refits 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import FOLDER, record
from recall.quality.paths import assess_run_paths, plot_paths
from recall.runs.layout import RunLayout


def main(argv: Sequence[str]) -> None:
    """Measure the paths of a run, and draw the curves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks paths", description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/current"))
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--refits", type=int, default=20)
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    report = assess_run_paths(RunLayout.open(arguments.run), users=arguments.users, refits=arguments.refits)
    seconds = time.perf_counter() - start
    plot_paths(report, FOLDER / "paths.png")
    data = report.to_json()
    rows = [{"model": report.channel, **entry} for entry in data.pop("selections")]
    record("paths", rows, seconds=round(seconds, 1), refits=arguments.refits, **data)
