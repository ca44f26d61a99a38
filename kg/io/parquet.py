"""Arrow tables as Parquet files: written whole or not at all, read whole or with an error that names the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kg.errors import ArtifactError
from kg.io.files import atomic_path


def write_table(table: Any, path: Path) -> None:
    """Write an Arrow table atomically (`kg.io.files.atomic_path`)."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read a table; as a file, because a folder named key=value above it would become a column of a data set.

    Args:
        path: the file.
        columns: those wanted; None for all.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
