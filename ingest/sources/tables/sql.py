"""A SELECT of the user's own over a file that was read.

The query sees one table, `file`, and nothing else: the database has no access to other files or to the network, loads
no extension, sees no variable of the program, and its settings cannot be changed back. So a configuration that somebody
else wrote can read by SQL only what it names under `files` anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ingest.sources.tables.rows import Rows
from kg.errors import ConfigError

TABLE = "file"
LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}


def select(rows: Rows, query: str) -> Rows:
    """The rows of a query over rows of a file; the lines that could not be read stay counted.

    Args:
        rows: of the file.
        query: one SELECT from the table `file`.

    Raises:
        ConfigError: the query is no single SELECT, or DuckDB refuses it.
    """
    table = _run(rows.table, query, rows.name)
    return replace(rows, table=table, place=lambda row: f"{rows.name}, row {row} of its sql")


def _run(table: Any, query: str, name: str) -> Any:
    import duckdb

    connection = duckdb.connect(config=dict(LOCKED))
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError(f"the sql for {name} is no single SELECT: {query.strip()[:200]!r}")
        connection.register(TABLE, table)
        return connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise ConfigError(
            f"the sql for {name} is refused: {str(error).strip()}. The file is the table `{TABLE}` with the columns "
            f"{', '.join(table.column_names)}"
        ) from error
    finally:
        connection.close()
