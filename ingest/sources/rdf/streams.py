"""Streams that RDF is read from: counted, without a byte order mark, checked as XML, in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO, Any
from xml.parsers import expat

from kg.progress import Task

BLOCK_BYTES = 1 << 22
_CUT_OFF = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]


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


class WellFormedStream:
    """An XML file that is checked while it is read: the RDF parser takes one that was cut off between two elements."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._checker = expat.ParserCreate()
        self._error: expat.ExpatError | None = None

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        data: bytes = self._raw.read(size)
        self._check(data, last=False)
        return data

    def close(self) -> None:
        """Say that all of it was read.

        Raises:
            SyntaxError: it is no XML document; the error has the line.
        """
        self._check(b"", last=True)
        if self._error is not None:
            reason = "the file ends too early" if self._error.code == _CUT_OFF else expat.ErrorString(self._error.code)
            raise SyntaxError(reason, ("", self._error.lineno, self._error.offset, "")) from self._error

    def _check(self, data: bytes, *, last: bool) -> None:
        if self._error is None:
            try:
                self._checker.Parse(data, last)
            except expat.ExpatError as error:
                self._error = error


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
