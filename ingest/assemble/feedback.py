"""What users said of items they were shown, as interactions beside those of the sources."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.ids import collect_ids
from ingest.assemble.relations import collect_relations
from ingest.facts import Facts
from ingest.report import QualityReport
from ingest.settings import GraphSettings

UNKNOWN_ITEMS = "feedback on unknown items"


def admit_feedback(facts: Facts, settings: GraphSettings, report: QualityReport) -> None:
    """Put the feedback among the interactions of the relation that is learned.

    Feedback makes no items: what it says of an item that no other source names is left out and counted. Where the
    interactions have ratings, a like counts as the best one of the sources and a dislike as the worst. Without ratings
    an interaction is a like, and dislikes stay with the feedback log.

    Args:
        facts: clean tables; its feedback becomes interactions.
        settings: roles.
        report: accounts and findings.
    """
    if not facts.feedback:
        return
    relations = collect_relations(facts, settings)
    if relations.interaction is None:
        return
    # What they count here is counted again with the whole.
    items = collect_ids(facts, relations, settings, QualityReport(), strict=False)[settings.item]
    name = relations.interaction.name
    limits = _rating_limits(facts.interactions.get(name, []))
    for source, table in facts.feedback:
        there = pc.is_in(table["item"], value_set=items)
        if not pc.all(there).as_py():
            absent = pc.unique(table.filter(pc.invert(there))["item"])
            examples = [f"{settings.item} {id}" for id in absent[:5].to_pylist()]
            report.add(UNKNOWN_ITEMS, len(absent), f"{source} names items that no source has: it waits", examples)
        kept = table.filter(there)
        if limits is None:
            kept = kept.filter(kept["liked"])
        else:
            worst, best = limits
            kept = kept.append_column("rating", pc.if_else(kept["liked"], best, worst))
        facts.interactions.setdefault(name, []).append(kept.drop_columns(["liked"]))
    facts.feedback.clear()


def _rating_limits(tables: list[Any]) -> tuple[Any, Any] | None:
    """The worst and the best rating as Arrow scalars, None where there are no ratings or only one."""
    ratings = [table.select(["rating"]) for table in tables if "rating" in table.column_names]
    if not ratings:
        return None
    limits = pc.min_max(pa.concat_tables(ratings)["rating"])
    worst, best = limits["min"], limits["max"]
    return None if not worst.is_valid or worst == best else (worst, best)
