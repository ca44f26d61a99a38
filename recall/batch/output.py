"""The folder of the candidates: which batch it belongs to, which parts are there, and how one is written.

A part is there whole or not at all (`kg.io.files.atomic_path`), whoever is killed when, and any process may write it:
two that write the same part write the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import Timeout

from kg.errors import ArtifactError, BatchInProgressError, ConfigError
from kg.io.files import TEMPORARY
from kg.io.removal import remove_leftovers
from kg.io.table_file import write_blocks
from recall.batch.plan import PLAN, BatchPlan, Part
from recall.runs.lock import acquire

LOCK = ".batch.lock"
BATCH, RUN = b"batch", b"run"  # keys of the metadata of a part


@contextmanager
def locked_output(out: Path) -> Iterator[None]:
    """Hold the folder of a batch, which is made where it is missing; the lock ends with the process.

    Raises:
        BatchInProgressError: another process holds it.
        ConfigError: it is no folder, or holds files that are of no batch.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: --out names a folder")
    names = [] if not out.exists() else sorted(path.name for path in out.iterdir())
    foreign = [name for name in names if name not in (LOCK, PLAN) and not TEMPORARY.fullmatch(name)]
    if foreign and PLAN not in names:
        raise ConfigError(f"{out} holds files that no batch has written, such as {foreign[0]}: name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquire(out / LOCK)
    except Timeout as error:
        raise BatchInProgressError(f"another batch is writing to {out}: wait for it, or name another folder") from error
    try:
        yield
    finally:
        lock.release()


def begin(plan: BatchPlan, out: Path) -> list[Part]:
    """Begin a batch in its locked folder, or go on with it.

    Args:
        plan: what to do.
        out: the folder.

    Returns:
        The parts that are missing.

    Raises:
        ArtifactError: the folder holds candidates of another batch, or files of no batch.
    """
    remove_leftovers(out, inside=out)
    parts = plan.parts()
    if (out / PLAN).exists():
        _check_same(plan, BatchPlan.load(out), out)
    plan.save(out)
    names = {part.name for part in parts}
    for path in sorted(out.iterdir()):
        if path.name not in (names | {LOCK, PLAN}):
            raise ArtifactError(f"{path} is no part of the batch of {out}: move it elsewhere, or name a new folder")
    return [part for part in parts if not _is_there(out / part.name, plan)]


def write_part(plan: BatchPlan, part: Part, out: Path, schema: Any, batches: Iterable[Any]) -> int:
    """Write the candidates of a part as they come.

    Args:
        plan: that it belongs to.
        part: it.
        out: the folder.
        schema: of the candidates.
        batches: record batches of them.

    Returns:
        How many they are.
    """
    named = schema.with_metadata({RUN: plan.run.encode(), BATCH: plan.digest.encode()})
    return write_blocks((pa.Table.from_batches([batch]) for batch in batches), out / part.name, named)


def _check_same(plan: BatchPlan, earlier: BatchPlan, out: Path) -> None:
    rule = earlier.options.on_unknown
    if plan.digest == earlier.digest and rule in ("raise", plan.options.on_unknown):
        return
    if plan.run_digest != earlier.run_digest:
        raise ArtifactError(
            f"{out} holds candidates of the run {earlier.run}, and the run is {plan.run} now; no batch mixes two runs. "
            f"Name that run's folder, .../{earlier.run}, to finish that batch, or another --out for this one"
        )
    differences = "; ".join(plan.differences(earlier))
    raise ArtifactError(
        f"{out} holds candidates of another batch: {differences}. Finish that one with what it began with, or name "
        "another --out for this one"
    )


def _is_there(path: Path, plan: BatchPlan) -> bool:
    if not path.exists():
        return False
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return False  # damaged since: it is written again
    if metadata.get(BATCH) != plan.digest.encode():
        raise ArtifactError(
            f"{path} is of another batch (run {metadata.get(RUN, b'unknown').decode()}) than {PLAN} beside it says: "
            "remove it, and it is made again"
        )
    return True
