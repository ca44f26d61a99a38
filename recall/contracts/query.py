"""A batch of requests, positions inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kg import RaggedArray, RelationKey, Vocabulary
from kg.arrays import IntArray, distinct


@dataclass(frozen=True, kw_only=True)
class Query:
    """A batch of requests, one row for each person to recommend to.

    Attributes:
        key: what the answer carries as `user_id`, (n,) strings.
        user: position of a user of the graph, -1 for an unknown person, int64 (n,).
        history: liked items that come with the request, (n,) lists of positions; a user's own history comes from the
            graph the channels were fitted on, and rows with `user >= 0` are normally empty here.
        disliked: items that come with the request as examples of what is not wanted, (n,) lists; None: none.
        seen: items to leave out, in place of the user's own and the request's history; None: those.
        exclude: items to leave out on top of what is seen, (n,) lists; None: none.
        candidates: the only items allowed, (n,) lists, an empty one allows none; None: all.
        k: items wanted, int64 (n,); None: what the call says.
        text: a text that describes an unknown person, or what they look for; None or (n,).
        attributes: for an unknown person: relation of the item type -> positions of its other ends; None or (n,).
        context: columns that the answer carries for each request, such as the page or the hour; a table of n rows.
    """

    key: Sequence[str]
    user: IntArray
    history: RaggedArray
    disliked: RaggedArray | None = None
    seen: RaggedArray | None = None
    exclude: RaggedArray | None = None
    candidates: RaggedArray | None = None
    k: IntArray | None = None
    text: Sequence[str | None] | None = None
    attributes: Sequence[Mapping[RelationKey, IntArray]] | None = None
    context: Any | None = None

    @classmethod
    def of_users(cls, users: IntArray, vocabulary: Vocabulary, *, seen: RaggedArray | None = None) -> Query:
        """Requests of users of the graph, by position."""
        return cls(key=vocabulary.take(users).to_pylist(), user=users, history=RaggedArray.empty(len(users)), seen=seen)

    @classmethod
    def of_histories(cls, key: Sequence[str], history: RaggedArray, *, seen: RaggedArray | None = None) -> Query:
        """Requests of unknown people who liked some items."""
        return cls(key=key, user=np.full(len(key), -1, dtype=np.int64), history=history, seen=seen)

    @classmethod
    def of_positions(cls, users: IntArray) -> Query:
        """Requests of users of the graph whose ids nobody needs."""
        return cls(key=[""] * len(users), user=users, history=RaggedArray.empty(len(users)))

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: IntArray) -> Query:
        """Some of the rows, in that order."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _rows(column, rows) for name, column in columns.items() if column is not None})

    def distinct(self) -> tuple[Query, IntArray]:
        """Each user of the graph once, where nothing but the user is given, and the row of every request in that."""
        plain = (self.user >= 0) & (self.history.counts == 0)
        plain &= all(getattr(self, field.name) is None for field in fields(self) if field.default is None)
        codes = np.where(plain, self.user, -1 - np.arange(len(self)))
        _, first, row_of = np.unique(codes, return_index=True, return_inverse=True)
        return self.take(first), row_of

    def alike(self, k: int, only: IntArray | None) -> Iterator[tuple[IntArray, int, IntArray | None]]:
        """Requests that can be searched together: their rows, k, and positions of the only items allowed.

        Args:
            k: items wanted by requests that do not say.
            only: sorted positions of the only items allowed for all, None for all items.
        """
        if self.candidates is not None:
            for row in range(len(self)):
                allowed = distinct(self.candidates[row])
                allowed = allowed if only is None else np.intersect1d(allowed, only, assume_unique=True)
                yield np.array([row]), k if self.k is None else int(self.k[row]), allowed
        elif self.k is not None:
            for wanted in distinct(self.k).tolist():
                yield np.flatnonzero(self.k == wanted), wanted, only
        else:
            yield np.arange(len(self)), k, only

    def blocks(self, size: int) -> Iterator[tuple[slice, Query]]:
        """The batch in pieces of at most `size` rows."""
        if 0 < len(self) <= size:
            yield slice(0, len(self)), self
            return
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.take(np.arange(start, stop))


def _rows(column: Any, rows: IntArray) -> Any:
    """Some rows of a column of requests, whatever holds it."""
    if isinstance(column, np.ndarray):
        return column[rows]
    if isinstance(column, RaggedArray | pa.Table):
        return column.take(rows)
    return [column[row] for row in rows]
