"""Streams that RDF is read from: counted, without a byte order mark, in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ingest.sources.bounded import LINE
from kg.progress import Task

BLOCK_BYTES = 1 << 22
BEGIN = 200


class CountedStream:
    """A file that reports to a progress task how far it was read."""

    def __init__(self, raw: IO[bytes], task: Task) -> None:
        self._raw = raw
        self._task = task

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        data = self._raw.read(size)
        self._task.advance(len(data))
        return data


class UnmarkedStream:
    """A file without the byte order mark that some editors put before the first statement."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        data: bytes = self._raw.read(size)
        if self._begun or not data.startswith(codecs.BOM_UTF8):
            self._begun = True
            return data
        self._begun = True
        return data.removeprefix(codecs.BOM_UTF8) or self._raw.read(size)


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that is too long to be read.

    Attributes:
        begin: its first bytes.
    """

    begin: bytes


def blocks_of_lines(stream: IO[bytes]) -> Iterator[bytes | LongLine]:
    """Blocks that end with a line break, and what is left of lines of more than `bounded.LINE` bytes."""
    rest: list[bytes] = []  # of the line that has not ended; joined once, or long lines would take quadratic time
    length = 0
    while data := stream.read(BLOCK_BYTES):
        first, end = data.find(b"\n") + 1, data.rfind(b"\n") + 1
        if length + (first or len(data)) > LINE:
            rest = [(b"".join(rest) or data)[:BEGIN]]
            length = LINE + 1
            if not first:
                continue
            yield LongLine(rest[0])
            rest, length, data, end = [], 0, data[first:], end - first
        if end:
            yield b"".join([*rest, data[:end]])
            rest, length = [], 0
        if data[end:]:
            rest.append(data[end:])
            length += len(data) - end
    if length > LINE:
        yield LongLine(rest[0])
    elif rest:
        yield b"".join(rest) + b"\n"
