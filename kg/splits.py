"""Which interactions a model may see, and which it is measured on.

A split gives every interaction a part. A view of the graph keeps the interactions of some parts, and of other events
(tags, reviews) those whose user and item are not held out. Repeats of an interaction follow it.

Ties: users often rate several items in the same second (a sixth of the MovieLens users at the boundary). Equal
timestamps keep the order of a source that lists a user's items in order; otherwise they are ordered by a seeded hash of
the user's and the item's external ids, so the order favours neither old nor new items, and adding nodes changes it for
nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from kg.arrays import IntArray, PairIndex, RaggedArray, distinct
from kg.errors import InvalidDataError
from kg.graph import KnowledgeGraph
from kg.interactions import NO_TIME
from kg.schema import RelationKey
from kg.settings import Settings
from kg.vocabulary import pair_hash, stable_hash

TRAIN, VALID, TEST, UNUSED = 0, 1, 2, -1
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}
PartName = Literal["train", "valid", "test"]
Kind = Literal["per_user_time", "global_time", "leave_last_out", "random", "files"]
ROUNDING = 1e-9  # 0.29 * 100 is 28.999... in binary; a fraction means the whole number it stands for
TIE_BREAK = "equal timestamps in the order of a seeded hash of user id and item id"


class SplitConfig(Settings):
    """How the interactions are split into train, validation and test."""

    section: ClassVar[str] = "split"

    kind: Kind = Field(
        default="per_user_time",
        description='"per_user_time" (the last interactions of each user are held out), "global_time" (everything '
        'after one moment), "leave_last_out" (the last one is test, the one before it validation), "random" (each '
        'interaction by itself), or "files" (the sources name the part of each interaction).',
    )
    test: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description='Share of the interactions held out for the test (of each user with "per_user_time").',
    )
    valid: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share held out for validation, of all interactions, just before the test part in time. With "
        '"files" without a validation part: the share of train that is taken out at random.',
    )
    seed: int = Field(default=0, description="Seed of random draws and of the order of equal timestamps.")

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.test + self.valid >= 1:
            raise ValueError(f"test + valid = {self.test + self.valid} leaves nothing to train on")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A part for every interaction of one graph.

    Attributes:
        part: TRAIN, VALID, TEST or UNUSED, in the order of the graph's interaction edges, int8 (interactions,).
        temporal: "user" or "global" when parts follow time: then other events of held-out time are held out too, and
            those of unknown time.
        hidden_items: items without any event in a view, bool (items,), or None.
    """

    part: npt.NDArray[np.int8]
    temporal: Literal["user", "global"] | None = None
    hidden_items: npt.NDArray[np.bool_] | None = None

    def mask(self, *parts: PartName) -> npt.NDArray[np.bool_]:
        """Interactions of the given parts, bool (interactions,)."""
        return np.isin(self.part, [PARTS[name] for name in parts])

    def view(self, graph: KnowledgeGraph, *parts: PartName) -> KnowledgeGraph:
        """The graph with only the interactions of the given parts, and other events to match; all nodes stay."""
        kept = self.mask(*parts)
        masks = {graph.schema.interaction_key: kept}
        for key in graph.schema.events():
            if key != graph.schema.interaction_key and key in graph.edges:
                masks[key] = self._visible_events(graph, key, kept)
        view = graph.keep_edges(masks)
        repeats = {key: _of_parts(table, parts) for key, table in view.repeats.items()}
        return KnowledgeGraph(view.schema, view.nodes, view.edges, repeats) if repeats else view

    def _visible_events(
        self, graph: KnowledgeGraph, key: RelationKey, kept: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        columns = graph.event_columns(key)
        if columns is None:
            raise InvalidDataError(f"relation {key} has no event")
        user, item = columns
        interactions = graph.interactions
        held_out = PairIndex.of(interactions.user[~kept], interactions.item[~kept], len(graph.items))
        visible = ~held_out.contains(user, item)
        if self.hidden_items is not None and not kept.all():
            visible &= ~self.hidden_items[item]
        table = graph.edges[key]
        if self.temporal is not None and not kept.all():
            never = np.iinfo(np.int64).max
            if "timestamp" in table.column_names:
                time = table["timestamp"].fill_null(NO_TIME).to_numpy()
            else:
                time = np.full(table.num_rows, NO_TIME)
            cutoff = np.full(len(graph.users), never)
            if self.temporal == "user":
                np.minimum.at(cutoff, interactions.user[~kept], interactions.timestamp[~kept])
            else:
                cutoff[:] = interactions.timestamp[~kept].min()
            # An event of unknown time may be from held-out time: only users without held-out interactions keep it.
            visible &= np.where(time == NO_TIME, never - 1, time) < cutoff[user]
        result: npt.NDArray[np.bool_] = visible
        return result

    def seen(self, graph: KnowledgeGraph, *parts: PartName) -> RaggedArray:
        """Items each user has touched in the given parts, positive or not: (users,) lists."""
        interactions = graph.interactions.select(self.mask(*parts))
        return RaggedArray.from_pairs(interactions.user, interactions.item, num_rows=len(graph.users))

    def positives(self, graph: KnowledgeGraph, *parts: PartName) -> RaggedArray:
        """Items each user liked in the given parts: (users,) lists."""
        interactions = graph.interactions
        chosen = interactions.select(self.mask(*parts) & interactions.positive)
        return RaggedArray.from_pairs(chosen.user, chosen.item, num_rows=len(graph.users))

    def counts(self) -> dict[str, int]:
        """Interactions of each part."""
        return {name: int((self.part == number).sum()) for name, number in PARTS.items()}

    def to_table(self, graph: KnowledgeGraph) -> Any:
        """Arrow table `user_id, item_id, part` of strings, to be kept with a run or given to others."""
        names = np.array(["train", "valid", "test", "unused"])
        return pa.table(
            {
                "user_id": graph.users.take(graph.interactions.user),
                "item_id": graph.items.take(graph.interactions.item),
                "part": pa.array(names[self.part]),
            }
        )


def split_interactions(graph: KnowledgeGraph, config: SplitConfig) -> Split:
    """Give every interaction a part.

    Raises:
        InvalidDataError: the kind needs timestamps or part names that the interactions lack.
    """
    interactions = graph.interactions
    if config.kind in ("per_user_time", "global_time", "leave_last_out") and not interactions.has_time:
        parts = "part" in graph.edges[graph.schema.interaction_key].column_names
        other = "files" if parts else "random"
        raise InvalidDataError(
            f"split.kind = {config.kind!r} needs a timestamp on every interaction; "
            f'some have none: use split.kind = "{other}" or give the timestamps'
        )
    if config.kind == "files":
        return Split(part=_named_parts(graph, config))
    if config.kind == "random":
        draw = _uniform(graph, config.seed)
        held = np.where(draw < config.test, TEST, np.where(draw < config.test + config.valid, VALID, TRAIN))
        return Split(part=held.astype(np.int8))
    order = _time_order(graph, config.seed)
    if config.kind == "global_time":
        times = interactions.timestamp[order]
        test_from = _moment(times, 1 - config.test)
        valid_from = _moment(times, 1 - config.test - config.valid)
        time = interactions.timestamp
        part = np.where(time >= test_from, TEST, np.where(time >= valid_from, VALID, TRAIN)).astype(np.int8)
        return Split(part=part, temporal="global")
    position, size = _positions_from_end(interactions.user, order)
    if config.kind == "leave_last_out":
        tests, valids = np.minimum(size - 1, 1), np.minimum(np.maximum(size - 2, 0), 1)
    else:
        tests = (size * config.test + ROUNDING).astype(np.int64)
        valids = (size * config.valid + ROUNDING).astype(np.int64)
    part = np.where(position < tests, TEST, np.where(position < tests + valids, VALID, TRAIN))
    return Split(part=part.astype(np.int8), temporal="user")


def hide_items(graph: KnowledgeGraph, *, fraction: float = 0.1, seed: int = 0) -> Split:
    """Simulate cold items: a seeded fraction of the items with interactions loses all events.

    All interactions on them are the test part, all others the training part. The model is not told which items they
    are.
    """
    interactions = graph.interactions
    touched = distinct(interactions.item)
    draw = stable_hash(graph.items.take(touched), seed)
    hidden = np.zeros(len(graph.items), dtype=bool)
    hidden[touched[np.argsort(draw, kind="stable")[: int(len(touched) * fraction)]]] = True
    part = np.where(hidden[interactions.item], TEST, TRAIN).astype(np.int8)
    return Split(part=part, hidden_items=hidden)


def _of_parts(repeats: Any, parts: tuple[PartName, ...]) -> Any:
    """Repeats that the sources do not name as of another part."""
    if "part" not in repeats.column_names:
        return repeats
    return repeats.filter(pc.or_(pc.is_null(repeats["part"]), pc.is_in(repeats["part"], value_set=pa.array(parts))))


def _pair_hash(graph: KnowledgeGraph, seed: int) -> npt.NDArray[np.uint64]:
    return pair_hash(graph.users, graph.items, graph.interactions.user, graph.interactions.item, seed)


def _uniform(graph: KnowledgeGraph, seed: int) -> npt.NDArray[np.float64]:
    return _pair_hash(graph, seed).astype(np.float64) / 2.0**64


def _time_order(graph: KnowledgeGraph, seed: int) -> IntArray:
    return np.lexsort((_pair_hash(graph, seed), graph.interactions.order, graph.interactions.timestamp))


def _moment(times: IntArray, fraction: float) -> int:
    """The time at which a fraction of the sorted times is over; the end of time if that is all of them."""
    at = int(len(times) * fraction + ROUNDING)
    return int(times[at]) if at < len(times) else int(np.iinfo(np.int64).max)


def _positions_from_end(user: IntArray, order: IntArray) -> tuple[IntArray, IntArray]:
    """For each interaction: how many of the same user come after it, and how many the user has."""
    by_user = order[np.argsort(user[order], kind="stable")]
    counts = np.bincount(user)
    ends = np.cumsum(counts)
    position = np.empty(len(user), dtype=np.int64)
    position[by_user] = ends[user[by_user]] - 1 - np.arange(len(user))
    return position, counts[user]


def _named_parts(graph: KnowledgeGraph, config: SplitConfig) -> npt.NDArray[np.int8]:
    table = graph.edges[graph.schema.interaction_key]
    if "part" not in table.column_names:
        raise InvalidDataError(
            'split.kind = "files" needs interactions given as train, valid and test files; '
            f"these have only {', '.join(table.column_names)}"
        )
    names = np.array(table["part"].to_pylist())
    unknown = sorted(set(names.tolist()) - set(PARTS))
    if unknown:
        raise InvalidDataError(f"unknown parts {', '.join(map(repr, unknown))}: use train, valid or test")
    part = np.select([names == name for name in PARTS], list(PARTS.values())).astype(np.int8)
    if not (part == VALID).any() and config.valid:
        part[(part == TRAIN) & (_uniform(graph, config.seed) < config.valid)] = VALID
    return part
