"""CSV, TSV and Parquet files, lists, and any data frame that speaks Arrow, as clean columns.

Ids are strings everywhere: 1, 1.0 (of a numeric column) and "1" are the same id; text is taken as written ("007" and
"1.0" stay), only blanks around it are cut. Timestamps become UTC seconds; those without a zone are taken as UTC.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ingest.report import MAX_EXAMPLES, QualityReport, Source
from kg.arrays import IntArray
from kg.errors import InvalidDataError

_DECODED_BYTES = 1 << 24
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"


@dataclass(slots=True)
class Rows:
    """A raw table and where its rows came from.

    Attributes:
        table: Arrow table.
        name: for messages.
        place: the place of a row, "ratings.csv:17".
        bad_rows: places of rows that could not even be split into cells, with the reason.
        ordered: the rows of a user are in an order that means something.
    """

    table: Any
    name: str
    place: Callable[[int], str]
    bad_rows: list[str] = field(default_factory=list)
    ordered: bool = False


def frame_table(frame: Any, name: str) -> Any:
    """An Arrow table of anything that speaks the Arrow C stream, or of a mapping of columns.

    Raises:
        InvalidDataError: it is neither, or a column mixes types.
    """
    try:
        if isinstance(frame, pa.Table):
            return frame
        if isinstance(frame, Mapping):
            return pa.table({str(key): _column(values) for key, values in frame.items()})
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
        if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
            return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidDataError(f"{name} cannot be read as a table: {error}. Give each column one type") from error
    raise InvalidDataError(
        f"{name} is a {type(frame).__name__}: give a mapping of columns or a data frame that speaks Arrow "
        "(pandas, polars, pyarrow)"
    )


def _column(values: Any) -> Any:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def from_frame(frame: Any, name: str = "data frame") -> Rows:
    """Rows of a frame; their places are counted from 0.

    Raises:
        InvalidDataError: no table, or an empty one.
    """
    table = frame_table(frame, name)
    if not table.num_rows:
        raise InvalidDataError(f"the {name} is empty: it has no rows")
    return Rows(table, name, lambda row: f"{name}, row {row}")


def read_file(path: Path, *, name: str, separator: str | None = None, header: Sequence[str] | None = None) -> Rows:
    """Read CSV, TSV (both plain or .gz; every cell as text) or Parquet.

    Raises:
        InvalidDataError: the file is missing, empty, damaged, or not UTF-8.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            table = pq.read_table(path)
            rows = Rows(table, name, lambda row: f"{name}, row {row}")
        else:
            rows = _read_csv(path, name, separator, header)
    except FileNotFoundError as error:
        raise InvalidDataError(f"{path} does not exist: check the path in sources") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDataError(f"{name} is a damaged .gz file: {error}") from error
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        if "Empty CSV" in str(error):
            raise InvalidDataError(f"{name} is empty: it has not even a header line") from error
        raise InvalidDataError(f"{name} cannot be read as a table: {error}") from error
    if not rows.table.num_rows and not rows.bad_rows:
        raise InvalidDataError(f"{name} is empty: it has no rows")
    return rows


def _read_csv(path: Path, name: str, separator: str | None, header: Sequence[str] | None) -> Rows:
    stem = path.name.removesuffix(".gz")
    separator = separator or ("\t" if stem.endswith((".tsv", ".tab")) else ",")
    bad: list[Any] = []

    def keep_for_report(row: Any) -> str:
        bad.append(row)
        return "skip"

    with path.open("rb") as raw:
        plain: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        data = plain.read()
    if not data.strip():
        raise InvalidDataError(f"{name} is empty")
    _check_encoding(data, name)
    names = list(header) if header else _header(data, separator)
    doubled = sorted({column for column in names if names.count(column) > 1})
    if doubled:
        raise InvalidDataError(f"{name} has the column {', '.join(map(repr, doubled))} more than once: rename one")
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        # One thread: only then does the parser number the rows that it rejects.
        read_options=pa_csv.ReadOptions(use_threads=False, column_names=list(header) if header else None),
        parse_options=pa_csv.ParseOptions(
            delimiter=separator, newlines_in_values=True, invalid_row_handler=keep_for_report
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={column: pa.string() for column in names},
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=True,
        ),
    )
    lines = _CsvLines(data, separator, 0 if header else 1, [row.number for row in bad])
    bad_rows = [
        f"{name}:{lines.of_record(row.number - 1)}: {row.actual_columns} cells where {row.expected_columns} are "
        f"expected: {row.text[:120]}"
        for row in bad[:MAX_EXAMPLES]
    ] + [""] * max(len(bad) - MAX_EXAMPLES, 0)
    return Rows(table, name, lambda row: f"{name}:{lines.of_row(row)}", bad_rows)


