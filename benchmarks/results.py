"""What a benchmark leaves behind: a JSON file with the machine, the versions and the rows, and the same as a table."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kg.io.files import write_json

FOLDER = Path(__file__).parent / "results"
LIBRARIES = (
    "graphrecall", "torch", "torch-geometric", "transformers", "faiss-cpu", "pyarrow", "pyoxigraph", "rdflib",
    "numpy", "scipy", "sentence-transformers", "neo4j", "neo4j-rust-ext", "ladybug",
)  # fmt: skip


def record(
    name: str, rows: Sequence[Mapping[str, Any]], *, data: Mapping[str, str] | None = None, **facts: Any
) -> Path:
    """Print the rows and write `results/NAME.json`.

    Args:
        name: of the benchmark.
        rows: one object a model or system.
        data: file name -> sha256 of what was read.
        facts: settings worth keeping, plain data.
    """
    show(name, rows)
    path = FOLDER / f"{name}.json"
    write_json(
        path,
        {
            "benchmark": name,
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
            "data": dict(data or {}),
            **facts,
            "rows": [dict(row) for row in rows],
        },
    )
    Console().print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def show(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as a table, a column for each key that occurs; what has parts of its own is left to the file."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, Mapping)))
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in ("model", "group", "system", "fault") else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console(width=max(80, 14 * len(columns) + 30)).print(table)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU."""
    import torch

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that matter for the numbers."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def commit() -> str:
    """The commit the code was at, with a plus sign when the tree had changes."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--", "../kg", "../gnn", "../recall", "../ingest"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, list | tuple):
        return " - ".join(_cell(entry) for entry in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
