"""Where the records of a CSV text begin, and which of its lines belong to none.

A record is a line, or several where a quoted cell holds line breaks. As in DuckDB's strict mode it is good when it has
the expected number of cells (more do not count if they are empty and at its end) and its quotes are those of RFC 4180:
a cell that begins with a quote ends with one, and a quote inside it is doubled. A line whose quote is never closed, or
is followed by other text, is bad alone: the next record begins on the next line, so that one bad cell takes no other
line with it. Of a record with the wrong number of cells every line is bad.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.report import MAX_EXAMPLES
from ingest.sources.tables.backslashes import APART
from kg.arrays import IntArray, distinct

NEWLINE, RETURN, QUOTE = b'\n\r"'
LINE_BREAK = rb"(?:\r\n|\n|\r)"
SHOWN_CHARACTERS = 120

# What a line is. Blank lines and the header are SKIPPED.
SKIPPED, GOOD, CONTINUES_GOOD, BAD, CONTINUES_BAD = range(5)


@dataclass(frozen=True, slots=True)
class CsvRecords:
    """The records of a CSV text.

    Attributes:
        text: the good records, one after the other, without the header; each ends in a line feed.
        lines: the line on which each of them begins, counted from 1, int64 (records,).
        longest: bytes of the longest one.
        header_lines: number of lines of the header.
        inside_lines: number of further lines of the good records, in whose cells there are line breaks.
        bad_lines: number of lines that are in no good record, blank ones not counted.
        empty_lines: number of blank lines outside of records.
        examples: the first of them as "17: reason: text".
    """

    text: bytes
    lines: IntArray
    longest: int
    header_lines: int
    inside_lines: int
    bad_lines: int
    empty_lines: int
    examples: list[str]


def find_records(data: bytes, *, separator: str, width: int, header: bool) -> CsvRecords:
    """Find the good records of a text, and the lines that are in none.

    Args:
        data: UTF-8 text without a byte order mark; `APART` in it is in no record.
        separator: between cells, one character.
        width: expected number of cells.
        header: whether the first record holds the names of the columns; it is left out.
    """
    if not data.endswith((b"\n", b"\r")):
        data += b"\n"
    values = np.frombuffer(data, dtype=np.uint8)
    starts, ends, nexts = _lines(values)
    patterns = _Patterns.of(separator, width)
    cells = _simple_cells(data, starts, ends, separator.encode(), width)
    status = np.where(ends == starts, SKIPPED, np.where(cells == width, GOOD, BAD)).astype(np.int8)
    reasons: dict[int, str] = {}
    line = 0  # lines before this one are settled
    header_lines = 0
    if header:
        first = int((status != SKIPPED).argmax())
        match = patterns.closed.match(data, int(starts[first]))
        line = _line_after(nexts, first, match.end() if match else 0)
        header_lines = line - first
        status[:line] = SKIPPED
    quotes = np.flatnonzero(values == QUOTE)
    for quoted in distinct(np.searchsorted(nexts, quotes, side="right")).tolist():
        if quoted < line:
            continue
        start = int(starts[quoted])
        if (match := patterns.plain.match(data, start)) and match.end() > start:
            line = int(np.searchsorted(nexts, match.end())) + 1
            inside = np.searchsorted(quotes, starts[quoted:line]) - np.searchsorted(quotes, start)
            status[quoted:line] = np.where(inside % 2, CONTINUES_GOOD, GOOD)
        elif match := patterns.good.match(data, start):
            line = _line_after(nexts, quoted, match.end())
            status[quoted] = GOOD
            status[quoted + 1 : line] = CONTINUES_GOOD
        elif match := patterns.closed.match(data, start):
            line = _line_after(nexts, quoted, match.end())
            status[quoted] = BAD
            status[quoted + 1 : line] = CONTINUES_BAD
            reasons[quoted] = f"{len(patterns.cell.findall(match[0]))} cells where {width} are expected"
        else:
            line = quoted + 1
            status[quoted] = BAD
            reasons[quoted] = "a quote is not closed, or text follows it (does the key `quotes` fit the file?)"
    examples = [
        f"{number + 1}: {reasons.get(number, f'{cells[number]} cells where {width} are expected')}: "
        + _shown(data[starts[number] : ends[number]])
        for number in np.flatnonzero(status == BAD)[:MAX_EXAMPLES].tolist()
    ]
    text, longest = _good_text(values, starts, ends, nexts, status)
    return CsvRecords(
        text=text,
        lines=np.flatnonzero(status == GOOD) + 1,
        longest=longest,
        header_lines=header_lines,
        inside_lines=int((status == CONTINUES_GOOD).sum()),
        bad_lines=int((status >= BAD).sum()),
        empty_lines=int((status == SKIPPED).sum()) - header_lines,
        examples=examples,
    )


def _shown(line: bytes) -> str:
    """The beginning of a line, for a message."""
    return line[: 4 * SHOWN_CHARACTERS].replace(APART, b"").decode(errors="replace")[:SHOWN_CHARACTERS]


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Regular expressions of records.

    Attributes:
        cell: one cell with what ends it.
        good: a record of the right width.
        closed: a record of any width.
        plain: as many records of the right width as follow each other, in which only quoted cells have quotes.
    """

    cell: re.Pattern[bytes]
    good: re.Pattern[bytes]
    closed: re.Pattern[bytes]
    plain: re.Pattern[bytes]

    @classmethod
    def of(cls, separator: str, width: int) -> _Patterns:
        sep = re.escape(separator.encode())
        text = rb'"(?:[^"]++|"")*+"'
        plain = rb"(?:" + text + rb'|[^"\r\n' + sep + rb"]*+)"
        if separator != " ":
            # DuckDB lets one blank stand before a quoted cell, and blanks and more quoted text after it.
            text = rb" ?+" + text + rb"(?: *+" + text + rb")*+ *+"
        cell = rb"(?:" + text + rb'|(?! ?")[^\r\n' + sep + rb"]*+)"
        surplus = rb"(?:" + sep + rb'(?: ?+"" *+)?+)*+'
        others = rb"{%d}" % (width - 1)
        return cls(
            cell=re.compile(cell + rb"(?:" + sep + rb"|" + LINE_BREAK + rb")"),
            good=re.compile(cell + rb"(?:" + sep + cell + rb")" + others + surplus + LINE_BREAK),
            closed=re.compile(cell + rb"(?:" + sep + cell + rb")*+" + LINE_BREAK),
            plain=re.compile(rb"(?:" + plain + rb"(?:" + sep + plain + rb")" + others + LINE_BREAK + rb")*+"),
        )


