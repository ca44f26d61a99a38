"""What a sequence model is trained and validated on, as arrays: made by the first rank, and sent to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnn.distributed import Ranks
from gnn.evaluation.validation import Validation
from gnn.sequence.histories import Histories
from gnn.sequence.item_data import ItemData
from gnn.sequence.preparation import training_windows
from gnn.sequence.settings import SequenceConfig, SequenceTraining
from gnn.text.features import TextFeatures
from gnn.training.arrays import described, received, send
from gnn.training.validation import validation_users
from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from kg.interactions import NO_TIME


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The users that validations rank for, row by row.

    Attributes:
        histories: what they liked, as far as it has a vector.
        truth: what they are to be answered with.
        seen: what is left out of their ranking.
    """

    histories: Histories
    truth: RaggedArray
    seen: RaggedArray

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: IntArray) -> Asked:
        """Some of them."""
        return Asked(histories=self.histories.take(rows), truth=self.truth.take(rows), seen=self.seen.take(rows))


@dataclass(frozen=True, kw_only=True)
class SequenceData:
    """All that a step and a validation read.

    Attributes:
        windows: the part of each history that is trained on.
        items: what the vectors of items are made of.
        asked: who validations rank for; None: there are no validations.
    """

    windows: Histories
    items: ItemData
    asked: Asked | None

    @classmethod
    def of(
        cls,
        graph: KnowledgeGraph,
        history: InteractionHistory,
        model: SequenceConfig,
        training: SequenceTraining,
        *,
        features: TextFeatures | None,
        validation: Validation | None,
        seed: int,
    ) -> SequenceData:
        """From the arguments of `gnn.sequence.fit.fit`, whose errors these are."""
        sequences = Histories.liked(history, np.arange(history.num_users))
        windows = training_windows(sequences, model.max_length)
        if model.time_parts and (windows.times == NO_TIME).all():
            raise ConfigError(
                f"time_parts = {list(model.time_parts)} needs times, and no interaction has one: give the "
                "sources a column of times, or leave time_parts empty"
            )
        touched = np.bincount(windows.values, minlength=history.num_items) > 0
        items = ItemData.of(graph, model, features, touched)
        asked = None
        if validation is not None:
            users = validation_users(validation, history.num_users, limit=training.validation_users, seed=seed)
            of_users = sequences.take(users)
            asked = Asked(
                histories=of_users.select(items.described[of_users.values]),
                truth=validation.truth.take(users),
                seen=validation.seen.take(users),
            )
        return cls(windows=windows, items=items, asked=asked)

    def arrays(self) -> dict[str, Any]:
        """All of it, by name; what is not there has no name."""
        items = self.items
        result = {
            "touched": items.touched,
            "texts": items.texts,
            "nodes": items.nodes,
            **_lists("windows", self.windows),
        }
        if items.text_row is not None:
            result["text_row"] = items.text_row
        if items.joined is not None:
            result |= _lists("joined", items.joined)
        if self.asked is not None:
            for name in ("histories", "truth", "seen"):
                result |= _lists(name, getattr(self.asked, name))
        return result

    def send(self, ranks: Ranks, header: Mapping[str, Any]) -> None:
        """Send it to all other ranks, after plain data."""
        arrays = self.arrays()
        ranks.broadcast({**header, "arrays": described(arrays)}, wait=True)
        send(ranks, arrays)

    @classmethod
    def receive(cls, ranks: Ranks, header: Mapping[str, Any]) -> SequenceData:
        """What the first rank sends after a header."""
        arrays = received(ranks, header["arrays"])

        def lists(name: str) -> RaggedArray:
            return RaggedArray(arrays[f"{name}.offsets"], arrays[f"{name}.values"])

        def histories(name: str) -> Histories:
            return Histories(arrays[f"{name}.offsets"], arrays[f"{name}.values"], arrays[f"{name}.times"])

        items = ItemData(
            touched=arrays["touched"],
            text_row=arrays.get("text_row"),
            texts=arrays["texts"],
            nodes=arrays["nodes"],
            joined=lists("joined") if "joined.offsets" in arrays else None,
        )
        asked = None
        if "truth.offsets" in arrays:
            asked = Asked(histories=histories("histories"), truth=lists("truth"), seen=lists("seen"))
        return cls(windows=histories("windows"), items=items, asked=asked)


def _lists(name: str, lists: RaggedArray) -> dict[str, Any]:
    arrays = {f"{name}.offsets": lists.offsets, f"{name}.values": lists.values}
    if isinstance(lists, Histories):
        arrays[f"{name}.times"] = lists.times
    return arrays
