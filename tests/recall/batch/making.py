"""What the tests of batches share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from recall.batch.run import Engine, run_batch
from recall.serve.questions import RecommendOptions


def candidates(out: Path) -> list[dict[str, Any]]:
    """All rows of a folder of candidates, as any reader of a folder of Parquet files has them."""
    return pq.read_table(out).to_pylist()


def batch_of(**columns: Any) -> Any:
    """A record batch of queries."""
    return pa.table(columns).combine_chunks().to_batches()[0]


def check_rows(runs: Path, users: Path, folder: Path, *, engine: Engine) -> None:
    """The rows of an engine are those of the local one, also of a part that was lost and made again."""
    call: dict[str, Any] = {
        "options": RecommendOptions(k=4, channel_scores=True),
        "part_queries": 5,
        "keep": ["country"],
    }
    done = run_batch(runs / "current", users, folder / engine, engine=engine, **call)
    assert (done.parts, done.made, done.candidates) == (7, 7, 120)
    run_batch(runs / "current", users, folder / "local", workers=1, **call)
    assert candidates(folder / engine) == candidates(folder / "local")
    (folder / engine / "part-00003.parquet").unlink()
    assert run_batch(runs / "current", users, folder / engine, engine=engine, **call).made == 1
    assert run_batch(runs / "current", users, folder / engine, engine=engine, **call).made == 0
    assert candidates(folder / engine) == candidates(folder / "local")


def kill_processes(word: str) -> int:
    """Kill the processes below this one whose command has a word in it; says how many there were."""
    killed = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if word in " ".join(child.cmdline()):
                child.kill()
                killed += 1
    return killed
