"""Files of lines whose cells are never quoted: a line is a row, and a quote is a character like any other.

Old data sets (`.dat`, `u.item`) and atomic files are written so, some with a separator of several characters. DuckDB
numbers records and not lines, pyarrow takes one character; splitting whole columns with Arrow's own functions takes any
separator, and every line is accounted for by its number.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import MAX_EXAMPLES
from ingest.sources.bounded import check_columns
from ingest.sources.tables.apart import apart_if_large
from ingest.sources.tables.lines import LineAccount, count_lines
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.text import decoded
from kg.errors import InvalidDataError

SHOWN_CHARACTERS = 120
NULL = r"\N"  # as databases export it, and IMDb


@apart_if_large
def read_plain(
    path: Path, *, name: str, separator: str, header: Sequence[str] | None, encodings: Sequence[str] = ("utf-8",)
) -> Rows:
    r"""Read a file without quotes; every cell is text, empty ones and `\N` are null.

    Args:
        path: of the file, .gz when it is compressed.
        name: in messages.
        separator: between cells, one or more characters.
        header: names of the columns of a file without a header line; None: its first line holds them.
        encodings: the first one that the file is in is taken.

    Raises:
        InvalidDataError: the file is empty, in none of the encodings, or names a column twice.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    text = decoded(path, name=name, encodings=encodings).replace("\r\n", "\n").replace("\r", "\n")
    lines = pc.list_flatten(pc.split_pattern(pa.array([text], pa.large_string()), "\n"))
    numbers = np.flatnonzero(pc.not_equal(lines, "").to_numpy(zero_copy_only=False))
    if not len(numbers):
        raise InvalidDataError(f"{name} is empty")
    columns = list(header) if header else lines[int(numbers[0])].as_py().split(separator)
    check_columns(columns, name)
    numbers = numbers if header else numbers[1:]
    cells = pc.split_pattern(lines.take(pa.array(numbers)), separator)
    counts = pc.list_value_length(cells).to_numpy()
    good = counts == len(columns)
    account = LineAccount(
        total=count_lines(io.BytesIO(text.encode())).lines,
        header=0 if header else 1,
        rows=int(good.sum()),
        bad=int((~good).sum()),
        # What follows the last line break is no line when it is empty.
        empty=len(lines) - len(numbers) - (0 if header else 1) - text.endswith("\n"),
    )
    bad = np.flatnonzero(~good)
    kept = numbers[good] + 1
    return Rows(
        _columns(cells.filter(pa.array(good)), columns),
        name,
        lambda row: f"{name}:{kept[row]}",
        bad_lines=len(bad),
        bad_examples=[
            f"{name}:{int(numbers[i]) + 1}: {counts[i]} cells where {len(columns)} are expected: "
            f"{lines[int(numbers[i])].as_py()[:SHOWN_CHARACTERS]}"
            for i in bad[:MAX_EXAMPLES]
        ],
        lines=account.check(name),
        numbers=kept,
    )


def _columns(cells: Any, columns: Sequence[str]) -> Any:
    """Lists of as many cells as there are columns, as a table."""
    flat = pc.list_flatten(cells).cast(pa.string())
    flat = pc.if_else(pc.is_in(flat, value_set=pa.array(["", NULL])), None, flat)
    places = np.arange(len(flat)).reshape(-1, len(columns))
    return pa.table({column: flat.take(pa.array(places[:, at])) for at, column in enumerate(columns)})