def _lines(values: npt.NDArray[np.uint8]) -> tuple[IntArray, IntArray, IntArray]:
    """First byte, end without the line break, and first byte of the next line, of each line."""
    feeds, returns = np.flatnonzero(values == NEWLINE), np.flatnonzero(values == RETURN)
    if not len(returns):
        return np.concatenate([[0], feeds[:-1] + 1]), feeds, feeds + 1
    paired = values[np.minimum(returns + 1, len(values) - 1)] == NEWLINE
    nexts = np.sort(np.concatenate([feeds, returns[~paired]])) + 1
    ends = nexts - 1
    ends = ends - ((values[ends] == NEWLINE) & (values[ends - 1] == RETURN) & (ends > 0))
    return np.concatenate([[0], nexts[:-1]]), ends, nexts


def _simple_cells(data: bytes, starts: IntArray, ends: IntArray, separator: bytes, width: int) -> IntArray:
    """The number of cells of each line as if it had no quotes; empty ones at its end beyond `width` do not count."""
    separators = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == separator[0])
    cells: IntArray = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
    for line in np.flatnonzero(cells > width).tolist():
        text = data[starts[line] : ends[line]]
        cells[line] = max(cells[line] - (len(text) - len(text.rstrip(separator))), width)
    return cells


def _line_after(nexts: IntArray, line: int, end: int) -> int:
    """The number of the line after a record that begins on `line` and ends at byte `end`."""
    while nexts[line] < end:
        line += 1
    return line + 1


def _good_text(
    values: npt.NDArray[np.uint8], starts: IntArray, ends: IntArray, nexts: IntArray, status: npt.NDArray[np.int8]
) -> tuple[bytes, int]:
    """The good records, each ended by a line feed, and the length of the longest."""
    good = (status == GOOD) | (status == CONTINUES_GOOD)
    if not good.any():
        return b"", 0
    kept = np.repeat(good, nexts - starts)
    # A line break in a cell stays as it is; one after a record becomes a line feed.
    last = good & np.append(status[1:] != CONTINUES_GOOD, True)
    values = values.copy()
    values[nexts[last] - 1] = NEWLINE
    kept[ends[last & (nexts - ends == 2)]] = False
    kept &= values != APART[0]
    begins = np.append(starts[status == GOOD], nexts[good][-1])
    return values[kept].tobytes(), int(np.diff(begins).max())
