"""Lines of text files: counted apart from the parser of their rows, so that no parser loses one in silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.sources.bounded import LINE, LineTooLongError
from kg.errors import InvalidDataError

PIECE_BYTES = 1 << 24
NEWLINE = b"\n"[0]


@dataclass(slots=True)
class LineCounter:
    """Counts the lines of a text that arrives in pieces; a line ends with a line feed, a carriage return, or both.

    Attributes:
        lines: number of lines, the empty ones among them.
        empty: number of lines without a character.
    """

    lines: int = 0
    empty: int = 0
    _at_start: bool = True
    _open: int = 0  # bytes of the line that has not ended
    _held: bytes = b""

    def add(self, piece: bytes) -> None:
        """Count the lines of one more piece.

        Raises:
            LineTooLongError: one is longer than a line may be.
        """
        piece, self._held = self._held + piece, b""
        if piece.endswith(b"\r"):  # a line feed may follow in the next piece
            piece, self._held = piece[:-1], b"\r"
        self._count(piece)

    def finish(self) -> LineCounter:
        """Count the last line, which may lack its line break; returns the counter."""
        self._count(self._held)
        self._held = b""
        if not self._at_start:
            self.lines += 1
            self._at_start = True
        return self

    def _count(self, piece: bytes) -> None:
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not piece:
            return
        end = piece.find(b"\n")
        if self._open + (len(piece) if end < 0 else end) > LINE:
            raise LineTooLongError(self.lines + 1)
        self._open = len(piece) - (piece.rfind(b"\n") + 1) + (self._open if end < 0 else 0)
        self.lines += piece.count(b"\n")
        if self._at_start and piece.startswith(b"\n"):
            self.empty += 1
        if b"\n\n" in piece:
            breaks = np.frombuffer(piece, dtype=np.uint8) == NEWLINE
            self.empty += int((breaks[1:] & breaks[:-1]).sum())
        self._at_start = piece.endswith(b"\n")


def count_lines(stream: IO[bytes], head: bytes = b"") -> LineCounter:
    """Count the lines of a stream from where it is to its end, those of `head` before it among them."""
    counter = LineCounter()
    counter.add(head)
    while piece := stream.read(PIECE_BYTES):
        counter.add(piece)
    return counter.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAccount:
    """What became of the lines of a file.

    Attributes:
        total: lines of the file, counted apart from the others.
        header: lines of the names of the columns.
        rows: lines on which a row begins.
        inside: further lines of rows whose cells hold line breaks.
        bad: lines that are in no row and were set aside.
        empty: lines without a character, outside of cells.
    """

    total: int
    header: int = 0
    rows: int = 0
    inside: int = 0
    bad: int = 0
    empty: int = 0

    @property
    def missing(self) -> int:
        """Lines of the file that are nowhere counted; below 0 when some were counted twice."""
        return self.total - self.header - self.rows - self.inside - self.bad - self.empty

    def check(self, name: str) -> LineAccount:
        """Refuse a file of which a line is nowhere counted; returns the account.

        Raises:
            InvalidDataError: the reader lost lines, or made some up.
        """
        if self.missing:
            raise InvalidDataError(
                f"{name} has {self.total} lines, but {self.header} of the header, {self.rows} of rows, {self.inside} "
                f"inside of cells, {self.bad} set aside and {self.empty} empty ones were counted: rows would be lost "
                "or made up. This is a fault of the reader: report it, and save the file as Parquet meanwhile"
            )
        return self


@dataclass(frozen=True, slots=True)
class CellLines:
    """Lines inside of the cells of a table.

    Attributes:
        inside: number of line breaks in cells.
        empty: how many of the lines in cells are empty.
        hidden: lines in the middle of cells that look like rows: where a quote is open by mistake, its cell holds them.
        examples: first row of each cell with such lines, and how many there are.
    """

    inside: int
    empty: int
    hidden: int
    examples: list[tuple[int, int]]


def lines_in_cells(table: Any, separator: str) -> CellLines:
    """Find the lines inside of cells.

    Args:
        table: columns of strings.
        separator: of the file's cells; lines with as many of them as a row look like rows.
    """
    inside = empty = hidden = 0
    examples: list[tuple[int, int]] = []
    for column in table.columns:
        broken = pc.or_(pc.match_substring(column, "\n"), pc.match_substring(column, "\r"))
        rows = np.flatnonzero(pc.fill_null(broken, False).to_numpy())
        for row, cell in zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True):
            lines = cell.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            inside += len(lines) - 1
            middle = lines[1:-1]
            filled = [line for line in middle if line]
            empty += len(middle) - len(filled)
            looks = [line.count(separator) == table.num_columns - 1 for line in filled]
            if table.num_columns > 1 and looks and all(looks):
                hidden += len(filled)
                examples.append((row, len(filled)))
    return CellLines(inside, empty, hidden, examples)
