"""Channels against held-out interactions: the bridge between gnn.evaluation.held_out and the channels' contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gnn.evaluation.held_out import Evaluation, Group, evaluate
from kg import KnowledgeGraph
from kg.arrays import IntArray, distinct
from recall.contracts import Channel, Queries


def measure(
    channel: Channel, groups: Sequence[Group], *, trained_on: KnowledgeGraph, ks: Sequence[int]
) -> list[Evaluation]:
    """Rank all items for every group by a fitted channel.

    Args:
        channel: fitted on `trained_on`.
        groups: from gnn.evaluation.held_out; each says what must not be shown again.
        trained_on: the training view of the graph; its positives give an item's popularity.
        ks: cut-offs.

    Returns:
        One evaluation a group, in order.
    """
    interactions = trained_on.interactions
    popularity = np.bincount(interactions.item[interactions.positive], minlength=len(trained_on.items))
    num_users = len(distinct(interactions.user[interactions.positive]))

    def rank(group: Group, k: int) -> IntArray:
        return rank_group(channel, group, k, graph=trained_on)

    return [evaluate(rank, group, ks=ks, popularity=popularity, num_users=num_users) for group in groups]


def rank_group(channel: Channel, group: Group, k: int, *, graph: KnowledgeGraph) -> IntArray:
    """The best k items of a channel for each user of a group, int64 (n, k), -1 where there are fewer."""
    if group.known:
        queries = Queries.of_users(group.user, graph.users, seen=group.seen)
    else:
        queries = Queries.of_histories(graph.users.take(group.user).to_pylist(), group.history, seen=group.seen)
    answer = channel.recommend(queries, k=k, exclude_seen=True, candidates=group.candidates).table
    keys = graph.users.index(answer["user_id"])
    row_of_user = np.full(len(graph.users), -1, dtype=np.int64)
    row_of_user[group.user] = np.arange(len(group))
    ranked = np.full((len(group), k), -1, dtype=np.int64)
    ranked[row_of_user[keys], answer["rank"].to_numpy() - 1] = graph.items.index(answer["item_id"])
    return ranked
