"""Files from outside, opened with limits: a few bytes can stand for more than a machine holds, or never end.

The limits are far beyond what files of data have, and are stated in docs/security.md.
"""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from kg.errors import InvalidDataError

EXPANSION = 200  # bytes that one byte of a .gz file may stand for
FREE = 256 << 20  # bytes that any .gz file may hold
LINE = 16 << 20
COLUMNS = 10_000
SHARE = (
    8  # a text that is read whole may take this part of the machine's memory: it takes several times as much on the way
)
PIECE = 1 << 22
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


class LineTooLongError(Exception):
    """A line is longer than `LINE` bytes.

    Attributes:
        line: its number, from 1.
    """

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line

    def explained(self, name: str) -> InvalidDataError:
        """The error for the user.

        Args:
            name: of the file.
        """
        return InvalidDataError(
            f"{name}:{self.line} is longer than {LINE >> 20} MiB, the most that a line may have: does the file have "
            "line breaks at all?"
        )


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed, by its name."""
    return path.suffix.lower() == ".gz"


def open_plain(path: Path, *, name: str | None = None) -> Any:
    """The bytes of a file as a stream, decompressed when its name ends in .gz.

    Args:
        path: of the file.
        name: in messages; default: its own.

    Raises:
        InvalidDataError: while it is read: it holds far more than its size.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    if not is_gzip(path):
        return path.open("rb")
    return BoundedGzip(path.open("rb"), path.stat().st_size, name or path.name)


class BoundedGzip(gzip.GzipFile):
    """A .gz file that may not hold far more than its size.

    Args:
        raw: its bytes.
        size: number of them.
        name: in messages.
    """

    def __init__(self, raw: Any, size: int, name: str) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw_file = raw
        self._most = max(EXPANSION * size, FREE)
        self._name = name
        self._held = 0

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; none at the end."""
        if size is not None and size >= 0:
            return self._counted(super().read(size))
        pieces = []
        while piece := self.read(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """Bytes that are at hand."""
        return self._counted(super().read1(size))

    def close(self) -> None:
        """Close it, and the file below."""
        super().close()
        self._raw_file.close()

    def _counted(self, data: bytes) -> bytes:
        self._held += len(data)
        if self._held > self._most:
            raise InvalidDataError(
                f"{self._name} holds more than {self._most >> 20:,} MB, {EXPANSION} times its size: it is refused as a "
                "bomb. If it is none, unpack it and name the file that comes out"
            )
        return data


def read_whole(stream: IO[bytes], name: str) -> bytes:
    """All bytes of a stream that cannot be read in parts.

    Args:
        stream: from its beginning.
        name: of the file, in messages.

    Raises:
        InvalidDataError: they are too many for the memory of this machine.
    """
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE
    pieces, count = [], 0
    while piece := stream.read(PIECE):
        pieces.append(piece)
        count += len(piece)
        if count > most:
            raise InvalidDataError(
                f"{name} has more than {most >> 20:,} MB and would have to be read whole, which takes several times as "
                "much memory: save it as Parquet, or in parts"
            )
    return b"".join(pieces)


def packed_as(data: bytes) -> str:
    """What a file that is no text seems to be, with what to do, for a message; empty where nobody knows."""
    for start, kind in PACKED.items():
        if data.startswith(start):
            how = "name it .gz" if kind == "gzip" else "unpack it, or pack it as .gz"
            return f": it is packed with {kind}, {how}"
    return ""


def check_columns(columns: Sequence[str], name: str, *, advice: str = "is the separator the right one?") -> None:
    """Refuse too many columns, and columns of one name.

    Args:
        columns: their names.
        name: of the file, in messages.
        advice: what may be wrong where they are too many.

    Raises:
        InvalidDataError: saying which.
    """
    if len(columns) > COLUMNS:
        raise InvalidDataError(f"{name} has {len(columns):,} columns, and {COLUMNS:,} are the most: {advice}")
    doubled = sorted(column for column, count in Counter(columns).items() if count > 1)
    if doubled:
        raise InvalidDataError(f"{name} has the column {', '.join(map(repr, doubled))} more than once: rename one")
