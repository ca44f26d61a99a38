"""Ranks as torchrun starts them, but each of them watched by a test alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(file: str, task: str, folder: Path, count: int = 2) -> list[subprocess.Popen[str]]:
    """Start a function in several processes.

    Args:
        file: a module with `TASKS`, name -> function of a folder.
        task: name of the function.
        folder: its argument.
        count: processes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('trainings', {file!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['trainings'] = module\n"
        "spec.loader.exec_module(module)\n"
        "from pathlib import Path\n"
        f"module.TASKS[{task!r}](Path({str(folder)!r}))\n"
    )
    common = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each rank wrote to stderr."""
    return [process.communicate(timeout=240)[1] for process in processes]
