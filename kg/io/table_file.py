"""Tables for other programs: CSV, TSV, JSON lines or Parquet by the ending of the file, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from kg.errors import ConfigError
from kg.io.files import atomic_path


class _Writer(Protocol):
    """Writes the blocks of one table."""

    def write_table(self, table: Any) -> None:
        """Add a block."""


class _JsonLines:
    """A JSON object a row and line."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._path, self.schema = path, schema

    def __enter__(self) -> Self:
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_table(self, table: Any) -> None:
        self._file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in table.to_pylist())


def _csv(delimiter: str) -> Callable[[Path, Any], Any]:
    options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    return lambda path, schema: pacsv.CSVWriter(path, schema, write_options=options)


def _parquet(path: Path, schema: Any) -> Any:
    return pq.ParquetWriter(path, schema, compression="zstd")


_WRITERS: dict[str, Callable[[Path, Any], AbstractContextManager[_Writer]]] = {
    ".csv": _csv(","),
    ".tsv": _csv("\t"),
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".parquet": _parquet,
    ".pq": _parquet,
}


def check_table_file(path: Path | str) -> Path:
    """The path of a table file that can be written.

    Raises:
        ConfigError: it is a folder, or its ending names no format.
    """
    file = Path(path)
    if not file.name or file.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder: name a file in it, such as candidates.csv")
    if file.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{str(path)!r} has no ending that names a format: use {', '.join(list(_WRITERS)[:-1])} or .pq"
        )
    return file


def write_blocks(blocks: Iterable[Any], path: Path | str, schema: Any) -> int:
    """Write the blocks of a table to one file, in the format that its ending names.

    Args:
        blocks: Arrow tables of the same schema.
        path: .csv, .tsv, .jsonl, .ndjson, .parquet or .pq.
        schema: of all blocks, for a table without any.

    Returns:
        The number of rows.

    Raises:
        ConfigError: see `check_table_file`.
    """
    file, rows = check_table_file(path), 0
    with atomic_path(file) as temporary, _WRITERS[file.suffix.lower()](temporary, schema) as writer:
        for block in blocks:
            writer.write_table(block)
            rows += block.num_rows
    return rows


def write_table_file(table: Any, path: Path | str) -> int:
    """Write one Arrow table; see `write_blocks`."""
    return write_blocks([table], path, pa.schema(table.schema))
