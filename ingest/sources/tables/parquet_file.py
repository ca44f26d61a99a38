"""Parquet files, with limits on what they may hold."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.sources.bounded import EXPANSION, FREE, check_columns
from kg.errors import InvalidDataError
from kg.io.parquet_apart import batches_apart
from kg.processes.job import JobDiedError
from kg.processes.memory import free_memory

MEMORY = 2 << 30  # of the process that decodes
ROW = 8  # bytes that a row takes at least, whatever is in it: later there is a number for each
SHARE = 2  # a table may take this part of the memory that is free


def read_parquet(path: Path, *, name: str) -> Any:
    """Read a Parquet file.

    Args:
        path: of the file.
        name: in messages.

    Returns:
        An Arrow table.

    Raises:
        InvalidDataError: it is damaged, has too many columns, or holds far more than its size or than memory does.
        OSError: it cannot be opened.
    """
    bomb = max(EXPANSION * path.stat().st_size, FREE)
    memory = free_memory() // SHARE
    batches: list[Any] = []
    taken = 0
    try:
        with closing(batches_apart(path, name=name, memory=MEMORY)) as parts:
            for batch, size in parts:
                if not batches:
                    check_columns(batch.schema.names, name, advice="leave out those that are not needed")
                batches.append(batch)
                taken += max(size, ROW * batch.num_rows)
                if taken > bomb:
                    raise InvalidDataError(
                        f"{name} holds more than {bomb >> 20:,} MB, {EXPANSION} times its size: it is refused as a "
                        "bomb. If it is none, write it without compression and dictionaries, or as several files"
                    )
                if taken > memory:
                    raise InvalidDataError(
                        f"{name} holds more than {memory >> 20:,} MB, which leaves no memory to work with: leave out "
                        "columns that are not needed, or take a machine with more"
                    )
    except JobDiedError as error:
        if error.out_of_memory:
            raise InvalidDataError(
                f"{name} takes more than {MEMORY >> 20:,} MB for a few of its rows: it is refused as a bomb. If it is "
                "none, write it with smaller row groups and pages, and leave out long texts that are not needed"
            ) from error
        raise InvalidDataError(f"{name} is damaged: it ended the process that read it ({error})") from error
    return pa.Table.from_batches([batch for batch in batches if batch.num_rows] or batches[:1])
