"""What every channel remembers of the graph it was fitted on: the items' ids, and who liked and saw which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from kg import KnowledgeGraph, RaggedArray, RelationKey, Vocabulary
from kg.arrays import IntArray
from kg.errors import ArtifactError, UnknownIdError
from kg.io.files import read_json, write_json
from kg.io.parquet import read_table, write_table
from kg.topology.adjacency import Numbering
from recall.channels.arrays import load_arrays, save_arrays
from recall.contracts import Queries


@dataclass(frozen=True)
class Known:
    """Items, and what users did to them.

    Attributes:
        items: ids of the items.
        liked: positive items of each user, (users,) lists.
        seen: all items each user has touched, also under other events such as tags, (users,) lists.
        interaction: the relation that both come from.
        first_item: global node number (kg.topology.adjacency.Numbering) of item 0.
    """

    items: Vocabulary
    liked: RaggedArray
    seen: RaggedArray
    interaction: RelationKey
    first_item: int

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> Known:
        """From a graph with interactions."""
        interactions = graph.interactions
        positive = interactions.select(interactions.positive)
        users = len(graph.users)
        traces = [(interactions.user, interactions.item)]
        traces += [columns for key in graph.edges if (columns := graph.event_columns(key)) is not None]
        user, item = (np.concatenate(ends) for ends in zip(*traces, strict=True))
        return cls(
            items=graph.items,
            liked=RaggedArray.from_pairs(positive.user, positive.item, num_rows=users),
            seen=RaggedArray.from_pairs(user, item, num_rows=users),
            interaction=graph.schema.interaction_key,
            first_item=Numbering.of(graph).span(graph.schema.item_type).start,
        )

    @property
    def num_users(self) -> int:
        """Users of the graph."""
        return len(self.liked)

    @property
    def num_items(self) -> int:
        """Items of the graph."""
        return len(self.items)

    def check(self, queries: Queries) -> None:
        """Make sure that a request speaks of users and items that are there.

        Raises:
            UnknownIdError: a position lies outside.
        """
        if len(queries.user) and queries.user.max() >= self.num_users:
            raise UnknownIdError(f"user {queries.user.max()} was asked for, but there are {self.num_users} users")
        for lists in (queries.history, queries.seen):
            if lists is not None and len(lists.values) and lists.values.max() >= self.num_items:
                raise UnknownIdError(f"item {lists.values.max()} was named, but there are {self.num_items} items")

    def history(self, queries: Queries) -> RaggedArray:
        """What each row likes: a known user's positives, and what came with the request, (n,) lists."""
        return self.liked.take(queries.user).union(queries.history)

    def excluded(self, queries: Queries) -> RaggedArray:
        """What each row has seen: what the request says, else what is known and its history, (n,) lists."""
        if queries.seen is not None:
            return queries.seen
        return self.seen.take(queries.user).union(queries.history)

    def save(self, folder: Path) -> None:
        """Write `known.safetensors`, `known.json` and `items.parquet` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "liked_offsets": self.liked.offsets,
            "liked_items": self.liked.values,
            "seen_offsets": self.seen.offsets,
            "seen_items": self.seen.values,
        }
        save_arrays(folder / "known.safetensors", arrays)
        write_table(pa.table({"id": self.items.ids}), folder / "items.parquet")
        facts = {"item_type": self.items.name, "interaction": list(self.interaction), "first_item": self.first_item}
        write_json(folder / "known.json", facts)

    @classmethod
    def load(cls, folder: Path) -> Known:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        facts = read_json(folder / "known.json")
        arrays = load_arrays(folder / "known.safetensors")
        table = read_table(folder / "items.parquet")
        if table.column_names != ["id"]:
            raise ArtifactError(f"{folder / 'items.parquet'} holds {', '.join(table.column_names)}, not ids")
        return cls(
            items=Vocabulary(facts["item_type"], table["id"]),
            liked=RaggedArray(arrays["liked_offsets"], arrays["liked_items"]),
            seen=RaggedArray(arrays["seen_offsets"], arrays["seen_items"]),
            interaction=RelationKey(*facts["interaction"]),
            first_item=int(facts["first_item"]),
        )


def rows_with(lists: RaggedArray) -> IntArray:
    """Rows that list anything, int64."""
    return np.flatnonzero(lists.counts)
