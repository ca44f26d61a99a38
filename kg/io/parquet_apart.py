"""Parquet of anybody, decoded by a process of its own: a file may break the parser, or take memory without end.

A page of a few bytes can hold billions of rows, and a text that stands once in a dictionary can be every cell of a
column: how large a table is shows only while it is decoded. So that is done a few rows at a time, with little memory.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kg.errors import InvalidDataError
from kg.processes.job import run_job
from kg.progress import Progress

JOB = f"{__name__}:decode_job"
ROWS, FEWEST_ROWS = 1 << 16, 1 << 10  # decoded at a time
BATCH = 64 << 20  # bytes of them, about, by what the file says of itself
_BUFFER = 1 << 20


def batches_apart(path: Path, *, name: str, memory: int) -> Generator[tuple[Any, int]]:
    """The rows of a Parquet file, a few at a time.

    Args:
        path: of the file.
        name: in messages.
        memory: bytes that the process which decodes them may take.

    Yields:
        An Arrow record batch and the bytes that it takes; the first one has no rows, and tells the columns.

    Raises:
        InvalidDataError: it is no Parquet, or damaged.
        kg.processes.job.JobDiedError: the process died, maybe for lack of memory.
        OSError: it cannot be opened.
    """
    for part in run_job(JOB, {"path": str(path), "name": name}, memory=memory):
        with pa.ipc.open_stream(part) as stream:
            yield stream.read_next_batch(), len(part)


def decode_job(path: str, name: str, progress: Progress) -> Iterator[bytes]:
    """What `batches_apart` runs apart: each batch as an Arrow stream."""
    pa.set_cpu_count(1)  # threads reserve memory, which counts
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            schema, facts = file.schema_arrow, file.metadata
            yield _stream(schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema)])
            size = sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))
            rows = min(max(BATCH * facts.num_rows // max(size, 1), FEWEST_ROWS), ROWS)
            for batch in file.iter_batches(rows, use_threads=False):
                yield _stream([batch])
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidDataError(f"{name} cannot be read as a table: {error}") from error


def _stream(batches: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        writer.write_batch(batches[0])
    content: bytes = sink.getvalue().to_pybytes()
    return content
