"""What a source is, and files as sources."""

from __future__ import annotations

import glob
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ingest.builder import GraphBuilder
from kg.errors import InvalidDataError
from kg.io.files import checksum
from kg.settings.secrets import masked_text

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Source(Protocol):
    """Something that facts are read from."""

    @property
    def name(self) -> str:
        """For messages."""

    def fingerprint(self) -> str:
        """A digest of its content: the same as long as the same facts would be read.

        Raises:
            InvalidDataError: it cannot be read.
        """

    def read(self, builder: GraphBuilder) -> None:
        """Add its facts.

        Raises:
            InvalidDataError: it cannot be used, or too much of it.
        """


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source.

    Attributes:
        name: in messages: the path as the configuration gives it.
        path: where it is.
    """

    name: str
    path: Path


def list_files(patterns: Iterable[str], base: Path) -> list[SourceFile]:
    """The files that paths and patterns name; those of a pattern in the order of their names.

    Args:
        patterns: relative to `base`, or absolute.
        base: folder of the configuration.

    Raises:
        InvalidDataError: a pattern matches nothing, or is the address of something on another machine.
    """
    result = []
    for pattern in patterns:
        if ADDRESS.match(pattern):
            raise InvalidDataError(
                f"{masked_text(pattern)} is an address, and nothing is fetched: download it and name the file"
            )
        if glob.has_magic(pattern) and not (base / pattern).exists():
            # Path.glob refuses absolute patterns; people write those too.
            names = sorted(glob.glob(pattern, root_dir=base))  # noqa: PTH207
            if not names:
                raise InvalidDataError(f"no file matches {pattern!r} in {base}: check the pattern in sources")
            result += [SourceFile(Path(name).as_posix(), base / name) for name in names]
        else:
            result.append(SourceFile(pattern, base / pattern))
    return result


class FileSource(ABC):
    """Base of the sources whose content is that of their files.

    Attributes:
        files: in the order in which they are read.
    """

    files: list[SourceFile]

    @property
    def name(self) -> str:
        """For messages."""
        return ", ".join(file.name for file in self.files)

    @cached_property
    def checksums(self) -> dict[SourceFile, str]:
        """The SHA-256 of each file, computed once.

        Raises:
            InvalidDataError: one is not there.
        """
        for file in self.files:
            if not file.path.is_file():
                raise InvalidDataError(f"{file.path} does not exist or is no file: check the path in sources")
        return {file: checksum(file.path) for file in self.files}

    def fingerprint(self) -> str:
        """A digest of the names and the content of the files.

        Raises:
            InvalidDataError: one is not there.
        """
        body = [[file.name, sha] for file, sha in self.checksums.items()]
        return sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()

    @abstractmethod
    def read(self, builder: GraphBuilder) -> None:
        """Add the facts of every file.

        Raises:
            InvalidDataError: one cannot be used, or too much of it.
        """
