"""Parquet files of queries: what they hold, and some rows of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from kg.errors import InvalidDataError
from kg.io.files import checksum
from recall.batch.answering import BLOCK
from recall.batch.columns import check_columns


class QueryFile(BaseModel):
    """A file of queries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Of the file, in the folder of queries.")
    rows: int = Field(ge=0, description="Queries in it.")
    sha256: str = Field(description="Of the file.")


def look_at_queries(path: Path, keep: Sequence[str] = ()) -> tuple[Path, tuple[QueryFile, ...]]:
    """What files of queries hold, before any work.

    Args:
        path: a Parquet file, or a folder of such (names that begin with "." or "_" are passed over).
        keep: columns that go along to the candidates.

    Returns:
        The folder of the files, and the files by name.

    Raises:
        InvalidDataError: there is no query, a file is no Parquet, or a column is missing, unknown or of another type.
    """
    if not path.exists():
        raise InvalidDataError(f"there is no file or folder of queries at {path}")
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.glob("*.parquet") if file.is_file() and file.name[0] not in "._")
        if not files:
            raise InvalidDataError(f"the folder {path} has no file of queries: their names end in .parquet")
    looked_at = []
    kept: dict[str, tuple[Any, Path]] = {}
    for file in files:
        with _opened(file) as opened:
            schema, rows = opened.schema_arrow, opened.metadata.num_rows
        check_columns(schema, keep, str(file))
        for name in keep:
            kind, first = kept.setdefault(name, (schema.field(name).type, file))
            if schema.field(name).type != kind:
                raise InvalidDataError(
                    f"the column {name!r} is of the type {schema.field(name).type} in {file} and {kind} in {first}: "
                    "columns that are kept are of one type"
                )
        looked_at.append(QueryFile(name=file.name, rows=rows, sha256=checksum(file)))
    if not any(file.rows for file in looked_at):
        raise InvalidDataError(f"{path} holds no queries: it has columns and no row")
    return files[0].parent.resolve(), tuple(looked_at)


def read_rows(path: Path, start: int, count: int, *, rows: int) -> Iterator[Any]:
    """Record batches of some rows of a file.

    Args:
        path: the file.
        start: the first row.
        count: how many.
        rows: that the file must have in all.

    Raises:
        InvalidDataError: it has others, or cannot be read.
    """
    with _opened(path) as file:
        if file.metadata.num_rows != rows:
            raise InvalidDataError(
                f"{path} has {file.metadata.num_rows:,} queries and had {rows:,} when the batch began: files of "
                "queries stay as they are until it is done"
            )
        stop, at = start + count, 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if start < at + size and at < stop:
                for batch in file.iter_batches(batch_size=BLOCK, row_groups=[group]):
                    first, last = max(start, at), min(stop, at + batch.num_rows)
                    if first < last:
                        yield batch.slice(first - at, last - first)
                    at += batch.num_rows
            else:
                at += size


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowInvalid as error:
        raise InvalidDataError(f"{path} is no Parquet file of queries: {error}") from error
    except (pa.ArrowException, FileNotFoundError) as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
