"""Rows that cannot be used are set aside and counted, column by column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES, QualityReport, SourceAccount
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.units import NAMES, TICKS, guess_unit
from ingest.sources.tables.values import BoolArray, FloatArray, are_numbers, to_floats, to_ids, to_seconds
from kg.arrays import IntArray


class Cleaner:
    """Sets aside the rows of one table that cannot be used, column by column, and counts them."""

    def __init__(self, rows: Rows, table: Any, report: QualityReport, source: SourceAccount) -> None:
        self._rows = rows
        self._report = report
        self._source = source
        self.table = table
        self.kept: BoolArray = np.ones(table.num_rows, dtype=bool)
        hidden, hidden_examples = rows.hidden
        source.read += table.num_rows + rows.bad_lines + hidden
        if rows.lines is not None:
            source.lines, source.empty = rows.lines.total, rows.lines.empty
        for finding in rows.findings:
            report.add(finding.kind, finding.count, finding.explanation, finding.examples, severity=finding.severity)
        if hidden:
            report.set_aside(
                source,
                "rows inside a cell",
                hidden,
                "lines that look like rows are inside a quoted cell: correct a quote that is open by mistake, and set "
                'quotes = "none" if the file has no quoted cells',
                hidden_examples,
            )
        if rows.bad_lines:
            report.set_aside(
                source,
                "bad lines",
                rows.bad_lines,
                "lines that are no statement or have the wrong number of cells, set aside",
                rows.bad_examples,
            )

    def set_aside(self, bad: BoolArray, kind: str, explanation: str, column: str) -> None:
        """Leave out rows; a row that is out already is not counted again."""
        bad = bad & self.kept
        if not bad.any():
            return
        where = np.flatnonzero(bad)[:MAX_EXAMPLES]
        examples = [f"{self._rows.place(int(i))}: {column} = {self.table[column][int(i)].as_py()!r}" for i in where]
        self._report.set_aside(self._source, kind, int(bad.sum()), explanation, examples)
        self.kept &= ~bad

    def ids(self, column: str) -> None:
        """Make a column of ids."""
        ids = to_ids(self.table[column])
        self.set_aside(ids.is_null().to_numpy(zero_copy_only=False), "missing ids", "rows without an id", column)
        self._replace(column, ids)

    def numbers(self, column: str) -> None:
        """Make a column of finite floats."""
        values, missing = self._numbers(column)
        self.set_aside(missing, f"missing {column}s", "empty or NaN", column)
        self._replace(column, pa.array(values))

    def numbers_or_null(self, column: str) -> None:
        """Make a column of finite floats, null where there is none."""
        values, missing = self._numbers(column)
        self._replace(column, pa.array(values, mask=missing))

    def seconds(self, column: str, *, now: int, unit: str | None = None) -> None:
        """Make a column of UTC seconds between 1970 and now; `unit` is what numbers count, None: it is guessed."""
        values, missing = self._seconds(column, now, unit)
        self.set_aside(missing, "missing timestamps", "rows without a time", column)
        self._replace(column, pa.array(values))

    def seconds_or_null(self, column: str, *, now: int, unit: str | None = None) -> None:
        """Make a column of UTC seconds between 1970 and now as `seconds` does, null where there is no time."""
        values, missing = self._seconds(column, now, unit)
        self._replace(column, pa.array(values, mask=missing))

    def _numbers(self, column: str) -> tuple[FloatArray, BoolArray]:
        values, missing, bad = to_floats(self.table[column])
        self.set_aside(bad, "unparsable cells", "no numbers", column)
        return values, missing

    def _seconds(self, column: str, now: int, unit: str | None) -> tuple[IntArray, BoolArray]:
        values, missing, bad = to_seconds(self.table[column], per_second=TICKS[unit or "s"])
        # Dates beside the numbers have a unit of their own, and say nothing of that of the numbers.
        numbers = are_numbers(self.table[column]) & ~missing
        guessed = guess_unit(values[numbers], now=now) if unit is None else "s"
        if guessed != "s":
            examples = self._example_of_time(column, values, numbers, TICKS[guessed])
            values, missing, bad = to_seconds(self.table[column], per_second=TICKS[guessed])
            self._report.add(
                f"timestamps in {NAMES[guessed]}",
                int(numbers.sum()),
                "taken as those, because as seconds they would lie in the future; "
                f'unit = "{guessed}" in the section of the source says so for good',
                examples,
            )
        self.set_aside(bad, "unparsable cells", "no numbers or dates", column)
        self.set_aside(values < 0, "negative timestamps", "before 1970", column)
        future = values > now
        hint = "later than now"
        if (unlike := guess_unit(values[future & self.kept], now=now)) != "s":
            hint += f"; they look like {NAMES[unlike]}, and the others do not: give all the same unit"
        if (future & self.kept).any():
            self._report.set_future(int(values[future & self.kept].min()))
        self.set_aside(future, "future timestamps", hint, column)
        return values, missing

    def _example_of_time(self, column: str, numbers: IntArray, usable: BoolArray, ticks: int) -> list[str]:
        row = int(np.flatnonzero(usable)[0])
        time = datetime.fromtimestamp(int(numbers[row]) // ticks, tz=UTC).isoformat() if numbers[row] >= 0 else "?"
        return [f"{self._rows.place(row)}: {column} = {self.table[column][row].as_py()!r} is {time}"]

    def result(self) -> Any:
        """The rows that are left."""
        return self.table if self.kept.all() else self.table.filter(pa.array(self.kept))

    def _replace(self, column: str, values: Any) -> None:
        self.table = self.table.set_column(self.table.column_names.index(column), column, values)
