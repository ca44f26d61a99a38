"""Files that stand for far more than their size, or ask a parser for more than it has: made, never stored.

Each function writes one file and returns its path; sizes are arguments, so that tests take little and benchmarks much.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MEGABYTE = 1 << 20


def gzip_of(path: Path, line: bytes, *, megabytes: int, head: bytes = b"") -> Path:
    """A .gz file of one line again and again."""
    with gzip.open(path, "wb") as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(line * (MEGABYTE // len(line)))
    return path


def parquet_of_runs(path: Path, *, rows: int) -> Path:
    """Parquet whose pages say "the same number so many times"."""
    schema = pa.schema([("user_id", pa.int64()), ("item_id", pa.int64())])
    once = np.ones(min(rows, 1 << 22), dtype=np.int64)
    batch = pa.record_batch([once, once], schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(max(rows // len(once), 1)):
            writer.write_batch(batch, row_group_size=len(once))
    return path


def parquet_of_nulls(path: Path, *, rows: int) -> Path:
    """Parquet of which each row is nothing."""
    nothing = pa.nulls(min(rows, 1 << 24))
    batch = pa.record_batch([nothing, nothing], names=["user_id", "item_id"])
    with pq.ParquetWriter(path, batch.schema, compression="zstd") as writer:
        for _ in range(max(rows // len(nothing), 1)):
            writer.write_batch(batch, row_group_size=len(nothing))
    return path


def parquet_of_one_text(path: Path, *, length: int, rows: int) -> Path:
    """Parquet whose dictionary holds one long text, which is every cell."""
    column = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), pa.array(["x" * length]))
    batch = pa.record_batch([column, column], names=["user_id", "item_id"])
    with pq.ParquetWriter(path, batch.schema, compression="zstd", store_schema=False) as writer:
        writer.write_batch(batch)
    return path


def parquet_of_columns(path: Path, *, columns: int) -> Path:
    """Parquet of one row and very many columns."""
    pq.write_table(pa.table({f"c{number}": [1] for number in range(columns)}), path)
    return path


def parquet_of_depth(path: Path, *, depth: int) -> Path:
    """Parquet of lists in lists."""
    kind = pa.int64()
    for _ in range(depth):
        kind = pa.list_(kind)
    pq.write_table(pa.table({"user_id": pa.array([None], kind)}), path)
    return path


def changed_bytes(path: Path, content: bytes, random: np.random.Generator, *, many: int = 8) -> Path:
    """A file whose content has some bytes changed at random."""
    changed = bytearray(content)
    for at in random.integers(len(content), size=many):
        changed[at] = random.integers(256)
    path.write_bytes(changed)
    return path
