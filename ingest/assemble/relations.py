"""The relations of all sources: which edges they have by id, which are traces of users, and which one is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingest.facts import Facts
from ingest.settings import GraphSettings
from kg.errors import ConfigError
from kg.schema import Event, RelationKey


@dataclass(frozen=True, slots=True)
class Relations:
    """The relations of all sources.

    Attributes:
        named: relation -> tables whose `src`, `dst` (and `user`) are ids.
        events: of relations that are traces of users, whose trace an edge is; nodes between users and items add to it.
        interaction: the relation that is learned, if there is one.
    """

    named: dict[RelationKey, list[Any]]
    events: dict[RelationKey, Event]
    interaction: RelationKey | None


def collect_relations(facts: Facts, settings: GraphSettings) -> Relations:
    """Bring the edges of all sources but RDF under their relations.

    Raises:
        ConfigError: the relation to learn is not there, or is not named although there are several.
    """
    user, item = settings.user, settings.item
    named: dict[RelationKey, list[Any]] = {}
    events: dict[RelationKey, Event] = {}
    for relation, tables in facts.interactions.items():
        key = RelationKey(user, relation, item)
        named.setdefault(key, []).extend(t.rename_columns({"user": "src", "item": "dst"}) for t in tables)
        events[key] = Event()
    for key, tables in facts.values.items():
        named.setdefault(key, []).extend(tables)
        events[key] = Event("user", "src" if key.source == item else "dst")
    for key, tables in facts.edges.items():
        named.setdefault(key, []).extend(tables)
    for key in (*named, *facts.mapped.edges):
        if {key.source, key.target} == {user, item} and key not in events:
            events[key] = Event() if key.source == user else Event("dst", "src")
    return Relations(named, events, _interaction(events, settings, next(iter(facts.interactions), None)))


def _interaction(events: dict[RelationKey, Event], settings: GraphSettings, first: str | None) -> RelationKey | None:
    user, item = settings.user, settings.item
    candidates = [key for key in events if (key.source, key.target) == (user, item)]
    name = settings.interaction or first
    if name is not None:
        key = RelationKey(user, name, item)
        if key not in candidates:
            raise ConfigError(
                f"graph.interaction = {name!r}: no source has such a relation from {user} to {item}; "
                f"there are {', '.join(k.name for k in candidates) or 'none'}"
            )
        return key
    if len(candidates) > 1:
        raise ConfigError(
            f"several relations lead from {user} to {item} ({', '.join(sorted(k.name for k in candidates))}): "
            "name the one to learn in graph.interaction"
        )
    return candidates[0] if candidates else None
