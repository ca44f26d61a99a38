"""Streams that RDF is read from: counted, without a byte order mark, in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO, Any

from kg.progress import Task

BLOCK_BYTES = 1 << 22


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


def blocks_of_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks that end with a line break."""
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            continue
        yield rest + data[:end]
        rest = data[end:]
    if rest:
        yield rest + b"\n"