def _check_encoding(data: bytes, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _DECODED_BYTES):
            stop = start + _DECODED_BYTES
            decoder.decode(data[start:stop], final=stop >= len(data))
    except UnicodeDecodeError as error:
        # The decoder keeps the beginning of a character that a piece cuts, so the line can be one too early.
        line = data.count(b"\n", 0, start + error.start) + 1
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        looks = ", it looks like UTF-16" if utf16 else ""
        raise InvalidDataError(f"{name}:{line} is not UTF-8 text{looks}: save the file as UTF-8") from error


def _header(data: bytes, separator: str) -> list[str]:
    first = data[:1_000_000].decode("utf-8-sig", errors="replace").lstrip("\r\n").splitlines()
    return next(csv.reader(first, delimiter=separator))


class _CsvLines:
    """The line in the file of a row of the table: quoted line breaks, blank and rejected lines shift it."""

    def __init__(self, data: bytes, separator: str, first: int, rejected: list[int]) -> None:
        self._data = data
        self._separator = separator
        self._first = first
        self._rejected = np.array([number - 1 - first for number in rejected], dtype=np.int64)
        self._starts: list[int] | None = None

    def of_row(self, row: int) -> int:
        # The n-th accepted record is preceded by all rejected ones before it.
        record = row
        for rejected in self._rejected:
            if rejected > record:
                break
            record += 1
        return self.of_record(record + self._first)

    def of_record(self, record: int) -> int:
        if self._starts is None:
            self._starts = []
            reader = csv.reader(_text_lines(self._data), delimiter=self._separator)
            line = 1
            for cells in reader:
                if cells:
                    self._starts.append(line)
                line = reader.line_num + 1
        return self._starts[record] if record < len(self._starts) else 0


def _text_lines(data: bytes) -> Iterable[str]:
    return (line.decode("utf-8", errors="replace") + "\n" for line in data.split(b"\n"))


def read_lists(path: Path, *, name: str) -> Rows:
    """Read a file of lists: a line a user, user id and then the ids of the items, separated by blanks.

    Returns:
        Rows of `user_id`, `item_id` (strings), those of a user in the order of the file.

    Raises:
        InvalidDataError: the file is missing, empty or damaged.
    """
    try:
        with path.open("rb") as raw:
            stream: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            lines = [line.split() for line in stream.read().decode("utf-8-sig").split("\n")]
    except FileNotFoundError as error:
        raise InvalidDataError(f"{path} does not exist: check the path in sources.interactions") from error
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{name} is damaged or not UTF-8 text: {error}") from error
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error.strerror or error}") from error
    counts = np.array([max(len(line) - 1, 0) for line in lines], dtype=np.int64)
    if not counts.sum():
        raise InvalidDataError(f"{name} is empty: no line has a user and an item")
    users = pa.array([line[0] if line else None for line in lines], type=pa.string())
    number = np.repeat(np.arange(len(lines)), counts)
    items = pa.array([item for line in lines for item in line[1:]], type=pa.string())
    table = pa.table({"user_id": users.take(pa.array(number)), "item_id": items})
    return Rows(table, name, lambda row: f"{name}:{int(number[row]) + 1}", ordered=True)


