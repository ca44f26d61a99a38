"""Pipelines against held-out interactions (gnn.evaluation.held_out)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gnn.evaluation.held_out import Evaluation, Group, evaluate
from kg import KnowledgeGraph
from kg.arrays import IntArray, distinct
from recall.contracts import Query
from recall.pipeline import Pipeline


def measure(
    pipeline: Pipeline, groups: Sequence[Group], *, trained_on: KnowledgeGraph, ks: Sequence[int]
) -> list[Evaluation]:
    """Rank all items for every group by fitted channels.

    Args:
        pipeline: of channels fitted on `trained_on`.
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
        return rank_group(pipeline, group, k, graph=trained_on)

    return [evaluate(rank, group, ks=ks, popularity=popularity, num_users=num_users) for group in groups]


def rank_group(pipeline: Pipeline, group: Group, k: int, *, graph: KnowledgeGraph) -> IntArray:
    """The best k items for each user of a group, int64 (n, k), -1 where the channels have fewer."""
    if group.in_training:
        queries = Query.of_users(group.user, graph.users, seen=group.seen)
    else:
        queries = Query.of_histories(graph.users.take(group.user).to_pylist(), group.history, seen=group.seen)
    batch = pipeline.recommend(queries, k=k, candidates=group.candidates)
    ranked = np.full((len(group), k), -1, dtype=np.int64)
    own = ~batch.fallback
    ranked[batch.row[own], batch.rank[own] - 1] = batch.item[own]
    return ranked
