"""Candidates written to one Parquet file, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from kg.errors import ConfigError
from kg.io.files import atomic_path
from recall.contracts import CANDIDATE_SCHEMA, Candidates


def check_file(out: Path | str) -> None:
    """Refuse a path that can be no file.

    Raises:
        ConfigError: it is a folder.
    """
    if not Path(out).name or Path(out).is_dir():
        raise ConfigError(f"out = {str(out)!r} is a folder: name a file in it")


def write_parquet(blocks: Iterable[Candidates], out: Path) -> int:
    """Write all blocks; the file appears whole or not at all. Returns the number of rows."""
    rows = 0
    with atomic_path(out) as temporary, pq.ParquetWriter(temporary, CANDIDATE_SCHEMA) as writer:
        for block in blocks:
            writer.write_table(block.table)
            rows += len(block)
    return rows
