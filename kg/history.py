"""What every user did, as sets and as sequences.

Made once from a graph and shared by all who need it. The set view (`liked`, `seen`) has each item of a user once; the
sequence view has every interaction, oldest first, with repeats.

Interactions of unknown time come first. Ties in time keep the order of a source that lists a user's items in order;
where there is none, they are in the order of a seeded hash of the external ids of user and item, which favours neither
old nor new items and which adding nodes changes for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg.arrays import IntArray, PairIndex, RaggedArray, offsets_of
from kg.errors import ArtifactError
from kg.graph import KnowledgeGraph
from kg.interactions import Interactions
from kg.io.files import read_json, write_json
from kg.io.parquet import read_table, write_table
from kg.schema import RelationKey
from kg.topology.adjacency import Numbering
from kg.vocabulary import Vocabulary, pair_hash

TIE_SEED = 0
FACTS = "history.json"
USERS = "users.parquet"
ITEMS = "items.parquet"
# Columns of users.parquet that hold the sequence view, in the order of the fields of ItemSequences.
SEQUENCE = ("item", "timestamp", "weight", "kind", "positive")


@dataclass(frozen=True, slots=True)
class ItemSequences(RaggedArray):
    """The items of each user, oldest first and with repeats, and columns aligned with `values`.

    Attributes:
        times: UTC seconds, int64 (total,); `kg.interactions.NO_TIME` where unknown.
        weights: float32 (total,).
        kinds: position in `InteractionHistory.relations`, int16 (total,).
        positive: counts as liked, bool (total,).
    """

    times: IntArray
    weights: npt.NDArray[np.float32]
    kinds: npt.NDArray[np.int16]
    positive: npt.NDArray[np.bool_]

    def take(self, rows: IntArray) -> ItemSequences:
        """Some rows, in the order asked for; row -1 gives an empty one."""
        offsets, at = self.positions(rows)
        return ItemSequences(
            offsets, self.values[at], self.times[at], self.weights[at], self.kinds[at], self.positive[at]
        )

    def select(self, mask: npt.NDArray[np.bool_]) -> ItemSequences:
        """The same rows with only the marked values, by mask (total,)."""
        counts = np.bincount(self.rows()[mask], minlength=len(self))
        offsets = offsets_of(counts)
        return ItemSequences(
            offsets, self.values[mask], self.times[mask], self.weights[mask], self.kinds[mask], self.positive[mask]
        )


@dataclass(frozen=True, slots=True)
class InteractionHistory:
    """The interactions of all users of a graph.

    Attributes:
        items: ids of the items.
        liked: positive items of each user, sorted and unique, (users,) rows.
        seen: all items that each user has touched, also under other relations such as tags, sorted and unique, (users,)
            rows.
        events: what each user did, under every relation between users and items, (users,) rows.
        relations: the relations of `events`, the interaction relation first.
        first_item: global node number (`kg.topology.adjacency.Numbering`) of item 0.
    """

    items: Vocabulary
    liked: RaggedArray
    seen: RaggedArray
    events: ItemSequences
    relations: tuple[RelationKey, ...]
    first_item: int

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> Self:
        """From a graph with interactions.

        Raises:
            InvalidDataError: it has none.
        """
        schema, users = graph.schema, len(graph.users)
        interactions = graph.interactions
        positive = interactions.select(interactions.positive)
        touched = [(interactions.user, interactions.item)]
        touched += [columns for key in graph.edges if (columns := graph.event_columns(key)) is not None]
        user, item = (np.concatenate(ends) for ends in zip(*touched, strict=True))
        ends = {schema.user_type, schema.item_type}
        others = [key for key in schema.events() if {key.source, key.target} == ends and key in graph.edges]
        relations = tuple(dict.fromkeys([schema.interaction_key, *others]))
        return cls(
            items=graph.items,
            liked=RaggedArray.from_pairs(positive.user, positive.item, num_rows=users),
            seen=RaggedArray.from_pairs(user, item, num_rows=users),
            events=_sequences(graph, relations),
            relations=relations,
            first_item=Numbering.of(graph).span(schema.item_type).start,
        )

    @property
    def interaction(self) -> RelationKey:
        """The interaction relation."""
        return self.relations[0]

    @property
    def num_users(self) -> int:
        """Users of the graph."""
        return len(self.liked)

    @property
    def num_items(self) -> int:
        """Items of the graph."""
        return len(self.items)

    def sequence(self, users: IntArray) -> ItemSequences:
        """What some users did, oldest first and with repeats.

        Args:
            users: positions, (m,); -1 gives an empty row.
        """
        return self.events.take(users)

    def in_order(self, users: IntArray, *, liked: bool = True) -> ItemSequences:
        """The items that some users liked, each once, at the last time, oldest first.

        Args:
            users: positions, (m,); -1 gives an empty row.
            liked: False: the items that they interacted with and do not like.
        """
        events = self.events.take(users)
        events = events.select(events.kinds == 0)  # a later tag does not stand in place of the interaction
        row, width = events.rows(), np.int64(self.num_items)
        # The last of several equal pairs is the first of them in the reversed order.
        _, from_end = np.unique((row * width + events.values)[::-1], return_index=True)
        last = np.zeros(len(row), dtype=bool)
        last[len(row) - 1 - from_end] = True
        likes = self.liked.take(users)
        is_liked = PairIndex.of(likes.rows(), likes.values, self.num_items).contains(row, events.values)
        return events.select(last & (is_liked == liked))

    def save(self, folder: Path) -> None:
        """Write `users.parquet` (a row a user), `items.parquet` and `history.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        events = self.events
        aligned: tuple[npt.NDArray[Any], ...] = (
            events.values,
            events.times,
            events.weights,
            events.kinds,
            events.positive,
        )
        columns = {
            "liked": _lists(self.liked.offsets, self.liked.values),
            "seen": _lists(self.seen.offsets, self.seen.values),
            **{name: _lists(events.offsets, values) for name, values in zip(SEQUENCE, aligned, strict=True)},
        }
        write_table(pa.table(columns), folder / USERS)
        write_table(pa.table({"id": self.items.ids}), folder / ITEMS)
        facts = {
            "item_type": self.items.name,
            "relations": [list(key) for key in self.relations],
            "first_item": self.first_item,
        }
        write_json(folder / FACTS, facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        facts = read_json(folder / FACTS)
        users, items = read_table(folder / USERS), read_table(folder / ITEMS)
        for path, table, names in (
            (folder / USERS, users, ["liked", "seen", *SEQUENCE]),
            (folder / ITEMS, items, ["id"]),
        ):
            if table.column_names != names:
                raise ArtifactError(f"{path} has the columns {', '.join(table.column_names)}, not {', '.join(names)}")
        try:
            item_type, first_item = facts["item_type"], int(facts["first_item"])
            relations = tuple(RelationKey(*key) for key in facts["relations"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder / FACTS} does not describe a history: {error}") from error
        offsets, values = _parts(users["item"])
        columns = [_parts(users[name])[1] for name in SEQUENCE[1:]]
        return cls(
            items=Vocabulary(item_type, items["id"]),
            liked=RaggedArray(*_parts(users["liked"])),
            seen=RaggedArray(*_parts(users["seen"])),
            events=ItemSequences(offsets, values, *columns),
            relations=relations,
            first_item=first_item,
        )


def _sequences(graph: KnowledgeGraph, relations: tuple[RelationKey, ...]) -> ItemSequences:
    schema = graph.schema
    parts = []
    for kind, key in enumerate(relations):
        event = schema.relations[key].event
        ends = {} if event is None else {"user": event.user, "item": event.item}
        for table in [tables[key] for tables in (graph.edges, graph.repeats) if key in tables]:
            liked = kind == 0
            positive = schema.positive.mask(table) if liked else np.zeros(table.num_rows, dtype=bool)
            parts.append(Interactions.from_edges(table, positive=positive, kind=kind, **ends))
    done = Interactions.concatenate(parts)
    done = done.select(_oldest_first(done, graph))
    offsets = offsets_of(np.bincount(done.user, minlength=len(graph.users)))
    return ItemSequences(offsets, done.item, done.timestamp, done.weight, done.kind, done.positive)


def _oldest_first(done: Interactions, graph: KnowledgeGraph) -> IntArray:
    """The order by user, time, order of the source and, where all these are equal, hash, int64 (n,)."""
    keys = (done.order, done.timestamp, done.user)
    result: IntArray = np.lexsort(keys).astype(np.int64, copy=False)
    if len(result) < 2:
        return result
    equal = np.logical_and.reduce([key[result[1:]] == key[result[:-1]] for key in keys])
    tied = np.concatenate([equal, [False]]) | np.concatenate([[False], equal])
    rows = result[tied]
    group = np.cumsum(~np.concatenate([[False], equal]))[tied]
    hashes = pair_hash(graph.users, graph.items, done.user[rows], done.item[rows], TIE_SEED)
    result[tied] = rows[np.lexsort((hashes, group))]
    return result


def _lists(offsets: IntArray, values: npt.NDArray[Any]) -> Any:
    """An Arrow array of lists, one a row."""
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def _parts(column: Any) -> tuple[IntArray, npt.NDArray[Any]]:
    """Offsets and values of an Arrow column of lists."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # a column without rows has no chunk
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], type=column.type)
    offsets = lists.offsets.to_numpy()
    return offsets - offsets[:1], lists.flatten().to_numpy(zero_copy_only=False)
