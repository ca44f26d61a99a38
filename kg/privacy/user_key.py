"""Keyed hashes of user ids: pseudonyms, and marks for lists without ids.

BLAKE2b with a secret key (RFC 7693): with the key, the hash of a given id can be computed, but no id can be read from
a hash; without the key a guessed id cannot be tried.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from kg.errors import ConfigError
from kg.io.files import atomic_path

SECRET_BYTES = 32
HASH_BYTES = 16  # 128 bits: no two of a billion users share one


@dataclass(frozen=True, slots=True)
class UserKey:
    """A secret, and what is derived from it.

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, file: Path) -> UserKey:
        """A new secret, in a file that only its owner reads.

        Raises:
            ConfigError: the file cannot be written.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as temporary, _owners_file(temporary) as stream:
                stream.write(secret.hex() + "\n")
        except OSError as error:
            raise ConfigError(f"the key of the user ids cannot be written to {file}: {error.strerror}") from error
        return cls(secret)

    @classmethod
    def load(cls, file: Path) -> UserKey:
        """Read a secret: 64 hexadecimal digits.

        Raises:
            ConfigError: there is no such file, or it holds something else.
        """
        try:
            secret = bytes.fromhex(file.read_text(encoding="ascii").strip())
        except OSError as error:
            raise ConfigError(f"the key of the user ids cannot be read from {file}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{file} holds no key: write {2 * SECRET_BYTES} hexadecimal digits into it") from error
        if len(secret) != SECRET_BYTES:
            raise ConfigError(f"{file} holds {len(secret)} bytes, a key has {SECRET_BYTES}: restore it from a backup")
        return cls(secret)

    @property
    def name(self) -> str:
        """A name that identifies the key and reveals nothing about it."""
        return self._hash(b"name", "")

    def pseudonyms(self, ids: Iterable[str]) -> list[str]:
        """A name in the place of each id, 32 hexadecimal digits; equal for equal ids."""
        return [self._hash(b"pseudonym", id) for id in ids]

    def marks(self, pseudonyms: Iterable[str]) -> list[str]:
        """The hash of each pseudonym, for a list that holds neither ids nor pseudonyms."""
        return [self._hash(b"mark", pseudonym) for pseudonym in pseudonyms]

    def marks_of_ids(self, ids: Iterable[str]) -> list[str]:
        """The marks of users by their ids."""
        return self.marks(self.pseudonyms(ids))

    def _hash(self, purpose: bytes, text: str) -> str:
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self.secret, digest_size=HASH_BYTES, person=purpose
        ).hexdigest()


def _owners_file(file: Path) -> TextIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")
