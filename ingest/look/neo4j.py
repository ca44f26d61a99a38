"""A Neo4j database that nobody has described: which labels are users and items, and what users did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.look import words
from ingest.look.proposal import Proposal
from kg.errors import InvalidDataError
from kg.schema import snake_case

if TYPE_CHECKING:  # the driver is imported where a database is looked at
    from kg.stores.neo4j.read.catalog import Catalog, TypeFacts


def propose_database(proposal: Proposal, catalog: Catalog, connection: dict[str, Any]) -> None:
    """Add the sections for a database.

    Args:
        proposal: to fill.
        catalog: what the database holds.
        connection: keys of the section `neo4j`.

    Raises:
        InvalidDataError: it holds no users, or nothing that they did.
    """
    labels = ", ".join(f"{facts.count:,} {label}" for label, facts in catalog.labels.items()) or "nothing"
    types = ", ".join(f"{facts.count:,} {name}" for name, facts in catalog.types.items()) or "none"
    proposal.add(
        "neo4j",
        connection,
        "the server; its password is in NEO4J_PASSWORD",
        is_list=False,
    )
    user = max(catalog.labels, key=lambda label: (words.user_rank(label), catalog.labels[label].count), default=None)
    if user is None or not words.user_rank(user):
        raise InvalidDataError(f"no label of the database looks like users: it holds {labels}; relationships: {types}")
    direct = {name: _other_ends(facts, user) for name, facts in catalog.types.items() if user in facts.sources}
    direct = {name: ends for name, ends in direct.items() if ends}
    if not direct:
        raise InvalidDataError(f"no relationship leads from {user} to other nodes; the types are {types}")
    best = max(direct, key=lambda name: (words.is_one_of(name, words.ACTS), catalog.types[name].count))
    item = max(direct[best], key=lambda label: (words.item_rank(label), direct[best][label]))
    proposal.graph.keys |= {"user": snake_case(user), "item": snake_case(item)}
    proposal.graph.doubts.append(f"that {user} nodes are users and {item} nodes what is recommended is a guess by name")
    proposal.add(
        "sources.neo4j",
        {"interactions": [_interactions(best, catalog.types[best])]},
        f"it holds {labels}",
        [f"that {best} is what should be learned is a guess; the types are {types}"],
        is_list=False,
    )
    for label in catalog.labels:
        _key(proposal, catalog, label, snake_case(label))
    if not any(words.is_one_of(key, words.TIMES) for key in catalog.types[best].properties):
        proposal.add("split", {"kind": "random"}, "there are no times", is_list=False)
    rating = _property(catalog.types[best], words.RATINGS)
    if rating is not None:
        proposal.graph.doubts.append(
            f'{best}.{rating} looks like grades: write positive = "rating >= 4", or what counts as liked here'
        )


def _other_ends(facts: TypeFacts, user: str) -> dict[str, int]:
    return {label: count for label, count in facts.targets.items() if label != user}


def _interactions(name: str, facts: TypeFacts) -> dict[str, str]:
    """The relationship type that is learned, with its properties where they have other names than their roles."""
    entry = {"type": name}
    for role, names in (("rating", words.RATINGS), ("timestamp", words.TIMES), ("weight", words.WEIGHTS)):
        key = _property(facts, names)
        if key is not None and key != role and role not in facts.properties:
            entry[role] = key
    return entry


def _property(facts: TypeFacts, names: tuple[str, ...]) -> str | None:
    return next((key for key in facts.properties if words.is_one_of(key, names)), None)


def _key(proposal: Proposal, catalog: Catalog, label: str, node: str) -> None:
    """The property that holds the id, where neither `id` nor a constraint says it."""
    facts = catalog.labels[label]
    if "id" in facts.properties or len(facts.unique) == 1:
        return
    options = [key for key in facts.properties if words.words_of(key)[-1] in ("id", "key", "code", "uuid")]
    options = options or [key for key in facts.properties if words.is_one_of(key, words.TITLES)]
    if options:
        proposal.add(
            f"graph.nodes.{node}",
            {"key": options[0]},
            f"what tells {label} nodes apart",
            [f"its properties are {', '.join(facts.properties)}"],
            is_list=False,
        )
    else:
        proposal.doubts.append(f"no property of {label} looks like an id: write it into graph.nodes.{node}.key")
