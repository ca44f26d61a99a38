"""Requests by external ids, checked and turned into positions.

Everything that names users, items or attributes goes through `Requests`, with one rule for ids that the graph does not
hold, `on_unknown`: "raise" names the first one in an error, "skip" goes on without it, "popular" answers an unknown
user with the most liked items. Tables are read without the blanks around ids, so an id that is not there as it is
written is looked for without them, too; answers have it as the graph does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError, UnknownIdError
from recall.contracts import CANDIDATE_SCHEMA, RULE_COLUMNS, Query
from recall.serve.ids import ItemSet, strings
from recall.serve.people import Attributes, People, is_list

OnUnknown = Literal["raise", "popular", "skip"]
Items = Iterable[str] | ItemSet
Examples = Sequence[str] | Mapping[str, Sequence[str]]
"""Ids of items for all users, or for each: user id -> ids."""
_TAKEN = (*CANDIDATE_SCHEMA.names, *(name for name, _ in RULE_COLUMNS), "title")
SKIP = 'on_unknown="skip" goes on without'


class Requests:
    """Turns what a caller writes into queries on one graph."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        self._item_type = graph.schema.item_type

    def users(
        self, user_ids: Iterable[str], on_unknown: OnUnknown, context: Any = None, *, new: Collection[str] = ()
    ) -> Query:
        """A row for each user, an id that comes twice once, with its first context; see `Recommender.recommend`.

        Users of `new` are not in the graph, and no unknown ones either: something else tells what they did.
        """
        _check_rule(on_unknown, ("raise", "popular", "skip"))
        given = strings(user_ids, "user_ids")
        first = {name: row for row, name in reversed(list(enumerate(given)))}
        asked = list(dict.fromkeys(given))
        position = self._users(asked, on_unknown, new, others='on_unknown="popular" or "skip" goes on without')
        names = self.graph.users.take(position).to_pylist()
        # Two ways of writing an id are one user.
        row_of = {name or ids: row for row, (name, ids) in enumerate(zip(names, asked, strict=True))}
        kept = np.array(
            [row for row in row_of.values() if position[row] >= 0 or on_unknown != "skip" or asked[row] in new],
            dtype=np.int64,
        )
        ids, position = [names[row] or asked[row] for row in kept], position[kept]
        columns = context_columns(context, len(given))
        if columns is not None:
            columns = columns.take(np.array([first[asked[row]] for row in kept], dtype=np.int64))
        return Query(key=ids, user=position, history=RaggedArray.empty(len(ids)), context=columns)

    def with_examples(
        self, queries: Query, *, liked: Examples | None, disliked: Examples | None, on_unknown: OnUnknown
    ) -> Query:
        """Requests of users with examples on top of what they did; see `Recommender.recommend`."""
        if liked is None and disliked is None:
            return queries
        likes = self._lists(_each(liked, queries.key, "liked"), on_unknown)
        dislikes = self._lists(_each(disliked, queries.key, "disliked"), on_unknown)
        self._not_both(likes, dislikes)
        return replace(queries, history=likes, disliked=dislikes if len(dislikes.values) else None)

    def people(self, people: People, on_unknown: Literal["raise", "skip"], context: Any = None) -> Query:
        """A row for each unknown person; see `Recommender.recommend_for`."""
        _check_rule(on_unknown, ("raise", "skip"))
        count = len(people)
        described = people.attributes
        liked = self._lists(people.liked, on_unknown)
        disliked = self._lists(people.disliked, on_unknown)
        self._not_both(liked, disliked)
        return Query(
            key=[str(row) for row in range(count)],
            user=np.full(count, -1, dtype=np.int64),
            history=liked,
            disliked=disliked if len(disliked.values) else None,
            text=people.texts,
            attributes=None if described is None else [self._attributes(person, on_unknown) for person in described],
            context=context_columns(context, count),
        )

    def _not_both(self, liked: RaggedArray, disliked: RaggedArray) -> None:
        if len(both := np.flatnonzero(liked.counts - liked.without(disliked).counts)):
            item = int(np.intersect1d(liked[int(both[0])], disliked[int(both[0])])[0])
            raise ConfigError(
                f"{self.graph.items.ids[item].as_py()!r} is liked and disliked at once: leave one of them out"
            )

    def _lists(self, lists: Sequence[Sequence[str]], on_unknown: OnUnknown) -> RaggedArray:
        """Positions of each person's items in their order, each where it stands last."""
        rows = np.repeat(np.arange(len(lists)), [len(ids) for ids in lists])
        items = self._positions(self._item_type, [name for ids in lists for name in ids], on_unknown)
        rows, items = rows[items >= 0], items[items >= 0]
        _, from_end = np.unique((rows * np.int64(len(self.graph.items)) + items)[::-1], return_index=True)
        last = np.sort(len(items) - 1 - from_end)
        return RaggedArray.from_grouped(rows[last], items[last], num_rows=len(lists))

    def item_set(self, ids: Items, on_unknown: OnUnknown, what: str) -> IntArray:
        """Positions of items that limit a request; unknown ones are left out unless the rule is "raise"."""
        if isinstance(ids, ItemSet):
            positions = ids.positions(self.graph.items, lambda names: self._positions(self._item_type, names, "skip"))
            unknown = np.flatnonzero(positions < 0)
            if on_unknown == "raise" and len(unknown):
                self._positions(self._item_type, [ids.ids[row] for row in unknown[:1].tolist()], on_unknown)
        else:
            positions = self._positions(self._item_type, strings(ids, what), on_unknown)
        return positions[positions >= 0]

    def items(self, item_ids: Iterable[str], on_unknown: Literal["raise", "skip"] = "raise") -> list[str]:
        """Ids of items as the graph has them, each once."""
        _check_rule(on_unknown, ("raise", "skip"))
        positions = self._positions(self._item_type, strings(item_ids, "item_ids"), on_unknown)
        ids: list[str] = self.graph.items.take(positions[positions >= 0]).to_pylist()
        return list(dict.fromkeys(ids))

    def pairs(
        self,
        pairs: Any,
        on_unknown: Literal["raise", "skip"] = "raise",
        *,
        new: Collection[str] = (),
        others: str | None = SKIP,
    ) -> tuple[Query, IntArray]:
        """Requests of users and an item for each of them, without pairs of an unknown end where the rule is "skip".

        Args:
            pairs: (user id, item id).
            on_unknown: the rule.
            new: see `users`.
            others: what is advised where an id is unknown.
        """
        _check_rule(on_unknown, ("raise", "skip"))
        if isinstance(pairs, str) or not isinstance(pairs, Iterable):
            raise ConfigError(f"pairs = {pairs!r}: write a list of user ids and item ids, [('u1', 'm1')]")
        ends = [_pair(pair) for pair in pairs]
        written = [user for user, _ in ends]
        users = self._users(written, on_unknown, new, others=others)
        items = self._positions(self._item_type, [item for _, item in ends], on_unknown, others=others)
        kept = np.flatnonzero(((users >= 0) | np.array([user in new for user in written], dtype=bool)) & (items >= 0))
        names = self.graph.users.take(users[kept]).to_pylist()
        key = [name or written[row] for name, row in zip(names, kept.tolist(), strict=True)]
        return Query(key=key, user=users[kept], history=RaggedArray.empty(len(kept))), items[kept]

    def item_positions(self, item_ids: Iterable[str]) -> IntArray:
        """The position of each item, in order."""
        return self._positions(self._item_type, strings(item_ids, "item_ids"), "raise", others=None)

    def _users(
        self, ids: Sequence[str], on_unknown: OnUnknown, new: Collection[str], *, others: str | None
    ) -> IntArray:
        """Positions of users, int64, -1 for new ones, and for unknown ones where the rule allows any."""
        positions = self._positions(self.graph.schema.user_type, ids, "popular")
        unknown = [ids[row] for row in np.flatnonzero(positions < 0).tolist() if ids[row] not in new]
        if unknown and on_unknown == "raise":
            self._positions(self.graph.schema.user_type, unknown, on_unknown, others=others)
        return positions

    def _positions(
        self,
        node_type: str,
        ids: Sequence[str],
        on_unknown: OnUnknown,
        *,
        others: str | None = SKIP,
    ) -> IntArray:
        """Positions of ids, int64, -1 for unknown ones where the rule allows any."""
        vocabulary = self.graph.vocabulary(node_type)
        positions = vocabulary.index(ids, missing="negative")
        if len(written := np.flatnonzero(positions < 0)):
            positions[written] = vocabulary.index([ids[row].strip() for row in written.tolist()], missing="negative")
        if on_unknown == "raise" and (positions < 0).any():
            try:
                vocabulary.index([ids[row] for row in np.flatnonzero(positions < 0).tolist()])
            except UnknownIdError as error:
                raise error.advised(others or "") from None
        return positions

    def _attributes(self, attributes: Attributes, on_unknown: OnUnknown) -> dict[RelationKey, IntArray]:
        result = {}
        for name, ids in attributes.items():
            key = self._relation(name)
            other = key.target if key.source == self.graph.schema.item_type else key.source
            positions = self._positions(other, strings(ids, f"attributes[{name!r}]"), on_unknown)
            result[key] = positions[positions >= 0]
        return {key: positions for key, positions in result.items() if len(positions)}

    def _relation(self, name: str | RelationKey) -> RelationKey:
        schema = self.graph.schema
        keys = [
            key
            for key in self.graph.edges
            if schema.item_type in (key.source, key.target) and key not in schema.events() and key != schema.interaction
        ]
        matching = [key for key in keys if name in (key, key.name)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            choice = ", ".join(map(repr, matching))
            raise ConfigError(f"{len(matching)} relations are called {name!r}: name one as RelationKey, {choice}")
        there = ", ".join(key.name for key in keys) or "none"
        raise ConfigError(f"{name!r} is no attribute of {schema.item_type!r}; there are {there}")


def _check_rule(on_unknown: str, allowed: Sequence[str]) -> None:
    if on_unknown not in allowed:
        choice = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
        raise ConfigError(f"on_unknown = {on_unknown!r} must be {choice}")


def context_columns(context: Any, count: int) -> Any | None:
    """Columns that come with requests as an Arrow table of `count` rows, None for none.

    Args:
        context: name -> a value for each request, a list of mappings, an Arrow table or a data frame.
        count: requests.

    Raises:
        ConfigError: it is none of these, has another number of rows, or a name that answers have already.
    """
    if context is None:
        return None
    try:
        table = pa.Table.from_pylist(context) if isinstance(context, list | tuple) else pa.table(context)
    except (TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise ConfigError(
            f"context must be columns with a value for each request, {{'page': ['home']}}, not "
            f"{str(context)[:80]!r}: {error}"
        ) from error
    if table.num_rows != count:
        raise ConfigError(f"context has {table.num_rows} rows for {count} requests: give one for each")
    if taken := [name for name in table.column_names if name in _TAKEN]:
        raise ConfigError(f"context has a column {taken[0]!r}, which answers have already: give it another name")
    return table


def _each(examples: Examples | None, keys: Sequence[str], what: str) -> list[list[str]]:
    """The examples of each request: those of its user, or the same for all."""
    if isinstance(examples, Mapping):
        if others := [key for key in examples if key not in keys]:
            raise ConfigError(f"{what} has a list for {others[0]!r}, who is not asked about")
        return [strings(examples.get(key, ()), f"{what}[{key!r}]") for key in keys]
    return [[] if examples is None else strings(examples, what)] * len(keys)


def _pair(pair: Any) -> tuple[str, str]:
    """The two ids of a pair that is to be explained."""
    if is_list(pair) and len(ends := list(pair)) == 2:
        user, item = ends
        if isinstance(user, str) and isinstance(item, str):
            strings(ends, "pairs")
            return user, item
    raise ConfigError(f"pairs holds {pair!r}: write a user id and an item id, [('u1', 'm1')]")
