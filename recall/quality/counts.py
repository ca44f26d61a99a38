"""What two runs hold, in numbers: users, items, interactions, edges, titles; and whether they can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from kg.graph import KnowledgeGraph
from recall.config.gate import ChangeLimits
from recall.quality.held_out import Common
from recall.runs.config import read_config
from recall.runs.layout import RunLayout
from recall.runs.report import Reading, ReadingKind

FEW_EDGES = 100  # of a relation with fewer a handful more or less says nothing: it is judged by more than chance
CHANCE = 3.0  # standard deviations of a count
SOURCES = ("graph", "sources", "quality")  # sections that decide what a graph holds


def changes_of_counts(common: Common, limits: ChangeLimits) -> Iterator[Reading]:
    """Users and items by their ids, interactions and edges by their number, items by their titles."""
    if common.old is None:
        return
    new, old = common.new.graph, common.old.graph
    yield from _in_common(common, len(old.users), len(old.items), limits)
    judged = _same_sources(common.new.run, common.old.run)
    schema = new.schema
    for name, now, before, stayed in (
        (schema.user_type, len(new.users), len(old.users), common.num_users),
        (schema.item_type, len(new.items), len(old.items), common.num_items),
    ):
        yield _count(f"nodes {name}", now, before, before - stayed, limits, judged=judged)
    edges, edges_before = new.counts()["edges"], old.counts()["edges"]
    interactions = str(schema.interaction_key)
    for name in dict.fromkeys([*edges_before, *edges]):
        now, before = edges.get(name, 0), edges_before.get(name, 0)
        enough = name == interactions or is_enough(now, before, limits)
        yield _count(f"edges {name}", now, before, before - now, limits, judged=judged and enough)
    titles, titles_before = _different_titles(new), _different_titles(old)
    name = f"different titles of {schema.item_type}"
    yield _count(name, titles, titles_before, titles_before - titles, limits, judged=judged)


def _in_common(common: Common, users: int, items: int, limits: ChangeLimits) -> Iterator[Reading]:
    """Whether there are the users and items of which anything could be compared."""
    schema = common.new.graph.schema
    for name, stayed, before in (
        (schema.user_type, common.num_users, users),
        (schema.item_type, common.num_items, items),
    ):
        share = stayed / max(before, 1)
        passed = share >= limits.in_common
        text = f"{stayed:,} of the {before:,} {name} nodes of the run that serves are in the new one"
        if not passed:
            text += (
                f", and {limits.in_common:.1%} are asked for: nothing can be compared. Where their ids were changed on "
                f"purpose, accept the run, or set in_common = 0 in [{limits.section}]"
            )
        yield Reading(
            kind="common",
            name=f"{name} in common",
            now=float(stayed),
            before=float(before),
            change=share,
            limit=limits.in_common,
            passed=passed,
            text=text,
        )


def is_enough(now: int, before: int, limits: ChangeLimits) -> bool:
    """Whether the edges of a relation are enough to be judged, or have changed by more than such counts vary by."""
    limit = limits.gone if now < before else limits.more
    return before >= FEW_EDGES or abs(now - before) > limit * before + CHANCE * sqrt(before)


def _different_titles(graph: KnowledgeGraph) -> int:
    return len(set(graph.titles(graph.schema.item_type, np.arange(len(graph.items)))))


def _count(name: str, now: int, before: int, gone: int, limits: ChangeLimits, *, judged: bool) -> Reading:
    missing, added = max(gone, 0) / max(before, 1), (now - before) / max(before, 1)
    too_many = added > limits.more and missing <= limits.gone
    change, limit = (added, limits.more) if too_many else (missing, limits.gone)
    words = "more" if too_many else "of those before are gone"
    text = f"{name}: {now:,}, before {before:,}"
    reading = compared("count", name, float(now), float(before), change, limit, text, words)
    if judged:
        return reading
    return reading.model_copy(update={"limit": None, "passed": True, "text": f"{reading.text} (not judged)"})


def compared(
    kind: ReadingKind,
    name: str,
    now: float,
    before: float | None,
    change: float,
    limit: float,
    text: str,
    words: str = "less",
    *,
    metric: str | None = None,
    chance: bool = False,
) -> Reading:
    """A reading whose change must not exceed a limit, unless it is no more than chance.

    `text` says what is now and was before, `words` what the change is a share of.
    """
    above = change > limit
    if above:
        text += f": {change:.1%} {words}, " + ("which may be chance" if chance else f"{limit:.1%} allowed")
    return Reading(
        kind=kind,
        name=name,
        metric=metric,
        now=now,
        before=before,
        change=change,
        limit=limit,
        passed=chance or not above,
        text=text,
    )


def _same_sources(run: RunLayout, other: RunLayout) -> bool:
    """Whether both configurations ask for the same graph; another one may well have other counts."""
    config, before = read_config(run), read_config(other)
    return all(config.get(section) == before.get(section) for section in SOURCES)
