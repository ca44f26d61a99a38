"""The data that a training is validated on."""

from __future__ import annotations

from dataclasses import dataclass

from kg import RaggedArray

VALIDATION_K = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The data of early stopping.

    Attributes:
        truth: items each user liked in the validation part, (users,) lists.
        seen: items left out of each user's ranking, (users,) lists.
    """

    truth: RaggedArray
    seen: RaggedArray
