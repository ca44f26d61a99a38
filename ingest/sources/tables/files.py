"""Files of tables: CSV and TSV, Parquet, JSON lines, and lists of items."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES, Finding
from ingest.settings import CsvForm
from ingest.sources.tables.apart import apart_if_large
from ingest.sources.tables.csv_file import read_csv
from ingest.sources.tables.json_lines import is_json, read_json_lines
from ingest.sources.tables.lines import LineAccount, count_lines
from ingest.sources.tables.parquet_file import read_parquet
from ingest.sources.tables.plain_file import read_plain
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.text import UTF_8, decoded, utf8_copy
from kg.errors import InvalidDataError

PLAIN = CsvForm()


@contextmanager
def _file_errors(path: Path, name: str, key: str) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read, and which key of the configuration names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidDataError(f"{path} does not exist: check the path in {key}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDataError(f"{name} is a damaged .gz file: {error}") from error
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise InvalidDataError(f"{name} cannot be read as a table: {error}") from error


def read_file(path: Path, *, name: str, form: CsvForm = PLAIN) -> Rows:
    """Read CSV, TSV, JSON lines (plain or .gz; every cell as text) or Parquet.

    Args:
        path: of the file; its name says what it is.
        name: in messages.
        form: how a CSV file is written, and the encoding of a text file.

    Raises:
        InvalidDataError: the file is missing, empty, damaged, or in another encoding.
    """
    with _file_errors(path, name, "sources"):
        suffixes = [suffix.lower() for suffix in path.suffixes]
        if suffixes[-1:] in ([".parquet"], [".pq"]):
            rows = Rows(read_parquet(path, name=name), name, lambda row: f"{name}, row {row}")
        elif is_json(path):
            rows = read_json_lines(path, name=name, encoding=form.encoding)
        else:
            tabs = [suffix for suffix in suffixes if suffix != ".gz"][-1:] in ([".tsv"], [".tab"])
            separator = form.separator or ("\t" if tabs else ",")
            rows = _read_csv(path, name, form.model_copy(update={"separator": separator}))
    if not rows.table.num_rows and not rows.bad_lines:
        raise InvalidDataError(f"{name} is empty: it has no rows")
    return rows


def _read_csv(path: Path, name: str, form: CsvForm) -> Rows:
    """A CSV file in any encoding: the strict reader reads UTF-8, so others are copied."""
    if form.quotes == "none":
        separator = form.separator or ","
        return read_plain(path, name=name, separator=separator, header=form.header, encodings=(form.encoding,))
    if form.encoding.lower() in UTF_8:
        return read_csv(path, name=name, form=form)
    folder, copy = utf8_copy(path, name=name, encoding=form.encoding)
    rows = read_csv(copy, name=name, form=form)
    read_place = rows.place

    def place(row: int, _kept: object = folder) -> str:  # places are looked up in the copy
        return read_place(row)

    rows.place = place
    return rows


def read_lists(path: Path, *, name: str, encoding: str = "utf-8") -> Rows:
    """Read a file of lists: a line a user, user id and then the ids of the items, separated by blanks.

    Args:
        path: of the file, .gz when it is compressed.
        name: in messages.
        encoding: of the file.

    Returns:
        Rows of `user_id`, `item_id` (strings), those of a user in the order of the file.

    Raises:
        InvalidDataError: the file is missing, empty, damaged, or in another encoding.
    """
    with _file_errors(path, name, "sources.interactions"):
        return _read_lists(path, name=name, encoding=encoding)


@apart_if_large
def _read_lists(path: Path, *, name: str, encoding: str) -> Rows:
    text = decoded(path, name=name, encodings=(encoding,))
    # A line break of any kind ends a line, but not the other characters that `splitlines` takes for one.
    lines = [line.split() for line in re.split("\r\n|\n|\r", text)]
    counts = np.array([max(len(line) - 1, 0) for line in lines], dtype=np.int64)
    if not counts.sum():
        raise InvalidDataError(f"{name} is empty: no line has a user and an item")
    users = pa.array([line[0] if line else None for line in lines], type=pa.string())
    number = np.repeat(np.arange(len(lines)), counts)  # from 0
    items = pa.array([item for line in lines for item in line[1:]], type=pa.string())
    table = pa.table({"user_id": users.take(pa.array(number)), "item_id": items})
    alone = [at for at, line in enumerate(lines) if len(line) == 1]
    without_items = Finding(
        "users without items",
        "info",
        len(alone),
        "lines of a user without any item: they say nothing and are left out",
        [f"{name}:{at + 1}: {lines[at][0]}" for at in alone[:MAX_EXAMPLES]],
    )
    account = LineAccount(
        total=count_lines(io.BytesIO(text.encode())).lines,
        rows=int((counts > 0).sum()),
        bad=len(alone),
        # What follows the last line break is no line when it is empty.
        empty=sum(not line for line in lines) - text.endswith(("\n", "\r")),
    )
    return Rows(
        table,
        name,
        lambda row: f"{name}:{int(number[row]) + 1}",
        ordered=True,
        lines=account.check(name),
        findings=[without_items],
        numbers=number + 1,
    )
