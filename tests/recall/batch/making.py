"""What the tests of batches share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq


def candidates(out: Path) -> list[dict[str, Any]]:
    """All rows of a folder of candidates, as any reader of a folder of Parquet files has them."""
    return pq.read_table(out).to_pylist()


def batch_of(**columns: Any) -> Any:
    """A record batch of queries."""
    return pa.table(columns).combine_chunks().to_batches()[0]


def kill_processes(word: str) -> int:
    """Kill the processes below this one whose command has a word in it; says how many there were."""
    killed = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if word in " ".join(child.cmdline()):
                child.kill()
                killed += 1
    return killed
