"""Items that no list shows, shared out among the users in whose ranking they stand highest.

Vargas and Castells, "Improving Sales Diversity by Recommending Users to Items", RecSys 2014: where a recommender gives
items to users, most items reach nobody; turned round, each item is given to some users, and all are reached. Here the
users of an item are those for whom another channel ranks it highest, and no user is given more than a fair share, so
that a short quota reaches all and lists lose as little as can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix, diags_array

from kg.arrays import IntArray
from kg.errors import ArtifactError
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.assignment import assign
from recall.channels.base import ClosedChannel, not_fitted
from recall.channels.item_knn import ItemKNN
from recall.channels.rp3beta import RP3Beta
from recall.channels.scores import hold
from recall.channels.walk import Walk
from recall.contracts import Capabilities, Channel, FitData, LoadData, NoShares, Query, Scores, Shares
from recall.contracts.history import seen_items

_RANKERS: Mapping[str, type[Channel]] = {kind.name: kind for kind in (RP3Beta, ItemKNN, Walk)}
_BLOCK = 256  # users ranked for at a time
_NEAREST = 64  # users of an item among whom its own are looked for, at least
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
    users: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Users that each other item is given to; each time all of these items are shared out among all "
        "users. Of a quota, those count that a list has anyway: with 1 it reaches most items.",
    )
    depth: int = Field(
        default=1000,
        ge=2,
        description="How far down the ranking of a user an item is looked for. The deeper, the more items find a user.",
    )


class Overlooked(ClosedChannel):
    """score(u, i) = 1 / n, where the user u is the n-th that the item i was given to.

    Items that are `shown` have no evidence. A person who is not in the graph has, of each item, the place that the
    ranking gives among its users. It is meant for a quota of `pipeline.control`: the items that it has are those that
    nobody would see without it.
    """

    name: ClassVar[str] = "overlooked"
    config_type: ClassVar[type[Any]] = OverlookedConfig
    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False)

    def __init__(self, config: OverlookedConfig | None = None) -> None:
        super().__init__(config)
        self._ranking: Channel | None = None
        self._users: Places = np.zeros((0, 0), dtype=np.int32)
        self._places: Places = np.zeros((0, 0), dtype=np.int32)
        self._own: Any = None  # the scores of the items that each user was given, CSR (users, items)

    @property
    def facts(self) -> Mapping[str, Any]:
        """How many items no list shows, and how many of these have users now."""
        given = int((self._users[:, 0] >= 0).sum())
        return {"items": len(self._users), "shown": int((self._places[:, 0] < 0).sum()), "given": given}

    def fit(self, data: FitData) -> Self:
        """Rank all items for all users, and share out those that no list shows; returns itself."""
        self._history, self.encode = data.history, data.encode
        plain = FitData(graph=data.graph, history=data.history, features=data.features, encode=data.encode)
        self._ranking = _RANKERS[self.config.ranking]().fit(plain)
        self._share_out(*self._nearest_users())
        self._own = self._own_items()
        return self

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        if self._own is None:
            raise not_fitted(self.name)
        scores = self._own[np.maximum(queries.user, 0)]
        new = np.flatnonzero(queries.user < 0)
        if len(new):
            known = (queries.user >= 0).astype(np.float32)
            scores = diags_array(known) @ scores + self._of_new(queries.take(new), new, len(queries))
        return hold(csr_matrix(scores))

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """No score splits: it is a place among users; see `recall.contracts.Channel`."""
        scores = self.score(queries).at(items[:, None])[:, 0].tolist()
        return [
            NoShares(score, f"no list of {self.config.shown} shows it, and few users have it higher in their ranking")
            if score > 0
            else NoShares(0.0, "it is given to others, or lists show it without this channel")
            for score in scores
        ]

    def _own_items(self) -> Any:
        """The scores of the items that each user was given, CSR (users, items)."""
        item, nth = np.nonzero(self._users >= 0)
        values = (1 / (1 + nth)).astype(np.float32)
        return csr_matrix((values, (self._users[item, nth], item)), shape=(self.history.num_users, len(self._users)))

    def _of_new(self, people: Query, rows: IntArray, count: int) -> Any:
        """The scores of people who are not in the graph, CSR (count, items)."""
        items = self._ranked(people)
        row, place = np.nonzero(items >= 0)
        item = items[row, place]
        better = (self._places[item] < place[:, None]).sum(axis=1)
        counts = better < self.config.users
        values = (1 / (1 + better[counts])).astype(np.float32)
        return csr_matrix((values, (rows[row[counts]], item[counts])), shape=(count, len(self._users)))

    def _ranked(self, queries: Query) -> IntArray:
        if self._ranking is None:
            raise not_fitted(self.name)
        of_history = replace(queries, text=None, attributes=None, disliked=None)
        seen = seen_items(of_history, self.history)
        return self._ranking.score(of_history).top(self.config.depth, exclude=seen).items

    def _nearest_users(self) -> tuple[Places, Places]:
        """The users with the best places of each item, and these places, ascending, int32 (items, m)."""
        count, width = self.history.num_items, max(_NEAREST, 2 * self.config.users)
        users = np.full((count, width), -1, dtype=np.int32)
        places = np.full((count, width), _NOBODY, dtype=np.int32)
        for start in range(0, self.history.num_users, _BLOCK):
            block = np.arange(start, min(start + _BLOCK, self.history.num_users), dtype=np.int32)
            ranked = self._ranked(Query.of_positions(block.astype(np.int64)))
            row, place = np.nonzero(ranked >= 0)
            items, at = np.unique(ranked[row, place], return_inverse=True)
            of_block = np.full((len(items), len(block)), _NOBODY, dtype=np.int32)
            of_block[at, row] = place
            tried = np.concatenate([users[items], np.broadcast_to(block, of_block.shape)], axis=1)
            all_places = np.concatenate([places[items], of_block], axis=1)
            best = np.argsort(all_places, axis=1, kind="stable")[:, :width]
            users[items] = np.take_along_axis(tried, best, axis=1)
            places[items] = np.take_along_axis(all_places, best, axis=1)
        users[places == _NOBODY] = -1
        return users, places

    def _share_out(self, users: Places, places: Places) -> None:
        """Give each item that no list shows to some of its users, who take alike many each time."""
        shown = places[:, 0] < self.config.shown
        users[shown] = -1
        shape = (len(users), self.config.users)
        self._users, self._places = np.full(shape, -1, dtype=np.int32), np.full(shape, _NOBODY, dtype=np.int32)
        self._places[shown] = -1
        room = -(-int((users[:, 0] >= 0).sum()) // max(self.history.num_users, 1))
        for nth in range(self.config.users):
            columns = assign(users, places, room=room)
            items = np.flatnonzero(columns >= 0)
            self._users[items, nth] = users[items, columns[items]]
            self._places[items, nth] = places[items, columns[items]]
            users[items, columns[items]] = -1
        self._places.sort(axis=1)

    def _write(self, folder: Path) -> None:
        if self._ranking is None:
            raise not_fitted(self.name)
        self._ranking.save(folder / "ranking")
        save_arrays(folder / _FILE, {"users": self._users, "places": self._places})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / _FILE)
        users, places = arrays.get("users"), arrays.get("places")
        if users is None or places is None or users.shape != places.shape or users.shape[1:] != (self.config.users,):
            raise _damaged(folder)
        self._users, self._places = users, places
        self._folder = folder

    def _ready(self, data: LoadData) -> None:
        if len(self._users) != data.history.num_items or self._users.max(initial=-1) >= data.history.num_users:
            raise _damaged(self._folder)
        self._ranking = _RANKERS[self.config.ranking].load(self._folder / "ranking", data)
        self._own = self._own_items()


def _damaged(folder: Path) -> ArtifactError:
    return ArtifactError(f"{folder / _FILE} is damaged, or of another graph: fit the channel again")
