"""What an evaluation model and the models it goes on from were trained on, so that it is not held out again.

A split is made from the interactions of today. When the newest ones of a user are deleted, or one comes late, the
border between the parts moves, and an interaction that an earlier model was trained on could become part of the test.
Such an interaction stays in training; one that an earlier model was only validated on does not become test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg.arrays import IntArray, PairIndex
from kg.errors import ArtifactError
from kg.graph import KnowledgeGraph
from kg.io.parquet import read_table, write_table
from kg.splits import TEST, TRAIN, VALID, Split

COLUMNS = ("user_id", "item_id", "trained")


@dataclass(frozen=True, slots=True)
class Lineage:
    """Pairs of a user and an item that a model, or one before it, was trained or validated on.

    They need not be in the sources any more.

    Attributes:
        table: Arrow table `user_id`, `item_id` (strings) and `trained` (bool: trained on, else validated on), a row a
            pair.
    """

    table: Any

    @classmethod
    def of(cls, split: Split, graph: KnowledgeGraph, *, before: Lineage | None = None) -> Self:
        """The pairs of a split's training part, those of its validation part, and those of the models before.

        Other events of the training view count as trained on.

        Args:
            split: of `graph`.
            graph: all interactions.
            before: the pairs of the models before.
        """
        view = split.view(graph, "train")
        interactions = graph.interactions
        users, items, trained = [], [], []
        for key in graph.schema.events():
            if key in view.edges and (columns := view.event_columns(key)) is not None:
                users.append(columns[0])
                items.append(columns[1])
                trained.append(np.ones(len(columns[0]), dtype=bool))
        valid = split.mask("valid")
        users.append(interactions.user[valid])
        items.append(interactions.item[valid])
        trained.append(np.zeros(int(valid.sum()), dtype=bool))
        user, item, is_trained = np.concatenate(users), np.concatenate(items), np.concatenate(trained)
        # The first of equal pairs stands for them: those of training stand before those of validation.
        pairs = PairIndex.of(user, item, len(graph.items))
        user, item = pairs.distinct()
        is_trained = is_trained[pairs.position(user, item)]
        if before is None:
            return cls(_table(graph.users.take(user), graph.items.take(item), is_trained))
        place = PairIndex.of(user, item, len(graph.items)).position(*before.positions(graph))
        same = place >= 0
        is_trained[place[same]] |= before.trained[same]
        kept = before.table.filter(pa.array(~same))
        return cls(pa.concat_tables([_table(graph.users.take(user), graph.items.take(item), is_trained), kept]))

    @property
    def trained(self) -> npt.NDArray[np.bool_]:
        """Whether each pair was trained on, (pairs,)."""
        result: npt.NDArray[np.bool_] = self.table["trained"].to_numpy()
        return result

    def positions(self, graph: KnowledgeGraph) -> tuple[IntArray, IntArray]:
        """Positions of the user and the item of each pair, -1 where the graph lacks them, each (pairs,)."""
        user = graph.users.index(self.table["user_id"], missing="negative")
        item = graph.items.index(self.table["item_id"], missing="negative")
        return user, item

    def keep(self, split: Split, graph: KnowledgeGraph) -> tuple[Split, dict[str, int]]:
        """The split in which no pair is held out farther from training than it was.

        Returns:
            The split, and how many interactions were moved to "train" and to "valid".
        """
        user, item = self.positions(graph)
        interactions = graph.interactions

        def among(pairs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
            present = pairs & (user >= 0) & (item >= 0)
            index = PairIndex.of(user[present], item[present], len(graph.items))
            return index.contains(interactions.user, interactions.item)

        to_train = np.isin(split.part, (VALID, TEST)) & among(self.trained)
        to_valid = (split.part == TEST) & among(~self.trained) & ~to_train
        part = split.part.copy()
        part[to_train], part[to_valid] = TRAIN, VALID
        return replace(split, part=part), {"train": int(to_train.sum()), "valid": int(to_valid.sum())}

    def save(self, path: Path) -> None:
        """Write a Parquet file."""
        write_table(self.table, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        table = read_table(path)
        if tuple(table.column_names) != COLUMNS:
            raise ArtifactError(f"{path} holds the columns {', '.join(table.column_names)}, not {', '.join(COLUMNS)}")
        return cls(table)


def _table(users: Any, items: Any, trained: npt.NDArray[np.bool_]) -> Any:
    return pa.table(dict(zip(COLUMNS, (users, items, pa.array(trained)), strict=True)))
