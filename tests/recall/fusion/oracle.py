"""A fusion by its definition, request by request and item by item."""

from __future__ import annotations

import math

import numpy as np

from kg.history import InteractionHistory
from recall.pipeline import Pipeline
from tests.recall.channels.making import ask

WEIGHTS = {"lightgcn": 1.0, "spectral": 0.5, "item_knn": 0.25}


def table_of(channel, queries, graph):
    """All scores of a channel, a dict for each request."""
    answer = ask(Pipeline([channel], InteractionHistory.of(graph)), queries, k=len(graph.items), exclude_seen=False)
    scores = {key: {} for key in queries.key}
    positions = graph.items.index(answer.table["item_id"]).tolist()
    for row, item in zip(answer, positions, strict=True):
        scores[row["user_id"]][item] = row["score"]
    return scores


def naive(channels, weights, graph, queries, *, depth, k, exclude_seen=True, candidates=None):
    """The definition, request by request and item by item: [(item, score, names)] of each."""
    tables = {name: table_of(channels[name], queries, graph) for name in weights}
    interactions = graph.interactions
    result = []
    for key, user in zip(queries.key, queries.user.tolist(), strict=True):
        seen = set(interactions.item[interactions.user == user].tolist())
        for name in graph.edges:
            if (columns := graph.event_columns(name)) is not None:
                seen |= set(columns[1][columns[0] == user].tolist())
        totals, givers = {}, {}
        spreads, lists = {}, {}
        for name in weights:
            scores = tables[name][key]
            best = sorted(scores, key=lambda item: (-scores[item], item))
            reference = [scores[item] for item in best if item not in seen][:depth]
            reference += [0.0] * (min(depth, len(graph.items)) - len(reference))
            mean = math.fsum(reference) / len(reference)
            spreads[name] = math.sqrt(math.fsum((value - mean) ** 2 for value in reference) / len(reference))
            allowed = [
                item
                for item in best
                if not (exclude_seen and item in seen) and (candidates is None or item in candidates)
            ]
            lists[name] = allowed[: max(depth, k)]
        for item in sorted(set().union(*map(set, lists.values()))):
            givers[item] = [name for name in weights if item in lists[name]]
            totals[item] = sum(
                weights[name] * tables[name][key].get(item, 0.0) / spreads[name]
                for name in weights
                if spreads[name] > 0
            )
        order = sorted(totals, key=lambda item: (-np.float32(totals[item]), item))[:k]
        result.append([(item, totals[item], givers[item]) for item in order])
    return result


def answers(fusion, graph, queries, **options):
    answer = ask(fusion, queries, **options)
    rows = {key: [] for key in queries.key}
    for row, item in zip(answer, graph.items.index(answer.table["item_id"]).tolist(), strict=True):
        names = row["source"].removeprefix("fusion(").removesuffix(")").split("+")
        rows[row["user_id"]].append((item, row["score"], names))
    return list(rows.values())
