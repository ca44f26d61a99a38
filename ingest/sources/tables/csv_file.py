"""CSV and TSV files, plain or .gz, every cell as text; DuckDB parses them.

DuckDB reads a well-formed file from the disk in one pass and refuses every other: also one whose lone quotes would make
a long cell of many rows, which pyarrow's reader takes. It cannot keep three promises of this reader, so a file that it
refuses is looked through by `ingest.sources.tables.csv_records` first, and DuckDB parses the good records:

- Bad records are set aside with their line. DuckDB's `store_rejects` numbers records, not lines, and drops a record
  whose quote is open at the end of the file without a word, with all rows in between.
- Line breaks may be mixed, lines may be long, and blank lines before the header or in a file of one column are none.
- A damaged .gz file is refused: DuckDB does not compare the checksum, so Python does.

Whatever parsed it, the lines of the file are counted apart and compared with what became of them (`LineAccount`).
"""

from __future__ import annotations

import codecs
import csv
import glob
import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from ingest.report import MAX_EXAMPLES
from ingest.settings import CsvForm
from ingest.sources.bounded import LineTooLongError, check_columns, is_gzip, open_plain, packed_as, read_whole
from ingest.sources.tables.apart import apart_if_large
from ingest.sources.tables.backslashes import APART, double_quotes
from ingest.sources.tables.csv_records import CsvRecords, find_records
from ingest.sources.tables.lines import PIECE_BYTES, CellLines, LineAccount, LineCounter, count_lines, lines_in_cells
from ingest.sources.tables.rows import Rows
from kg.errors import InvalidDataError

HEAD_BYTES = 1 << 20
LINE_BYTES = 2_000_000  # DuckDB's own limit


def read_csv(path: Path, *, name: str, form: CsvForm) -> Rows:
    """Read a CSV file; empty cells are null.

    Args:
        path: of the file, .gz when it is compressed.
        name: in messages.
        form: its separator (default: comma), its quotes, and the names of its columns if no line holds them.

    Raises:
        InvalidDataError: the file is empty, no UTF-8 text, or names a column twice.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    import duckdb  # takes .08 s, which a refresh that finds nothing new need not wait

    separator = form.separator or ","
    if len(separator.encode()) != 1 or separator in '"\r\n\\':
        raise InvalidDataError(f"{separator!r} cannot separate the cells of {name}: give one ASCII character")
    head, counted = _head(path, name)
    if not head.strip():
        raise InvalidDataError(f"{name} is empty")
    columns, header_lines = _header(head, form) if form.header is None else (list(form.header), 0)
    check_columns(columns, name)

    written = {key: getattr(form, key) for key in CsvForm.model_fields}

    @cache
    def by_records() -> Rows:
        header = not form.header
        return read_by_records(
            path, name=name, columns=columns, header=header, form=written, lines_of_file=counted.lines
        )

    def place(row: int) -> str:
        return by_records().place(row) if row < by_records().table.num_rows else f"{name}, row {row}"

    # DuckDB takes blank lines for rows of one empty cell, and the characters of a pattern in a path for a pattern.
    plain = len(columns) > 1 and not head.startswith((b"\n", b"\r")) and not glob.has_magic(str(path))
    if plain and form.quotes != "backslash":
        try:
            table = _parse(path, columns, form, header=not form.header)
        except duckdb.Error:
            pass  # find out which lines are bad
        else:
            cells = lines_in_cells(table, separator)
            empty = counted.empty - cells.empty
            lines = LineAccount(
                total=counted.lines, header=header_lines, rows=table.num_rows, inside=cells.inside, empty=empty
            )
            if not lines.missing:
                return Rows(table, name, place, lines=lines, hidden=_hidden(cells, place))
    return by_records()


@apart_if_large
def read_by_records(
    path: Path, *, name: str, columns: Sequence[str], header: bool, form: Mapping[str, Any], lines_of_file: int
) -> Rows:
    """Read a CSV file that DuckDB refuses, or lacks the lines of.

    Args:
        path: of the file.
        name: in messages.
        columns: their names.
        header: whether the first record holds them.
        form: `CsvForm` as plain data.
        lines_of_file: counted apart.

    Raises:
        InvalidDataError: the file is no UTF-8 text.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    settings = CsvForm.model_validate(form)
    separator = settings.separator or ","
    text = _text(path, name)
    if settings.quotes == "backslash":
        text = double_quotes(text, separator)
    good = find_records(text, separator=separator, width=len(columns), header=header)
    table = _parse_text(good, columns, settings, name)
    lines = LineAccount(
        total=lines_of_file,
        header=good.header_lines,
        rows=table.num_rows,
        inside=good.inside_lines,
        bad=good.bad_lines,
        empty=good.empty_lines,
    )

    def place(row: int) -> str:
        return f"{name}:{good.lines[row]}"

    return Rows(
        table,
        name,
        place,
        good.bad_lines,
        [f"{name}:{example}" for example in good.examples],
        lines=lines.check(name),
        hidden=_hidden(lines_in_cells(table, separator), place),
        numbers=good.lines,
    )


