"""Items that no list shows, for the users in whose ranking they stand highest.

Vargas and Castells, "Improving Sales Diversity by Recommending Users to Items", RecSys 2014: where a recommender gives
items to users, most items reach nobody; turned round, each item is given to some users, and all are reached. Here the
users of an item are those for whom another channel ranks it highest, so that lists lose as little as can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix

from kg.arrays import IntArray
from kg.errors import ArtifactError
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import ClosedChannel, not_fitted
from recall.channels.item_knn import ItemKNN
from recall.channels.rp3beta import RP3Beta
from recall.channels.scores import hold
from recall.channels.walk import Walk
from recall.contracts import Capabilities, Channel, FitData, LoadData, NoShares, Query, Scores, Shares
from recall.contracts.history import seen_items

_RANKERS: Mapping[str, type[Channel]] = {kind.name: kind for kind in (RP3Beta, ItemKNN, Walk)}
_BLOCK = 256  # users ranked for at a time
_NOBODY = np.iinfo(np.int32).max
_FILE = "places.safetensors"

Places = npt.NDArray[np.int32]


class OverlookedConfig(Settings):
    """Hyper-parameters of the items that no list shows."""

    section: ClassVar[str] = "channels.overlooked"

    ranking: Literal["rp3beta", "item_knn", "walk"] = Field(
        default="walk", description="Channel, with its defaults, by whose ranking items find their users."
    )
    shown: int = Field(
        default=100, ge=1, description="Items that stand among so many of some user need no help and are no candidates."
    )
    users: int = Field(default=5, ge=1, le=1000, description="Users that each other item is a candidate for.")
    depth: int = Field(default=1000, ge=2, description="How far down the ranking of a user an item is looked for.")


class Overlooked(ClosedChannel):
    """score(u, i) = 1 / (1 + how many users have i higher in their ranking), for the first `users` of them.

    Items that are `shown` have no evidence. A person who is not in the graph takes the place that the ranking gives.
    It is meant for a quota of `pipeline.control`: the items that it has are those that nobody would see without it.
    """

    name: ClassVar[str] = "overlooked"
    config_type: ClassVar[type[Any]] = OverlookedConfig
    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False)

    def __init__(self, config: OverlookedConfig | None = None) -> None:
        super().__init__(config)
        self._ranking: Channel | None = None
        self._best: Places = np.zeros((0, 0), dtype=np.int32)

    @property
    def facts(self) -> Mapping[str, Any]:
        """How many items no list shows, and how many of these have users now."""
        first = self._best[:, 0]
        given = (first >= 0) & (first < _NOBODY)
        return {"items": len(first), "shown": int((first < 0).sum()), "given": int(given.sum())}

    def fit(self, data: FitData) -> Self:
        """Rank all items for all users, and keep the best places of each item; returns itself."""
        self._history, self.encode = data.history, data.encode
        plain = FitData(graph=data.graph, history=data.history, features=data.features, encode=data.encode)
        self._ranking = _RANKERS[self.config.ranking]().fit(plain)
        self._best = self._best_places(data.history.num_users, data.history.num_items)
        return self

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        items = self._ranked(queries)
        row, place = np.nonzero(items >= 0)
        item = items[row, place]
        better = (self._best[item] < place[:, None]).sum(axis=1)
        counts = better < self.config.users
        values = (1 / (1 + better[counts])).astype(np.float32)
        shape = (len(queries), self.history.num_items)
        return hold(csr_matrix((values, (row[counts], item[counts])), shape=shape))

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """No score splits: it is a place among users; see `recall.contracts.Channel`."""
        scores = self.score(queries).at(items[:, None])[:, 0].tolist()
        return [
            NoShares(score, f"no list of {self.config.shown} shows it, and few users have it higher in their ranking")
            if score > 0
            else NoShares(0.0, "others have it higher in their ranking, or lists show it without this channel")
            for score in scores
        ]

    def _ranked(self, queries: Query) -> IntArray:
        if self._ranking is None:
            raise not_fitted(self.name)
        of_history = replace(queries, text=None, attributes=None, disliked=None)
        seen = seen_items(of_history, self.history)
        return self._ranking.score(of_history).top(self.config.depth, exclude=seen).items

    def _best_places(self, num_users: int, num_items: int) -> Places:
        """The best places of each item over all users, ascending, int32 (items, users); shown items have only -1."""
        best = np.full((num_items, self.config.users), _NOBODY, dtype=np.int32)
        for start in range(0, num_users, _BLOCK):
            items = self._ranked(Query.of_positions(np.arange(start, min(start + _BLOCK, num_users))))
            by_place = items.T.ravel()  # all first places, then all second ones
            place = np.repeat(np.arange(items.shape[1], dtype=np.int32), items.shape[0])
            place, by_place = place[by_place >= 0], by_place[by_place >= 0]
            order = np.argsort(by_place, kind="stable")
            item, place = by_place[order], place[order]
            first = np.searchsorted(item, item)
            nth = np.arange(len(item)) - first
            kept = nth < self.config.users
            own = np.full_like(best, _NOBODY)
            own[item[kept], nth[kept]] = place[kept]
            best = np.sort(np.concatenate([best, own], axis=1), axis=1)[:, : self.config.users]
        best[best[:, 0] < self.config.shown] = -1
        return best

    def _write(self, folder: Path) -> None:
        if self._ranking is None:
            raise not_fitted(self.name)
        self._ranking.save(folder / "ranking")
        save_arrays(folder / _FILE, {"best": self._best})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        best = load_arrays(folder / _FILE).get("best")
        if best is None or best.ndim != 2 or best.shape[1] != self.config.users:
            raise ArtifactError(f"{folder / _FILE} is damaged: fit the channel again")
        self._best = best
        self._folder = folder

    def _ready(self, data: LoadData) -> None:
        self._ranking = _RANKERS[self.config.ranking].load(self._folder / "ranking", data)
