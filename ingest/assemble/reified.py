"""Nodes that stand between users and items, such as reviews and orders, are traces of users too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES, QualityReport
from ingest.settings import GraphSettings
from kg.arrays import IntArray, RaggedArray
from kg.errors import ConfigError
from kg.schema import Event, RelationKey

EVENT_SHARE = 0.9
"""So many of the nodes of a type must look like events for the type to be one: a few dirty nodes decide nothing."""
DOUBTFUL_SHARE = 0.5


def fold_reified(
    tables: dict[RelationKey, Any],
    events: dict[RelationKey, Event],
    ids: Mapping[str, Any],
    settings: GraphSettings,
    report: QualityReport,
) -> None:
    """Make the edges of nodes between users and items events, in place.

    A node looks like an event when it has one user, and one item or edges that lead from it to its items: items that
    share what only one user is linked to, such as a town, say nothing about that user. A type is one of events when
    nearly all of its nodes between users and items look so, and most of those that have an item have a user;
    `graph.nodes.<type>.event` overrides that. The edges to the items get the user as a column and an event, so that
    splits cover them, once for each user where there are several; the edges to the users say nothing more and go.

    Args:
        tables: relation -> edges by position.
        events: of relations that are traces of users.
        ids: node type -> ids.
        settings: roles.
        report: findings.

    Raises:
        ConfigError: a type is called one of events that no edges join with users and items.
    """
    user, item = settings.user, settings.item
    for name in ids:
        override = settings.nodes[name].event if name in settings.nodes else None
        to_user = [k for k in tables if {k.source, k.target} == {name, user} and k not in events]
        to_item = [k for k in tables if {k.source, k.target} == {name, item} and k not in events]
        if name in (user, item) or not to_user or not to_item:
            if override:
                raise ConfigError(
                    f"graph.nodes.{name}.event = true, but no relations join {name} with both {user} and {item}: an "
                    "event stands between them"
                )
            continue
        between = _Between(
            name,
            users=_others(tables, to_user, name, len(ids[name])),
            items=_others(tables, to_item, name, len(ids[name])),
            shared_items=any(key.target == name for key in to_item),
        )
        is_event = between.share >= EVENT_SHARE and between.users_known if override is None else override
        if is_event:
            _fold(between, tables, events, to_user, to_item, ids[name], settings, report)
        elif override is None and between.share >= DOUBTFUL_SHARE and between.users_known:
            report.add(
                "types that may be events",
                1,
                f"{between.share:.0%} of the {name} nodes between a {user} and a {item} look like something that one "
                f"{user} did; taken as knowledge. Where they are events, models see through them what is held out: set "
                f"graph.nodes.{name}.event = true, or false if they are none",
                [name],
                severity="warning",
            )


@dataclass(frozen=True, slots=True)
class _Between:
    """The nodes of a type that is joined with users and items.

    Attributes:
        name: of the type.
        users, items: those that each node is joined with.
        shared_items: some edges lead from items to the nodes, so that a node of several items may be what these share.
    """

    name: str
    users: RaggedArray
    items: RaggedArray
    shared_items: bool

    @property
    def share(self) -> float:
        """The share of the nodes with a user and an item that look like events; 0 where there are none."""
        users, items = self.users.counts, self.items.counts
        both = (users > 0) & (items > 0)
        looks = (users == 1) & ((items == 1) | (not self.shared_items))
        return float(looks[both].mean()) if both.any() else 0.0

    @property
    def users_known(self) -> bool:
        """Whether most of the nodes that have an item have a user, too."""
        with_items = self.items.counts > 0
        return bool((self.users.counts[with_items] > 0).mean() >= DOUBTFUL_SHARE)


def _others(tables: Mapping[RelationKey, Any], keys: Sequence[RelationKey], name: str, size: int) -> RaggedArray:
    """The nodes at the other ends of the edges of each `name` node."""
    pairs = [_pair(tables[key], key, name) for key in keys]
    middle, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return RaggedArray.from_pairs(middle, other, num_rows=size)


def _fold(
    between: _Between,
    tables: dict[RelationKey, Any],
    events: dict[RelationKey, Event],
    to_user: Sequence[RelationKey],
    to_item: Sequence[RelationKey],
    ids: Any,
    settings: GraphSettings,
    report: QualityReport,
) -> None:
    """Make the edges to items events, and remove those to users."""
    name, user, item = between.name, settings.user, settings.item
    several = between.users.counts > 1
    shared = (between.items.counts > 1) & between.shared_items
    for kind, chosen, explanation in (
        ("events of several users", several, f"{name} nodes of several {user}s are an event of each of them"),
        ("events of several items", shared, f"{name} nodes that several {item}s share are an event of each of them"),
    ):
        report.add(
            kind,
            int(chosen.sum()),
            explanation,
            [f"{name} {ids[row].as_py()}" for row in np.flatnonzero(chosen)[:MAX_EXAMPLES].tolist()],
            severity="warning",
        )
    for key in to_item:
        middle, _ = _pair(tables[key], key, name)
        users = between.users.take(middle)
        report.add(
            "events of nobody",
            int((users.counts == 0).sum()),
            f"{name} nodes without a {user}: their edges are left out",
            severity="warning",
        )
        tables[key] = tables[key].take(pa.array(users.rows())).append_column("user", pa.array(users.values))
        events[key] = Event("user", "dst" if key.target == item else "src")
    for key in to_user:
        report.add(
            "user edges of events",
            tables[key].num_rows,
            "nodes between users and items are traces of the users: kept as the column `user`",
            [str(key)],
        )
        del tables[key]


def _pair(table: Any, key: RelationKey, name: str) -> tuple[IntArray, IntArray]:
    """Positions of the `name` end and of the other end of each edge."""
    ends = ("src", "dst") if key.source == name else ("dst", "src")
    return table[ends[0]].to_numpy(), table[ends[1]].to_numpy()
