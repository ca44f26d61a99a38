"""One file of a table as its section of the configuration says."""

from __future__ import annotations

from pathlib import Path

from ingest.settings import TableSource
from ingest.sources.tables.files import read_file
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.sql import select
from kg.errors import InvalidDataError


def read_table(path: Path, *, name: str, settings: TableSource) -> Rows:
    """Read one file, and ask the section's query of it.

    Raises:
        InvalidDataError: the file is missing, empty, damaged, or in another encoding; or the query gives no row.
        ConfigError: the query is refused.
    """
    rows = read_file(path, name=name, form=settings)
    if settings.sql is None:
        return rows
    selected = select(rows, settings.sql)
    if not selected.table.num_rows:
        raise InvalidDataError(f"the sql for {name} gives no row of its {rows.table.num_rows}: correct it")
    return selected
