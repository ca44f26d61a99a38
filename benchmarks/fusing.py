"""The weights of a fusion, as every benchmark chooses them: on validation, with all of its users."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gnn.evaluation.held_out import Group
from kg import KnowledgeGraph
from kg.history import InteractionHistory
from recall.contracts import Channel, Query
from recall.pipeline import Pipeline


def chosen_weights(channels: Mapping[str, Channel], graph: KnowledgeGraph, group: Group, *, k: int) -> dict[str, float]:
    """The weights with the best NDCG@k.

    Args:
        channels: fitted on the training part, by name.
        graph: what they were fitted on.
        group: who is asked, and what validation holds of each.
        k: cut-off.
    """
    queries = Query.of_users(group.user, graph.users, seen=group.seen)
    return Pipeline(channels, InteractionHistory.of(graph)).fit_weights(queries, group.truth, k=k)


def slug(model: str) -> str:
    """The name in a fusion of a model of a table."""
    return "_".join(re.findall("[a-z0-9]+", model.lower()))


def told(weights: Mapping[str, float]) -> str:
    """The weights in a row, those of 0 left out."""
    return ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items() if weight)