def pick(rows: Rows, wanted: Mapping[str, str | None], optional: Mapping[str, str] | None = None) -> Any:
    """The wanted columns under their roles' names.

    Args:
        rows: a raw table.
        wanted: role -> column that must be there (None: not asked for).
        optional: role -> column taken when it is there.

    Raises:
        InvalidDataError: a wanted column is missing; the message names those there.
    """
    there = rows.table.column_names
    columns = {}
    for role, name in wanted.items():
        if name is None:
            continue
        if name not in there:
            raise InvalidDataError(
                f"{rows.name} has no column {name!r} (for {role}); the columns there are {', '.join(there)}"
            )
        columns[role] = rows.table[name]
    for role, name in (optional or {}).items():
        if role not in columns and name in there and name not in wanted.values():
            columns[role] = rows.table[name]
    return pa.table(columns)


class Cleaner:
    """Sets aside the rows of one table that cannot be used, column by column, and counts them."""

    def __init__(self, rows: Rows, table: Any, report: QualityReport, source: Source) -> None:
        self._rows = rows
        self._report = report
        self._source = source
        self.table = table
        self.kept: BoolArray = np.ones(table.num_rows, dtype=bool)
        source.read += table.num_rows + len(rows.bad_rows)
        if rows.bad_rows:
            report.set_aside(
                source,
                "bad lines",
                len(rows.bad_rows),
                "lines that are no statement or have the wrong number of cells, set aside",
                [place for place in rows.bad_rows if place],
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

    def seconds(self, column: str, *, now: int) -> None:
        """Make a column of UTC seconds between 1970 and now."""
        values, missing = self._seconds(column, now)
        self.set_aside(missing, "missing timestamps", "rows without a time", column)
        self._replace(column, pa.array(values))

    def seconds_or_null(self, column: str, *, now: int) -> None:
        """Make a column of UTC seconds between 1970 and now, null where there is no time."""
        values, missing = self._seconds(column, now)
        self._replace(column, pa.array(values, mask=missing))

    def _numbers(self, column: str) -> tuple[FloatArray, BoolArray]:
        values, missing, bad = to_floats(self.table[column])
        self.set_aside(bad, "unparsable cells", "no numbers", column)
        return values, missing

    def _seconds(self, column: str, now: int) -> tuple[IntArray, BoolArray]:
        values, missing, bad = to_seconds(self.table[column])
        self.set_aside(bad, "unparsable cells", "no numbers or dates", column)
        self.set_aside(values < 0, "negative timestamps", "before 1970", column)
        future = values > now
        hint = "later than now"
        if (future & self.kept).any() and np.median(values[future]) // 1000 <= now < np.median(values[future]):
            hint += "; they look like milliseconds: divide by 1000"
        if (future & self.kept).any():
            self._report.set_future(int(values[future & self.kept].min()))
        self.set_aside(future, "future timestamps", hint, column)
        return values, missing

    def result(self) -> Any:
        """The rows that are left."""
        return self.table if self.kept.all() else self.table.filter(pa.array(self.kept))

    def _replace(self, column: str, values: Any) -> None:
        self.table = self.table.set_column(self.table.column_names.index(column), column, values)


def to_ids(values: Any) -> Any:
    """Ids as Arrow strings; null where there is none.

    Raises:
        InvalidDataError: the column holds neither text nor whole numbers.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if pa.types.is_integer(array.type):
        return array.cast(pa.string())
    if pa.types.is_floating(array.type):
        numbers = array.cast(pa.float64())
        numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
        if not pc.all(pc.equal(numbers, pc.floor(numbers)), min_count=0).as_py():
            raise InvalidDataError("ids that are fractions are no ids: give text or whole numbers")
        return numbers.cast(pa.int64()).cast(pa.string())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or str(array.type) == "string_view":
        text = pc.utf8_trim_whitespace(array.cast(pa.string()))
        return pc.if_else(pc.equal(text, ""), None, text)
    raise InvalidDataError(f"ids of type {array.type} are no ids: give text or whole numbers")


def to_floats(values: Any) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Floats, which of them are missing (null, NaN, infinite), and which cells are no numbers; each (n,)."""
    array = _flat(values)
    bad = np.zeros(len(array), dtype=bool)
    if pa.types.is_string(array.type):
        lowered = pc.utf8_lower(pc.utf8_trim_whitespace(array))
        array = pc.if_else(pc.is_in(lowered, value_set=pa.array(["", "nan", "na", "null", "inf", "-inf"])), None, array)
        number = _mask(pc.match_substring_regex(array, NUMBER))
        bad = ~number & array.is_valid().to_numpy(zero_copy_only=False)
        plain = pc.replace_substring_regex(array, r"^\s*\+?([^\s]+)\s*$", r"\1")
        array = pc.if_else(pa.array(number), plain, None)
    try:
        floats: FloatArray = array.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InvalidDataError(f"a column of type {array.type} holds no numbers: {error}") from error
    return floats, ~np.isfinite(floats) & ~bad, bad


def to_seconds(values: Any) -> tuple[IntArray, BoolArray, BoolArray]:
    """UTC seconds, which are missing, and which cells are no time; each (n,). Missing and bad ones are 0."""
    array = _flat(values)
    size = len(array)
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(array.type):
        # Instants are UTC inside whatever the zone, so only the unit needs changing.
        unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        missing = array.is_null().to_numpy(zero_copy_only=False)
        ticks = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return ticks // unit, missing, np.zeros(size, dtype=bool)
    if not pa.types.is_string(array.type):
        floats, missing, bad = to_floats(array)
        return _whole_seconds(floats), missing, bad
    blank = _mask(pc.is_in(pc.utf8_trim_whitespace(array), value_set=pa.array(["", "NaN", "nan", "NaT", "null"])))
    array = pc.if_else(pa.array(blank), None, pc.utf8_trim_whitespace(array))
    number = _mask(pc.match_substring_regex(array, NUMBER))
    floats, missing, _ = to_floats(pc.if_else(pa.array(number), array, None))
    result = _whole_seconds(floats)
    texts = array.is_valid().to_numpy(zero_copy_only=False) & ~number
    bad = texts.copy()
    missing = missing & ~texts
    zoned = _mask(pc.match_substring_regex(array, r"[T ]\d\d.*(Z|[+-]\d\d:?\d\d)$"))
    for chosen, zone in ((texts & zoned, "UTC"), (texts & ~zoned, None)):
        rows = np.flatnonzero(chosen)
        shaped = _mask(
            pc.match_substring_regex(
                array.take(pa.array(rows)),
                r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
                r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$",
            )
        )
        rows = rows[shaped]
        if not len(rows):
            continue
        times, good = _parse_times(array.take(pa.array(rows)), zone)
        result[rows[good]] = times[good]
        bad[rows[good]] = False
    return result, missing, bad


def _parse_times(texts: Any, zone: str | None) -> tuple[IntArray, BoolArray]:
    """Seconds of texts that look like ISO 8601, and which exist in the calendar (30 February does not)."""
    kind = pa.timestamp("ns", zone)
    try:
        ticks = texts.cast(kind).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return ticks // 10**9, np.ones(len(texts), dtype=bool)
    except pa.ArrowException:
        if len(texts) == 1:
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool)
        half = len(texts) // 2
        parts = [_parse_times(texts[:half], zone), _parse_times(texts[half:], zone)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _whole_seconds(floats: FloatArray) -> IntArray:
    finite = np.where(np.isfinite(floats), floats, 0.0)
    seconds: IntArray = np.floor(np.clip(finite, -(2.0**62), 2.0**62)).astype(np.int64)
    return seconds


def _flat(values: Any) -> Any:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_large_string(array.type) or str(array.type) == "string_view":
        array = array.cast(pa.string())
    return array


def _mask(values: Any) -> BoolArray:
    result: BoolArray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return result


def infer_type(values: Any) -> Any:
    """A text column as integers, floats or booleans when every cell is one; ids such as "007" stay text."""
    array = _flat(values)
    if not pa.types.is_string(array.type) or array.null_count == len(array):
        return array
    for pattern, kind in ((r"^-?(0|[1-9]\d{0,17})$", pa.int64()), (r"^-?(0|[1-9]\d*)(\.\d+)?$", pa.float64())):
        if pc.all(pc.match_substring_regex(array, pattern)).as_py():
            return array.cast(kind)
    lowered = pc.utf8_lower(array)
    if pc.all(pc.is_in(lowered, value_set=pa.array(["true", "false", None]))).as_py():
        return pc.if_else(array.is_null(), None, pc.equal(lowered, "true"))
    return array
