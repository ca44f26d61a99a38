"""Evaluation on held-out interactions, in groups of users.

All items are ranked, never a sample. A group has for each of its users the history that may be used, the items that are
left out of the ranking, and the items to find: the masks belong to the group, not to any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnn.evaluation.metrics import Values, bootstrap_interval, list_metrics, per_user_metrics
from kg import KnowledgeGraph, RaggedArray, Split
from kg.arrays import IntArray, places
from kg.errors import InvalidDataError
from kg.splits import PartName

NEW_USER_HISTORY = 5  # interactions of a new user that the model may use
FEW = 5

Ranker = Callable[["Group", int], IntArray]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Users that are evaluated in the same way.

    Attributes:
        name: "warm users", "new users", ...
        user: positions, int64 (n,).
        in_training: whether the model was trained on them; if not, it gets their `history` alone.
        history: liked items that may be used, (n,) lists; empty for users of the training.
        seen: items left out of the ranking, (n,) lists.
        truth: items to find, (n,) lists, none empty.
        candidates: positions of the only items ranked, or None for all.
    """

    name: str
    user: IntArray
    in_training: bool
    history: RaggedArray
    seen: RaggedArray
    truth: RaggedArray
    candidates: IntArray | None = None

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of one ranker on one group.

    Attributes:
        group: its name.
        user: positions of the users, int64 (n,).
        values: "recall@20" -> float64 (n,).
        lists: "coverage@20", "novelty@20", "long_tail@20" -> one number.
    """

    group: str
    user: IntArray
    values: Mapping[str, Values]
    lists: Mapping[str, float]

    def mean(self, metric: str) -> float:
        """Mean over the group's users."""
        return float(self.values[metric].mean())

    def interval(self, metric: str, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
        """Bootstrap interval of the mean over users."""
        return bootstrap_interval(self.values[metric], level=level, seed=seed)

    def summary(self) -> dict[str, Any]:
        """Means and list metrics, plain numbers for a report."""
        means = {name: float(value.mean()) for name, value in self.values.items()}
        return {"group": self.group, "users": len(self.user), **means, **self.lists}


def evaluate(
    rank: Ranker, group: Group, *, ks: Sequence[int] = (20,), popularity: IntArray, num_users: int
) -> Evaluation:
    """Rank all items for a group and measure the lists.

    Args:
        rank: returns the best `k` items for each user of a group, int64 (n, k), -1 where there are fewer.
        group: the users, and the items to find.
        ks: cut-offs.
        popularity: users who liked each item in training, int64 (items,).
        num_users: users in training.

    Raises:
        InvalidDataError: the group is empty.
    """
    if not len(group):
        raise InvalidDataError(f"the group {group.name!r} has no users to evaluate")
    ranked = rank(group, max(ks))
    values: dict[str, Values] = {}
    lists: dict[str, float] = {}
    for k in ks:
        values |= {f"{name}@{k}": value for name, value in per_user_metrics(ranked, group.truth, k).items()}
        lists |= {
            f"{name}@{k}": value for name, value in list_metrics(ranked, popularity, num_users=num_users, k=k).items()
        }
    return Evaluation(group=group.name, user=group.user, values=values, lists=lists)


def user_groups(
    graph: KnowledgeGraph,
    split: Split,
    *,
    part: PartName = "test",
    seen_parts: Sequence[PartName] = ("train", "valid"),
) -> list[Group]:
    """The groups of a split that are not empty.

    - "warm users" liked something in training.
    - "users with few likes": those of them who liked at most five items in training.
    - "new users" liked nothing in training: the model may use their first five interactions of the part (the liked ones
      as history, all of them as seen; equal timestamps in item order), the rest is to find.

    Args:
        graph: all interactions.
        split: made for this graph.
        part: the interactions to find.
        seen_parts: parts whose items are left out of the ranking. A test leaves out validation items, too, also for
            models trained on "train" alone.
    """
    likes = split.positives(graph, "train")
    seen = split.seen(graph, *seen_parts)
    truth = split.positives(graph, part)
    has_truth = truth.counts > 0
    groups = [
        warm_group("warm users", np.flatnonzero(has_truth & (likes.counts > 0)), seen, truth),
        warm_group(
            "users with few likes", np.flatnonzero(has_truth & (likes.counts > 0) & (likes.counts <= FEW)), seen, truth
        ),
        _new_users(graph, split, part=part, likes=likes, seen=seen),
    ]
    return [group for group in groups if len(group)]


def cold_item_groups(graph: KnowledgeGraph, split: Split) -> list[Group]:
    """Users of the training and the hidden items of `kg.hide_items` they liked: all items ranked, and hidden ones only.

    Raises:
        InvalidDataError: the split hides no items.
    """
    if split.hidden_items is None:
        raise InvalidDataError("this split hides no items: make it with kg.hide_items")
    truth = split.positives(graph, "test")
    seen = split.seen(graph, "train")
    users = np.flatnonzero((truth.counts > 0) & (split.positives(graph, "train").counts > 0))
    among = warm_group("cold items among themselves", users, seen, truth, np.flatnonzero(split.hidden_items))
    return [warm_group("cold items", users, seen, truth), among]


def warm_group(
    name: str, users: IntArray, seen: RaggedArray, truth: RaggedArray, candidates: IntArray | None = None
) -> Group:
    """Users that the model was trained on.

    Args:
        name: of the group.
        users: positions, each with something to find, int64 (n,).
        seen: items left out of the ranking, of all users.
        truth: items to find, of all users.
        candidates: positions of the only items ranked, or None for all.
    """
    none = RaggedArray.empty(len(users))
    return Group(
        name=name,
        user=users,
        in_training=True,
        history=none,
        seen=seen.take(users),
        truth=truth.take(users),
        candidates=candidates,
    )


def _new_users(graph: KnowledgeGraph, split: Split, *, part: PartName, likes: RaggedArray, seen: RaggedArray) -> Group:
    interactions = graph.interactions
    new = likes.counts == 0
    rows = np.flatnonzero(split.mask(part) & new[interactions.user])
    rows = rows[np.lexsort((interactions.item[rows], interactions.timestamp[rows], interactions.user[rows]))]
    user = interactions.user[rows]
    is_history = places(user) < NEW_USER_HISTORY
    used, left = rows[is_history], rows[~is_history]
    positive = interactions.positive

    def lists(chosen: IntArray) -> RaggedArray:
        return RaggedArray.from_pairs(interactions.user[chosen], interactions.item[chosen], num_rows=len(graph.users))

    history, truth = lists(used[positive[used]]), lists(left[positive[left]])
    before = seen.rows()
    shown = RaggedArray.from_pairs(
        np.concatenate([before, interactions.user[used]]),
        np.concatenate([seen.values, interactions.item[used]]),
        num_rows=len(graph.users),
    )
    users = np.flatnonzero((truth.counts > 0) & (history.counts > 0))
    return Group(
        name="new users",
        user=users,
        in_training=False,
        history=history.take(users),
        seen=shown.take(users),
        truth=truth.take(users),
    )
