"""External ids as callers write them: checked lists, and lists that many requests share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pyarrow as pa

from kg import Vocabulary
from kg.arrays import IntArray
from kg.errors import ConfigError

SURROGATE = re.compile("[\ud800-\udfff]")


def strings(ids: Iterable[str], what: str) -> list[str]:
    """Ids as a list; a lone string would be taken apart into its letters."""
    if isinstance(ids, str):
        raise ConfigError(f"{what} = {ids!r} must be a list of ids: write [{ids!r}]")
    if not isinstance(ids, Iterable):
        raise ConfigError(f"{what} = {ids!r} must be a list of ids")
    result = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else list(ids)
    if not set(map(type, result)) <= {str} and (wrong := [entry for entry in result if not isinstance(entry, str)]):
        raise ConfigError(f"{what} holds {wrong[0]!r}, ids are strings: write {str(wrong[0])!r}")
    # Looked at together: of hundreds of thousands of ids hardly any has half of a character.
    if SURROGATE.search("".join(result)):
        broken = next(entry for entry in result if SURROGATE.search(entry))
        raise ConfigError(f"{what} holds {broken!r}, which is no text: half of a character of UTF-16 is in it")
    return result


def whole_characters(text: str | None) -> str | None:
    """A text whose pairs of surrogates are characters, and whose lone ones are replaced by U+FFFD."""
    if text is None or not SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ItemSet:
    """Ids of items that many requests exclude or are limited to: they are looked up once for each graph.

    A Recommender takes it wherever it takes a list of ids for `exclude` and `candidates`. After a reload it looks the
    ids up in the new graph.

    Attributes:
        ids: as they were given.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        """Hold ids.

        Args:
            ids: external ids, a list or an Arrow array.

        Raises:
            ConfigError: they are no list of strings.
        """
        self.ids = strings(ids, "the set of items")
        self._looked_up: tuple[Vocabulary, IntArray] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, items: Vocabulary, look_up: Callable[[list[str]], IntArray]) -> IntArray:
        """The position of each id, -1 for one that is not there.

        Args:
            items: of the graph that is asked.
            look_up: finds positions in it.
        """
        looked_up = self._looked_up
        if looked_up is None or looked_up[0] is not items:
            looked_up = self._looked_up = (items, look_up(self.ids))
        return looked_up[1]
