"""Large texts that cannot be read in parts are read by a process of their own, in a part of the memory that is free.

Lists, JSON, lines without quotes, and CSV with lines that are set aside take many times their size on the way to a
table: how many depends on what is in them. A limit on the size of the text could only guess.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np
import pyarrow as pa

from ingest.report import Finding
from ingest.sources.bounded import EXPANSION, is_gzip
from ingest.sources.tables.lines import LineAccount
from ingest.sources.tables.rows import Rows
from kg.errors import InvalidDataError
from kg.processes.job import JobDiedError, run_job
from kg.processes.memory import free_memory
from kg.progress import Progress

JOB = f"{__name__}:read_job"
LARGE = 16 << 20  # bytes of a text that may be read in this process
SHARE = 2  # the part of the memory that is free, which the process of a larger one may take
ROWS = 1 << 16  # sent at a time

Options = ParamSpec("Options")
Reader = Callable[Concatenate[Path, Options], Rows]


def apart_if_large(reader: Reader[Options]) -> Reader[Options]:
    """Let a reader of whole texts, `reader(path, *, name, ...)`, read large ones in a process of its own.

    Its other arguments are plain data, and `Rows.numbers` tells the places of its rows.
    """

    @wraps(reader)
    def read(path: Path, *arguments: Options.args, **options: Options.kwargs) -> Rows:
        size = path.stat().st_size
        if size * (EXPANSION if is_gzip(path) else 1) <= LARGE:
            return reader(path, *arguments, **options)
        return _read(f"{reader.__module__}:{reader.__name__}", path, dict(options))

    return cast("Reader[Options]", read)


def _read(reader: str, path: Path, options: dict[str, Any]) -> Rows:
    name = str(options["name"])
    memory = free_memory() // SHARE
    arguments = {"reader": reader, "path": str(path), "options": options}
    try:
        parts = run_job(JOB, arguments, memory=memory)
        facts = json.loads(next(parts))
        numbers = np.frombuffer(next(parts), dtype=np.int64)
        batches = [pa.ipc.open_stream(part).read_next_batch() for part in parts]
    except JobDiedError as error:
        if error.out_of_memory:
            raise InvalidDataError(
                f"{name} takes more than {memory >> 20:,} MB of memory to be read, half of what is free, for "
                "it cannot be read in parts: save it as Parquet, or in several files"
            ) from error
        raise InvalidDataError(f"{name} is damaged: it ended the process that read it ({error})") from error
    return Rows(
        pa.Table.from_batches(batches),
        name,
        lambda row: f"{name}:{numbers[row]}",
        bad_lines=facts["bad_lines"],
        bad_examples=facts["bad_examples"],
        ordered=facts["ordered"],
        lines=None if facts["lines"] is None else LineAccount(**facts["lines"]),
        hidden=(facts["hidden"][0], facts["hidden"][1]),
        findings=[Finding(**finding) for finding in facts["findings"]],
        numbers=numbers,
    )


def read_job(reader: str, path: str, options: dict[str, Any], progress: Progress) -> Iterator[bytes]:
    """What `apart_if_large` runs apart: facts about the rows, the numbers of their lines, and the rows."""
    module, _, function = reader.partition(":")
    try:
        rows: Rows = getattr(import_module(module), function).__wrapped__(Path(path), **options)
    except MemoryError:
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDataError(f"{options['name']} is a damaged .gz file: {error}") from error
    except pa.ArrowException as error:
        raise InvalidDataError(f"{options['name']} cannot be read as a table: {error}") from error
    facts = {key: getattr(rows, key) for key in ("bad_lines", "bad_examples", "ordered", "hidden")}
    facts["lines"] = None if rows.lines is None else asdict(rows.lines)
    facts["findings"] = [asdict(finding) for finding in rows.findings]
    yield json.dumps(facts).encode()
    if rows.numbers is None:
        raise TypeError(f"{reader} does not tell the numbers of its lines")
    yield rows.numbers.astype(np.int64).tobytes()
    table = rows.table
    for batch in table.to_batches(max_chunksize=ROWS) or [pa.RecordBatch.from_pylist([], table.schema)]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_batch(batch)
        yield sink.getvalue().to_pybytes()
