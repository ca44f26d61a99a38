"""Under which names users go: the section `privacy`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kg.settings import Settings


class PrivacyConfig(Settings):
    """How users are named inside."""

    section: ClassVar[str] = "privacy"

    pseudonyms: bool = Field(
        default=False,
        description="Replace user ids by a keyed hash in the graph and in all that is made of it. Names and mail "
        "addresses that are attributes of users stay what they are: leave them out of the sources.",
    )
    key_file: str | None = Field(
        default=None,
        description="File with the key of the hashes, 64 hexadecimal digits; made when it does not exist. Default: in "
        "the runs folder. Whoever has the key can compute the pseudonym of an id; without it nobody is found again.",
    )
