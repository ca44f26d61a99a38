"""Pipelines against held-out interactions (gnn.evaluation.held_out)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    return measure_channels(pipeline, groups, trained_on=trained_on, ks=ks).get(pipeline.name, [])


def measure_channels(
    pipeline: Pipeline, groups: Sequence[Group], *, trained_on: KnowledgeGraph, ks: Sequence[int]
) -> dict[str, list[Evaluation]]:
    """The same for what serves and for each of its channels alone, from one pass over the scores of each user.

    Args:
        pipeline: of channels fitted on `trained_on`.
        groups: as of `measure`; one that is part of another before it is not ranked again.
        trained_on: as of `measure`.
        ks: cut-offs.

    Returns:
        By the names of `Pipeline.rankings`, one evaluation a group, in order; empty without groups.
    """
    interactions = trained_on.interactions
    popularity = np.bincount(interactions.item[interactions.positive], minlength=len(trained_on.items))
    num_users = len(distinct(interactions.user[interactions.positive]))
    evaluations: dict[str, list[Evaluation]] = {}
    lists: dict[int, Mapping[str, IntArray]] = {}  # by the identity of the group
    for group in groups:
        whole, rows = group.part_of or (None, None)
        if (ranked := lists.get(id(whole))) is not None:
            by_name = {name: items[rows] for name, items in ranked.items()}
        else:
            by_name = pipeline.rankings(_queries(group, trained_on), k=max(ks), candidates=group.candidates)
        lists[id(group)] = by_name
        for name, items in by_name.items():
            evaluation = evaluate(items, group, ks=ks, popularity=popularity, num_users=num_users)
            evaluations.setdefault(name, []).append(evaluation)
    return evaluations


def rank_group(pipeline: Pipeline, group: Group, k: int, *, graph: KnowledgeGraph) -> IntArray:
    """The best k items for each user of a group, int64 (n, k), -1 where the channels have fewer."""
    return pipeline.rankings(_queries(group, graph), k=k, candidates=group.candidates)[pipeline.name]


def _queries(group: Group, graph: KnowledgeGraph) -> Query:
    if group.in_training:
        return Query.of_users(group.user, graph.users, seen=group.seen)
    return Query.of_histories(graph.users.take(group.user).to_pylist(), group.history, seen=group.seen)