def _hidden(cells: CellLines, place: Callable[[int], str]) -> tuple[int, list[str]]:
    """Lines inside of cells that look like rows, and the places of the first of these cells."""
    first = cells.examples[:MAX_EXAMPLES]
    return cells.hidden, [f"{place(row)}: {count} lines are inside a quoted cell" for row, count in first]


def _head(path: Path, name: str) -> tuple[bytes, LineCounter]:
    """The first bytes of a file without its byte order mark, and the number of its lines.

    All of the file is read, so that a .gz file is decompressed and its checksum compared.
    """
    with open_plain(path, name=name) as file:
        head: bytes = file.read(HEAD_BYTES).removeprefix(codecs.BOM_UTF8)
        try:
            return head, count_lines(file, head)
        except LineTooLongError as error:
            raise error.explained(name) from None


def _text(path: Path, name: str) -> bytes:
    """All bytes of a file without its byte order mark.

    Raises:
        InvalidDataError: they are no UTF-8 text; the message has the line.
    """
    with open_plain(path, name=name) as file:
        data = read_whole(file, name)
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = 0
    try:
        for start in range(0, len(data), PIECE_BYTES):
            stop = start + PIECE_BYTES
            decoder.decode(data[start:stop], final=stop >= len(data))
    except UnicodeDecodeError as error:
        # The decoder keeps the beginning of a character that a piece cuts, so the line can be one too early.
        line = data.count(b"\n", 0, start + error.start) + 1
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        looks = ", it looks like UTF-16" if utf16 else ""
        if packed := packed_as(data):
            raise InvalidDataError(f"{name} is no text{packed}") from error
        raise InvalidDataError(
            f'{name}:{line} is not UTF-8 text{looks}: write the encoding of the file, such as encoding = "latin-1"'
        ) from error
    return data.removeprefix(codecs.BOM_UTF8)


def _header(head: bytes, form: CsvForm) -> tuple[list[str], int]:
    """The names of the columns, and how many lines they take."""
    separator = form.separator or ","
    if form.quotes == "backslash":
        head = double_quotes(head, separator).replace(APART, b"")
    text = head.decode("utf-8", errors="replace").lstrip("\r\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return next(reader), reader.line_num


def _parse(path: Path, columns: Sequence[str], form: CsvForm, *, header: bool, options: str = "") -> Any:
    """The Arrow table of a well-formed file.

    Raises:
        duckdb.Error: it is not well-formed.
    """
    import duckdb

    # DuckDB takes names that differ only in case for the same, so it gets others.
    types = {f"c{position}": "VARCHAR" for position in range(len(columns))}
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        relation = connection.sql(
            f"""
            SELECT * FROM read_csv(?, columns = {types}, auto_detect = false, header = {header}, delim = ?,
                quote = '"', escape = '"', nullstr = '', compression = ?, hive_partitioning = false
                {options})
            """,  # noqa: S608 (all of it is made here)
            params=[str(path.absolute()), form.separator or ",", "gzip" if is_gzip(path) else "none"],
        )
        return relation.to_arrow_table().rename_columns(list(columns))


def _parse_text(records: CsvRecords, columns: Sequence[str], form: CsvForm, name: str) -> Any:
    """The Arrow table of the good records of a file."""
    import duckdb

    if not len(records.lines):
        return pa.table({column: pa.array([], pa.string()) for column in columns})
    with TemporaryDirectory(prefix="graphrecall-") as folder:
        copy = Path(folder) / "records.csv"
        copy.write_bytes(records.text)
        options = rf", new_line = '\n', max_line_size = {max(records.longest, LINE_BYTES)}"
        try:
            return _parse(copy, columns, form, header=False, options=options)
        except duckdb.Error as error:
            raise InvalidDataError(f"{name} cannot be read as a table: {error}") from error
