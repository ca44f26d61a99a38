"""What is odd about a graph that was built."""

from __future__ import annotations

import numpy as np

from ingest.report import QualityReport
from kg.graph import KnowledgeGraph


def add_findings(graph: KnowledgeGraph, report: QualityReport) -> None:
    """Count users and items with little or nothing to learn from."""
    if graph.schema.interaction is None:
        return
    interactions = graph.interactions
    for role, index, vocabulary in (
        ("users", interactions.user, graph.users),
        ("items", interactions.item, graph.items),
    ):
        counts = np.bincount(index, minlength=len(vocabulary))
        for kind, chosen in (
            (f"{role} with one interaction", counts == 1),
            (f"{role} without interactions", counts == 0),
        ):
            rows = np.flatnonzero(chosen)
            report.add(
                kind, len(rows), "kept; there is little to learn about them", vocabulary.take(rows[:5]).to_pylist()
            )
    liked = np.bincount(interactions.user[interactions.positive], minlength=len(graph.users))
    rows = np.flatnonzero((liked == 0) & (np.bincount(interactions.user, minlength=len(graph.users)) > 0))
    report.add(
        "users with no positives",
        len(rows),
        f"nothing they did counts as positive ({graph.schema.positive}); they can only be given popular items",
        graph.users.take(rows[:5]).to_pylist(),
    )
