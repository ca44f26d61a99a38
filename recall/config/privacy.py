"""Under which names users go: the section `privacy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyConfig:
    """How users are named inside.

    Attributes:
        pseudonyms: users go by a keyed hash of their id in the graph and in all that is made of it. Names and mails
            that are attributes of users stay what they are: leave them out of the sources.
        key_file: file with the key of the hashes, 64 hexadecimal digits; made when it is not there. Default: in the
            runs folder. Whoever has the key can tell which pseudonym an id has; without it nobody is found again.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pseudonyms: bool = False
    key_file: str | None = None
