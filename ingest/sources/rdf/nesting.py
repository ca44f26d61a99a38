"""How deep triple terms may be in each other: the parser walks them by recursion, and may end the process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ingest.sources.bounded import PIECE, open_plain
from kg.errors import InvalidDataError
from kg.processes.job import JobDiedError, run_job
from kg.progress import Progress

TRIPLE_TERMS = 100
TRIAL_MEMORY = 2 << 30

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def is_deep(line: bytes) -> bool:
    """Whether a line of N-Triples or N-Quads holds more triple terms than may be in each other."""
    return line.count(b"<<") > TRIPLE_TERMS and _STRING.sub(b"", line).count(b"<<") > TRIPLE_TERMS


def check_by_trial(path: Path, kind: str, name: str) -> None:
    """Let a file of Turtle or TriG with many triple terms be parsed by a process that may die of it, before this one.

    Raises:
        InvalidDataError: it died.
    """
    with open_plain(path, name=name) as stream:
        count = 0
        last = b""
        while count <= TRIPLE_TERMS and (piece := stream.read(PIECE)):
            count += (last + piece).count(b"<<")
            last = piece[-1:]
    if count <= TRIPLE_TERMS:
        return
    try:
        for _ in run_job(
            "ingest.sources.rdf.nesting:parse_alone", {"path": str(path), "kind": kind}, memory=TRIAL_MEMORY
        ):
            pass
    except JobDiedError as error:
        raise InvalidDataError(
            f"{name}: broken {kind}, the whole file is refused: the parser does not survive it ({error}). Triple terms "
            f"in each other, << << ... >> >>, are read up to {TRIPLE_TERMS} deep"
        ) from error


def parse_alone(path: str, kind: str, progress: Progress) -> Iterator[bytes]:
    """What `check_by_trial` runs apart. What is merely wrong is told by the reading that follows."""
    from pyoxigraph import RdfFormat, parse

    formats = {"turtle": RdfFormat.TURTLE, "trig": RdfFormat.TRIG}
    try:
        with open_plain(Path(path)) as stream:
            for _ in parse(stream, format=formats[kind]):
                pass
    except (SyntaxError, MemoryError):
        return
    yield from ()
