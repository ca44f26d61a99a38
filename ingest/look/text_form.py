"""How a text file of a table is written: encoding, separator, header, quotes; told from its content."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ingest.settings import CsvForm
from ingest.sources.bounded import open_plain
from ingest.sources.tables import Rows, read_file
from ingest.sources.tables.values import NUMBER
from kg.errors import InvalidDataError

SEPARATORS = (",", "\t", ";", "|", "::", " ")
HEAD_BYTES = 1 << 18
PIECE_BYTES = 1 << 24
LINES = 200


def find_form(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The keys of `CsvForm` that differ from their defaults, and what is doubtful about them.

    Raises:
        InvalidDataError: the file is empty.
        OSError: it cannot be opened.
    """
    doubts: list[str] = []
    encoding = find_encoding(path)
    with io.TextIOWrapper(open_plain(path), encoding=encoding, errors="replace", newline="") as file:
        head = str(file.read(HEAD_BYTES)).removeprefix("\ufeff")
    lines = [line for line in head.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:LINES] if line.strip()]
    if not lines:
        raise InvalidDataError(f"{path.name} is empty")
    separator = _separator(lines)
    default = "\t" if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","
    form: dict[str, Any] = {}
    if encoding != "utf-8":
        form["encoding"] = encoding
        doubts.append(doubt_of_encoding(encoding))
    if separator != default:
        form["separator"] = separator
    if len(separator) > 1:
        form["quotes"] = "none"
    rows = [_cells(line, separator) for line in lines]
    if not _has_header(rows):
        form["header"] = [f"column_{number}" for number in range(1, len(rows[0]) + 1)]
        doubts.append("it has no line with the names of its columns: give them better ones in header")
    return form, doubts


def read_found(path: Path, name: str, form: dict[str, Any]) -> tuple[Rows, dict[str, Any]]:
    """The rows of a file, and the form with the way of quoting that loses the fewest lines."""
    rows = read_file(path, name=name, form=CsvForm(**form))
    if not rows.bad_lines or "quotes" in form:
        return rows, form
    best = (rows, form)
    for quotes in ("backslash", "none"):
        other = {**form, "quotes": quotes}
        try:
            others = read_file(path, name=name, form=CsvForm(**other))
        except InvalidDataError:
            continue
        # Cells that keep their quotes were quoted after all.
        is_quoted = all(re.fullmatch(r'".*"', column) for column in others.table.column_names)
        if others.bad_lines < best[0].bad_lines and not is_quoted:
            best = (others, other)
    return best


def is_lists(path: Path) -> bool:
    """Whether each line of a text file is a user and then the items, separated by blanks, as in many benchmarks."""
    with io.TextIOWrapper(open_plain(path), encoding=find_encoding(path), errors="replace") as file:
        head = file.read(HEAD_BYTES)
    lines = [line.split() for line in head.splitlines()[:LINES] if line.strip()]
    if len(lines) == LINES or len(head) == HEAD_BYTES:
        lines = lines[:-1] or lines  # the last one may be cut
    counts = {len(line) for line in lines}
    users = {line[0] for line in lines}
    plain = all(re.fullmatch(r"[\w:-]+", word) for line in lines for word in line)
    return plain and len(counts) > 1 and max(counts) > 2 and len(users) == len(lines)


def find_encoding(path: Path) -> str:
    """UTF-8 if all of a file is, or UTF-16 by its mark; otherwise a guess, latin-1 or cp1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_plain(path) as file:
        first = file.read(4)
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        windows = False
        good = True
        while piece := file.read(PIECE_BYTES):
            windows = windows or re.search(rb"[\x80-\x9f]", piece) is not None
            if good:
                try:
                    decoder.decode(piece)
                except UnicodeDecodeError:
                    good = False
    return "utf-8" if good else ("cp1252" if windows else "latin-1")


def doubt_of_encoding(encoding: str) -> str:
    """What is doubtful about an encoding that is not UTF-8."""
    return f"it is no UTF-8: {encoding} is a guess, look at its accents"


def _separator(lines: list[str]) -> str:
    """The separator that cuts most lines into the same number of cells, more than one; the more cells the better."""
    best, best_score = ",", 0.0
    for separator in SEPARATORS:
        counts = Counter(len(_cells(line, separator)) for line in lines)
        width, number = counts.most_common(1)[0]
        even = number / len(lines)
        # Blanks stand in texts, and two characters are no accident.
        weight = 0.5 if separator == " " else (2.0 if len(separator) > 1 else 1.0)
        score = weight * even * even * min(width, 12) if width > 1 else 0.0
        if score > best_score:
            best, best_score = separator, score
    return best


def _cells(line: str, separator: str) -> list[str]:
    if len(separator) > 1:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator))


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row differs from the others as names differ from values."""
    first, others = rows[0], rows[1:]
    if any(re.match(NUMBER, cell) or re.match(r"^\d{4}-\d\d-\d\d", cell) for cell in first if cell.strip()):
        return False
    if len(set(first)) < len(first) or not all(cell.strip() for cell in first):
        return False
    if not others:
        return True
    width = range(len(first))
    numeric = any(all(re.match(NUMBER, row[at]) for row in others if at < len(row) and row[at].strip()) for at in width)
    short = all(len(cell) <= 40 for cell in first)
    again = any(cell in {row[at] for row in others if at < len(row)} for at, cell in enumerate(first))
    return numeric or (short and not again)
