"""Answers as tables: what `Candidates` and `SimilarItems` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa

from kg.io.table_file import write_table_file

SHOWN_ROWS, PRINTED_ROWS = 20, 10  # of a notebook, of `repr`


class Answer:
    """One Arrow table with external ids, a row for each item that was found.

    It has the Arrow C stream interface, so that any data frame library reads it without a copy.

    Attributes:
        table: the columns of `schema`, and perhaps `title` and others after them.
    """

    schema: ClassVar[Any]
    of_whom: ClassVar[str]

    def __init__(self, table: Any) -> None:
        if table.schema.equals(self.schema):
            self.table: Any = table
            return
        more = [table.schema.field(name) for name in table.column_names if name not in self.schema.names]
        schema = pa.schema([*self.schema, *more])
        self.table = table.select(schema.names).cast(schema)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Several answers under one another."""
        return cls(pa.concat_tables([part.table for part in parts]) if parts else cls.schema.empty_table())

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}({len(self)} rows)"]
        for row in self.table.slice(0, PRINTED_ROWS).to_pylist():
            title = f"  {row['title']}" if row.get("title") else ""
            lines.append(f"  {self._line(row)}{title}")
        return "\n".join(lines + (["  ..."] if len(self) > PRINTED_ROWS else []))

    def _line(self, row: dict[str, Any]) -> str:
        """A row as `repr` has it, without the title."""
        raise NotImplementedError

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.table.to_pylist())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Give the table to another Arrow library without a copy."""
        return self.table.__arrow_c_stream__(requested_schema)

    def of(self, asked_id: str) -> list[dict[str, Any]]:
        """The rows of one user or item that was asked for, best first."""
        return [row for row in self if row[self.of_whom] == asked_id]

    def to_pandas(self) -> Any:
        """A pandas frame; needs the extra `pandas`."""
        return self.table.to_pandas()

    def write(self, path: Path | str) -> int:
        """Write the table to a file, in the format that its ending names; whole or not at all.

        Args:
            path: .csv, .tsv, .jsonl (a JSON object a line) or .parquet.

        Returns:
            The number of rows.

        Raises:
            ConfigError: it is a folder, or has another ending.
        """
        return write_table_file(self.table, path)

    def _repr_html_(self) -> str:
        """The first rows as a table, which notebooks show."""
        names = self.table.column_names
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(_cell(row[name]) for name in names) + "</tr>"
            for row in self.table.slice(0, SHOWN_ROWS).to_pylist()
        )
        more = f"<p>{len(self):,} rows, the first {SHOWN_ROWS} are shown</p>" if len(self) > SHOWN_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{value:.4f}</td>'
    if isinstance(value, int):
        return f'<td style="text-align:right">{value}</td>'
    # A title that is written from right to left must not turn the cells beside it around.
    return f'<td style="text-align:left"><bdi>{escape("" if value is None else str(value))}</bdi></td>'
