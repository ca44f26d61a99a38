"""Words of the explanations: titles made safe for a line, phrases that fit their subject."""

from __future__ import annotations

import re

LONGEST_TITLE = 80
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\s]+")


def clean(title: str) -> str:
    """A title on one line: no control characters, no change of writing direction, not too long."""
    text = _UNPRINTABLE.sub(" ", title).strip()
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1].rstrip() + "…"


def plural(phrase: str) -> str:
    """A phrase after "you" or "they": "has rated" becomes "have rated", "likes" becomes "like"."""
    first, _, rest = phrase.partition(" ")
    irregular = {"has": "have", "is": "are", "was": "were", "does": "do", "goes": "go"}
    if first in irregular:
        first = irregular[first]
    elif first.endswith("ies"):
        first = first[:-3] + "y"
    elif first.endswith(("ches", "shes", "sses", "xes")):
        first = first[:-2]
    elif first.endswith("s") and not first.endswith("ss"):
        first = first[:-1]
    return f"{first} {rest}" if rest else first
