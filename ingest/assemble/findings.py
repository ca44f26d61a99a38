"""What is odd about a graph that was built."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.could_be_edges import shared_values
from ingest.report import QualityReport
from kg.graph import KnowledgeGraph
from kg.schema import PositiveRule

FEWEST_RATINGS = 3  # different ones that make a scale: 0 and 1, or 1 alone, are no grades


def add_findings(graph: KnowledgeGraph, report: QualityReport) -> None:
    """Count users and items with little or nothing to learn from, and what is there but used for nothing."""
    _knowledge_without_edges(graph, report)
    if graph.schema.interaction is None:
        return
    _grades_without_a_rule(graph, report)
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


def _grades_without_a_rule(graph: KnowledgeGraph, report: QualityReport) -> None:
    """Ratings of a scale that all count as liked, the worst as well."""
    edges = graph.edges[graph.schema.interaction_key]
    if graph.schema.positive.column is not None or "rating" not in edges.column_names:
        return
    counts = grades(edges["rating"])
    if not has_low_grades(counts):
        return
    lowest, highest = min(counts), max(counts)
    report.add(
        "ratings without a rule",
        sum(counts.values()),
        f'graph.positive = "all": ratings from {lowest:g} to {highest:g} all count as liked, the lowest too; '
        f"{rule_for(counts)} would keep {kept_by(counts, rule_for(counts)):,} of {sum(counts.values()):,}",
        severity="warning",
    )


def grades(ratings: Any) -> dict[float, int]:
    """How often each rating was given, from the lowest."""
    counts = pc.value_counts(ratings.combine_chunks().drop_null().cast(pa.float64()))
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    return dict(sorted((value, count) for value, count in pairs if math.isfinite(value)))


def has_low_grades(counts: dict[float, int]) -> bool:
    """Whether ratings are those of a scale whose lower half was used: these say what somebody did not like."""
    return len(counts) >= FEWEST_RATINGS and min(counts) <= max(counts) / 2


def rule_for(counts: dict[float, int]) -> str:
    """A rule for ratings of a scale: the upper third, as 4 of 1 to 5 and 8 of 1 to 10."""
    lowest, highest = min(counts), max(counts)
    if len(counts) == 2:
        return f"rating >= {highest:g}"
    least = lowest + 0.7 * (highest - lowest)
    return f"rating >= {next(value for value in sorted(counts) if value >= least):g}"


def kept_by(counts: dict[float, int], rule: str) -> int:
    """How many ratings a rule keeps."""
    least = PositiveRule.parse(rule).minimum
    return sum(count for value, count in counts.items() if value >= least)


def _knowledge_without_edges(graph: KnowledgeGraph, report: QualityReport) -> None:
    """Attributes that items share, in a graph that joins no item to anything by knowledge."""
    schema = graph.schema
    item, events = schema.item_type, schema.events()
    if any(item in (key.source, key.target) for key in graph.edges if key not in events):
        return
    shared = list(shared_values(item, graph.nodes[item], {schema.node_types[item].title or ""}))
    if not shared:
        return
    report.add(
        "items without knowledge edges",
        len(graph.items),
        "what they have in common stands in attributes, which join nothing: a section sources.edges for each of "
        f"{', '.join(entry.attribute for entry in shared)} (of recall.fit: a table in `edges`) makes edges of it",
        [f"{entry.attribute}: {', '.join(entry.examples)}" for entry in shared],
        severity="warning",
    )
