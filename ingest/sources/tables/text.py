"""Text files in any encoding."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ingest.sources.bounded import open_plain, packed_as, read_whole
from kg.errors import InvalidDataError

UTF_8 = ("utf-8", "utf8", "utf-8-sig", "utf_8")
PIECE_CHARACTERS = 1 << 22


def decoded(path: Path, *, name: str, encodings: Sequence[str]) -> str:
    """The text of a file, plain or .gz, without a byte order mark.

    Args:
        path: of the file.
        name: in messages.
        encodings: the first one that fits is taken.

    Raises:
        InvalidDataError: none of them fits, or the text holds halves of characters.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    with open_plain(path, name=name) as stream:
        data = read_whole(stream, name)
    for encoding in encodings:
        try:
            text = data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            last = error
            continue
        if encoding.lower() not in UTF_8:
            _check_characters(text, name, encoding)
        return text
    if packed := packed_as(data):
        raise InvalidDataError(f"{name} is no text{packed}") from last
    line = data.count(b"\n", 0, last.start) + 1
    raise InvalidDataError(
        f"{name}:{line} is no text in {' or '.join(encodings)}: write the encoding of the file, such as "
        'encoding = "latin-1"'
    ) from last


def _check_characters(text: str, name: str, encoding: str) -> None:
    """Refuse halves of characters, which a few encodings let pass.

    Raises:
        InvalidDataError: there is a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise InvalidDataError(
            f"{name}:{line} holds half of a character, a lone surrogate, read as {encoding}: correct the encoding"
        ) from error


def utf8_copy(path: Path, *, name: str, encoding: str) -> tuple[TemporaryDirectory[str], Path]:
    """A copy of a text file in UTF-8, not compressed, in a folder that lives as long as the object that is returned.

    Raises:
        InvalidDataError: the file is in another encoding.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    folder = TemporaryDirectory(prefix="graphrecall-")
    copy = Path(folder.name) / "table.csv"
    try:
        with (
            io.TextIOWrapper(open_plain(path, name=name), encoding=encoding, newline="") as source,
            copy.open("w", encoding="utf-8", newline="") as target,
        ):
            while piece := source.read(PIECE_CHARACTERS):
                target.write(piece)
    except UnicodeError as error:
        raise InvalidDataError(f"{name} is no text in {encoding}: correct the encoding ({error})") from error
    return folder, copy
