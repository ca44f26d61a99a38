"""What the rules over a pipeline's candidates cost in recall, and what they reach, on held-out data."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnn.evaluation.metrics import per_user_metrics
from kg.arrays import IntArray, RaggedArray
from recall.contracts import CandidateBatch, Query
from recall.control.control import Control


def rules_cost(control: Control, queries: Query, truth: RaggedArray, *, k: int) -> dict[str, Any]:
    """Measure a pipeline with and without its rules.

    Args:
        control: the rules, and the pipeline.
        queries: requests whose `seen` is set, (n,).
        truth: what each went on to like, (n,) lists.
        k: candidates.

    Returns:
        Recall at k with and without, the part of it that the rules cost (below 0: they gain), and the part of all items
        that any request gets, with and without.
    """
    facts: dict[str, Any] = {"k": k, "requests": len(queries)}
    lists = {"with": control.recommend(queries, k=k), "without": control.pipeline.recommend(queries, k=k)}
    for name, batch in lists.items():
        recall = per_user_metrics(ranked(batch, len(queries), k), truth, k)["recall"]
        facts[f"recall {name}"] = round(float(recall.mean()), 5)
        facts[f"coverage {name}"] = round(len(np.unique(batch.item)) / control.pipeline.history.num_items, 5)
    without = facts["recall without"]
    facts["cost"] = round(1 - facts["recall with"] / without, 5) if without else 0.0
    return facts


def ranked(batch: CandidateBatch, rows: int, k: int) -> IntArray:
    """The items of each request, best first, -1 where there are fewer, int64 (rows, k)."""
    items = np.full((rows, k), -1, dtype=np.int64)
    items[batch.row, batch.rank - 1] = batch.item
    return items
