r"""JSON lines: an object a line, or one list of objects, as a table of texts and lists of texts.

As with CSV every cell is text, and numbers are kept as they are written, so that an id of twenty digits stays one. An
object inside is spread over columns named `outer.inner`; a list stays a list, of which nested ones become part. Objects
in lists, and objects with more than `MAX_KEYS` different keys, are kept as JSON, for `sql` to take apart. A row
with half of a character (a lone surrogate, `"\ud800"`), which is no text, is set aside like what is no JSON.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES
from ingest.sources.bounded import check_columns
from ingest.sources.tables.apart import apart_if_large
from ingest.sources.tables.lines import LineAccount
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.text import decoded
from kg.errors import InvalidDataError

ENDINGS = (".json", ".jsonl", ".ndjson")
MAX_KEYS = 50
EMPTY, MANY = 100, 10_000_000  # cells of a table for each that has a value, beyond so many
SHOWN_CHARACTERS = 120
SURROGATE = re.compile(r"\\[uU](?:0000)?[dD][89a-fA-F]")


def is_json(path: Path) -> bool:
    """Whether a file holds JSON, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


@apart_if_large
def read_json_lines(path: Path, *, name: str, encoding: str = "utf-8", literals: bool = False) -> Rows:
    """Read objects; what is missing or null in one is null.

    Args:
        path: of the file, .gz when it is compressed.
        name: in messages.
        encoding: of the file.
        literals: take a line that is no JSON for a Python literal, as old dumps are written.

    Raises:
        InvalidDataError: the file is empty, holds no object, or is in another encoding.
        OSError, EOFError, zlib.error: it cannot be opened or decompressed.
    """
    text = decoded(path, name=name, encodings=(encoding,))
    if not text.strip():
        raise InvalidDataError(f"{name} is empty")
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    bad: list[str] = []
    for line, value in _values(text, name, literals=literals):
        if isinstance(value, dict):
            objects.append(value)
            lines.append(line)
        else:
            bad.append(f"{name}:{line}: {value}")
    number = np.array(lines, dtype=np.int64)
    account = None
    if not text.lstrip().startswith("["):
        account = LineAccount(
            total=text.count("\n") + (not text.endswith("\n")),
            rows=len(objects),
            bad=len(bad),
            empty=sum(not line.strip() for line in text.split("\n")) - text.endswith("\n"),
        ).check(name)
    return Rows(
        _table(objects, name),
        name,
        lambda row: f"{name}:{int(number[row])}",
        bad_lines=len(bad),
        bad_examples=bad[:MAX_EXAMPLES],
        lines=account,
        numbers=number,
    )


def _values(text: str, name: str, *, literals: bool) -> Iterator[tuple[int, Any]]:
    """The line and the object of each row; what is no object is a text that says why."""
    if text.lstrip().startswith("["):
        try:
            entries = _loads(text)
        except ValueError as error:
            raise InvalidDataError(f"{name} is neither JSON lines nor one JSON list: {error}") from error
        for number, entry in enumerate(entries, start=1):
            yield number, _row(entry, str(entry).encode(errors="backslashreplace").decode())
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = _loads(line)
        except ValueError as error:
            value = _literal(line) if literals else None
            if value is None:
                yield number, f"no JSON ({error}): {line[:SHOWN_CHARACTERS]}"
                continue
        yield number, _row(value, line)


def _row(value: Any, written: str) -> Any:
    """The value if it is an object of texts, or why it is none."""
    if not isinstance(value, dict):
        return f"no object: {written[:SHOWN_CHARACTERS]}"
    if SURROGATE.search(written) and not _is_text(value):
        return f"half of a character, a lone surrogate, is in it: {written[:SHOWN_CHARACTERS]}"
    return value


def _is_text(value: Any) -> bool:
    """Whether all texts of a JSON value are such as UTF-8 can write."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except RecursionError as error:
        raise ValueError("its objects and lists are nested too deep") from error


def _literal(line: str) -> Any:
    """A Python literal as the JSON value that it is like; None when it is like none."""
    try:
        return _loads(json.dumps(ast.literal_eval(line.strip())))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _table(objects: list[dict[str, Any]], name: str) -> Any:
    """Objects as columns of text and of lists of text."""
    too_wide = _wide(objects)
    rows = [dict(_spread(entry, "", too_wide)) for entry in objects]
    columns = dict.fromkeys(key for row in rows for key in row)
    check_columns(list(columns), name, advice="are the keys ids? Write ids as values")
    filled = sum(map(len, rows))
    if len(rows) * len(columns) > EMPTY * filled + MANY:
        raise InvalidDataError(
            f"{name} has {len(columns):,} different keys in {len(rows):,} objects, and nearly all of them are missing "
            "in each: are the keys ids? Write ids as values"
        )
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        if any(isinstance(value, list) for value in values):
            cells = [value if isinstance(value, list) or value is None else [value] for value in values]
            arrays[column] = pa.array(cells, type=pa.list_(pa.string()))
        else:
            arrays[column] = pa.array(values, type=pa.string())
    return pa.table(arrays)


def _wide(objects: list[dict[str, Any]]) -> set[str]:
    """The places of objects inside objects that have too many different keys to be columns."""
    keys: dict[str, set[str]] = {}
    pending = [("", entry) for entry in objects]
    while pending:
        place, entry = pending.pop()
        for key, value in entry.items():
            if isinstance(value, dict):
                inner = f"{place}{key}."
                seen = keys.setdefault(inner, set())
                if len(seen) <= MAX_KEYS:
                    seen.update(map(str, value))
                    pending.append((inner, value))
    return {place for place, seen in keys.items() if len(seen) > MAX_KEYS}


def _spread(entry: dict[str, Any], place: str, too_wide: set[str]) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        inner = f"{place}{key}."
        if isinstance(value, dict) and inner not in too_wide:
            yield from _spread(value, inner, too_wide)
        elif isinstance(value, list):
            yield f"{place}{key}", list(_entries(value))
        else:
            yield f"{place}{key}", _text(value)


def _entries(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _entries(value)
        elif (text := _text(value)) is not None:
            yield text


def _text(value: Any) -> str | None:
    """A value as it stands in a cell; an empty text is null, as in CSV."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False)
