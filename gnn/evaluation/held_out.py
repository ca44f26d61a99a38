"""Evaluation on held-out interactions, in groups of users.

All items are ranked, never a sample; of many users a sample may be asked, whose size the group says. A group has for
each of its users the history that may be used, the items that are left out of the ranking, and the items to find: the
masks belong to the group, not to any model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnn.evaluation.metrics import (
    Values,
    bootstrap_interval,
    check_truth,
    find_hits,
    hit_metrics,
    list_metrics,
)
from kg import KnowledgeGraph, RaggedArray, Split
from kg.arrays import IntArray, places
from kg.errors import InvalidDataError
from kg.splits import PartName
from kg.vocabulary import stable_hash

NEW_USER_HISTORY = 5  # interactions of a new user that the model may use
FEW = 5
MANY = 20  # users with many likes have more
SAMPLE_SEED = 0


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
        drawn_from: how many users the group would have without a sample; None: these are all.
        part_of: a group with the same items ranked in the same way that has all these users, and their rows in it,
            int64 (n,); who has its lists need not rank again. None: there is none.
    """

    name: str
    user: IntArray
    in_training: bool
    history: RaggedArray
    seen: RaggedArray
    truth: RaggedArray
    candidates: IntArray | None = None
    drawn_from: int | None = None
    part_of: tuple[Group, IntArray] | None = None

    def __len__(self) -> int:
        return len(self.user)

    def part(
        self, name: str, rows: IntArray, *, drawn_from: int | None = None, truth: RaggedArray | None = None
    ) -> Group:
        """Some of the users as a group of its own.

        Args:
            name: of the new group.
            rows: which of the users, int64 (m,).
            drawn_from: see the class.
            truth: what is to be found for them, (m,) lists; None: what was.
        """
        return replace(
            self,
            name=name,
            user=self.user[rows],
            history=self.history.take(rows),
            seen=self.seen.take(rows),
            truth=self.truth.take(rows) if truth is None else truth,
            drawn_from=drawn_from,
            part_of=(self, rows),
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of one ranker on one group.

    Attributes:
        group: its name.
        user: positions of the users, int64 (n,).
        values: "recall@20" -> float64 (n,).
        lists: "coverage@20", "novelty@20", "long_tail@20" -> one number.
        drawn_from: how many users the group would have without a sample; None: these are all.
        hits: users with a hit at each place of their lists, int64 (places,).
        shown: users with an item at each place of their lists, int64 (places,).
        to_find: items to find, of all users together.
    """

    group: str
    user: IntArray
    values: Mapping[str, Values]
    lists: Mapping[str, float]
    drawn_from: int | None = None
    hits: IntArray
    shown: IntArray
    to_find: int

    def mean(self, metric: str) -> float:
        """Mean over the group's users."""
        return float(self.values[metric].mean())

    def interval(self, metric: str, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
        """Bootstrap interval of the mean over users."""
        return bootstrap_interval(self.values[metric], level=level, seed=seed)

    def summary(self) -> dict[str, Any]:
        """Means and list metrics, plain numbers for a report."""
        means = {name: float(value.mean()) for name, value in self.values.items()}
        sample = {} if self.drawn_from is None else {"drawn_from": self.drawn_from}
        return {"group": self.group, "users": len(self.user), **sample, **means, **self.lists}


def evaluate(
    ranked: IntArray, group: Group, *, ks: Sequence[int] = (20,), popularity: IntArray, num_users: int
) -> Evaluation:
    """Measure the lists of a group.

    Args:
        ranked: the best items for each user of the group, as many as the largest k, -1 where there are fewer, int64
            (n, k).
        group: the users, and the items to find.
        ks: cut-offs.
        popularity: users who liked each item in training, int64 (items,).
        num_users: users in training.

    Raises:
        InvalidDataError: the group is empty.
    """
    if not len(group):
        raise InvalidDataError(f"the group {group.name!r} has no users to evaluate")
    check_truth(group.truth)
    hits = find_hits(ranked[:, : max(ks)], group.truth)
    metrics = hit_metrics(hits, group.truth.counts, ks)
    values = {f"{name}@{k}": value for k, of_users in metrics.items() for name, value in of_users.items()}
    lists: dict[str, float] = {}
    for k in ks:
        lists |= {
            f"{name}@{k}": value for name, value in list_metrics(ranked, popularity, num_users=num_users, k=k).items()
        }
    return Evaluation(
        group=group.name,
        user=group.user,
        values=values,
        lists=lists,
        drawn_from=group.drawn_from,
        hits=hits.sum(axis=0),
        shown=(ranked[:, : max(ks)] >= 0).sum(axis=0),
        to_find=int(group.truth.counts.sum()),
    )


def user_groups(
    graph: KnowledgeGraph,
    split: Split,
    *,
    part: PartName = "test",
    seen_parts: Sequence[PartName] = ("train", "valid"),
    sample: int | None = None,
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
        sample: warm users and new users at most, each drawn by a seeded hash of their ids, so that another run asks the
            same users again; those with few likes are those among the drawn ones. None: all.
    """
    likes = split.positives(graph, "train")
    seen = split.seen(graph, *seen_parts)
    truth = split.positives(graph, part)
    warm = np.flatnonzero((truth.counts > 0) & (likes.counts > 0))
    few = likes.counts[warm] <= FEW
    asked, of_warm = sampled(graph, warm, sample)
    warm_users = replace(warm_group("warm users", asked, seen, truth), drawn_from=of_warm)
    rows = np.flatnonzero(likes.counts[asked] <= FEW)
    groups = [
        warm_users,
        warm_users.part("users with few likes", rows, drawn_from=None if of_warm is None else int(few.sum())),
        _new_users(graph, split, part=part, likes=likes, seen=seen, sample=sample),
    ]
    return [group for group in groups if len(group)]


def stage_groups(graph: KnowledgeGraph, split: Split, *, sample: int | None = None) -> list[Group]:
    """The groups of `user_groups`, and more parts of the warm users: what a recall stage is measured on.

    - "users with many likes" liked more than twenty items in training.
    - "cold items": users with items to find that nobody liked in training, and only those items to find.

    Args:
        graph: all interactions.
        split: made for this graph.
        sample: see `user_groups`.
    """
    groups = user_groups(graph, split, sample=sample)
    warm = next((group for group in groups if group.in_training), None)
    if warm is None:
        return groups
    likes = split.positives(graph, "train")
    many = warm.part("users with many likes", np.flatnonzero(likes.counts[warm.user] > MANY))
    untouched = np.bincount(likes.values, minlength=len(graph.items)) == 0
    cold = untouched[warm.truth.values]
    wanted = RaggedArray.from_pairs(warm.truth.rows()[cold], warm.truth.values[cold], num_rows=len(warm))
    rows = np.flatnonzero(wanted.counts)
    more = [many, warm.part("cold items", rows, truth=wanted.take(rows))]
    return [*groups, *(group for group in more if len(group))]


def sampled(graph: KnowledgeGraph, users: IntArray, most: int | None) -> tuple[IntArray, int | None]:
    """At most so many users, drawn by a seeded hash of their ids.

    Args:
        graph: it names them.
        users: positions, ascending, int64 (n,).
        most: how many at most; None: all.

    Returns:
        Positions, ascending, int64 (at most n,); and n, or None where these are all.
    """
    if most is None or len(users) <= most:
        return users, None
    order = np.argsort(stable_hash(graph.users.take(users), SAMPLE_SEED), kind="stable")
    return np.sort(users[order[:most]]), len(users)


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


def _new_users(
    graph: KnowledgeGraph,
    split: Split,
    *,
    part: PartName,
    likes: RaggedArray,
    seen: RaggedArray,
    sample: int | None,
) -> Group:
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
    users, drawn_from = sampled(graph, np.flatnonzero((truth.counts > 0) & (history.counts > 0)), sample)
    return Group(
        name="new users",
        user=users,
        in_training=False,
        history=history.take(users),
        seen=shown.take(users),
        truth=truth.take(users),
        drawn_from=drawn_from,
    )
