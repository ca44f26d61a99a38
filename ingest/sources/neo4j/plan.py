"""What to read from a Neo4j database, and under which names; checked against its catalog before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.settings import GraphSettings, Neo4jEvents, Neo4jInteractions, Neo4jSource
from kg.cypher.query import quote
from kg.errors import ArtifactError, ConfigError, InvalidDataError
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from kg.schema import snake_case, template_names

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.read.catalog import Catalog
    from kg.stores.neo4j.read.snapshot import ReadPlan, Snapshot

logger = logging.getLogger(__name__)

ROLES = ("rating", "timestamp", "weight")


def read_source(
    store: Neo4jStore,
    source: Neo4jSource,
    graph: GraphSettings,
    folder: Path,
    *,
    kept: Path | None = None,
    progress: Progress = SILENT,
) -> Snapshot:
    """Read what `source` names into a folder; a reading that was killed there goes on.

    With a watermark and an earlier snapshot only what changed since is read (`kg.stores.neo4j.read.update`), unless
    that is most.

    Args:
        store: the database.
        source: what to read.
        graph: names and keys.
        folder: where the pages lie; the caller removes it.
        kept: folder of an earlier snapshot, which need not be there.
        progress: listener.

    Raises:
        ConfigError: a label, type or key is named that the database lacks.
        InvalidDataError: the database is empty.
        StoreUnavailableError: the server stopped answering; the pages stay for the next try.
        StoreError: a query of the user's own could not be run.
    """
    from kg.stores.neo4j.read.catalog import discover
    from kg.stores.neo4j.read.reading import read_snapshot
    from kg.stores.neo4j.read.start import is_begun

    with progress.task(f"looking at {store.name}"):
        catalog = discover(store)
    plan = plan_reading(catalog, source, graph, name=store.name)
    _check_keys(store, plan, catalog, source, graph)
    why = ""
    if kept is not None and not is_begun(folder, max_age=source.max_age):
        updated = _update(store, source, plan, catalog, folder, kept, progress)
        if not isinstance(updated, str):
            return updated
        why = updated
        logger.info("%s is read as a whole: %s", store.name, why)
    return read_snapshot(
        store,
        folder,
        plan,
        catalog=catalog,
        max_age=source.max_age,
        patience=source.patience,
        why=why,
        progress=progress,
    )


def _update(
    store: Neo4jStore,
    source: Neo4jSource,
    plan: ReadPlan,
    catalog: Catalog,
    folder: Path,
    kept: Path,
    progress: Progress,
) -> Snapshot | str:
    """The kept snapshot brought up to date, or why the whole database must be read."""
    from kg.stores.neo4j.read.snapshot import Snapshot
    from kg.stores.neo4j.read.update import update_snapshot, why_whole

    if not kept.exists():
        return "nothing is kept of an earlier reading"
    try:
        old = Snapshot.open(kept)
        if why := why_whole(old, plan, catalog):
            return why
        remove_trees([folder], inside=folder.parent)
        updated = update_snapshot(
            store,
            folder,
            old,
            plan,
            catalog=catalog,
            compare=old.read.get("since_compared", 0) + 1 >= source.compare_keys_every,
            patience=source.patience,
            progress=progress,
        )
    except ArtifactError as error:
        return f"what is kept of the last reading is damaged: {error}"
    return "too much changed since the last reading" if updated is None else updated


def plan_reading(catalog: Catalog, source: Neo4jSource, graph: GraphSettings, *, name: str) -> ReadPlan:
    """Which labels, types and queries to read, in which order.

    Args:
        catalog: what the database holds.
        source: what to read of it.
        graph: roles and names.
        name: of the database, for messages.

    Raises:
        ConfigError: a label, type, property or key is named that the database lacks.
        InvalidDataError: the database is empty.
    """
    from kg.stores.neo4j.read.snapshot import ReadPlan

    if not catalog.labels and source.labels != []:
        raise InvalidDataError(f"{name} holds no nodes: load data into it, or check neo4j.uri and neo4j.database")
    _check_exists("sources.neo4j.labels", source.labels or [], catalog.labels, name)
    _check_exists("sources.neo4j.relationships", source.relationships or [], catalog.types, name)
    between = [entry.through for entry in source.interactions if entry.through is not None]
    _check_exists("sources.neo4j.interactions", between, catalog.labels, name)
    needed = [kind for entry in source.interactions for kind in (entry.type, entry.user_type, entry.item_type) if kind]
    needed += [entry.type for entry in source.events]
    _check_exists("sources.neo4j: the interactions and events", needed, catalog.types, name)
    for number, entry in enumerate(source.interactions):
        _check_properties(f"sources.neo4j.interactions.{number}", entry, catalog)
    for number, event in enumerate(source.events):
        _check_properties(f"sources.neo4j.events.{number}", event, catalog)

    labels = list(catalog.labels) if source.labels is None else source.labels
    names = label_names([label for label in labels if label not in between], graph)
    preferred = [graph.item, graph.user, *graph.nodes]

    def preference(label: str) -> tuple[int, int, str]:
        place = preferred.index(names[label]) if names[label] in preferred else len(preferred)
        return place, -catalog.labels[label].count, label

    keys, problems = {}, {}
    for label, node_type in names.items():
        try:
            keys[label] = key_property(label, node_type, catalog, graph)
        except ConfigError as error:
            problems[node_type] = str(error)
    # Nodes of other labels may all be read under their first one, and then need no key of this one.
    if graph.user in problems or graph.item in problems:
        raise ConfigError("\n".join(problems.values()))
    # Without nodes there is nothing that relationships could join.
    kinds = (catalog.types if labels else ()) if source.relationships is None else source.relationships
    type_names({*kinds, *needed}, graph, source)
    for stored in (*names, *kinds, *keys.values()):
        _check_name(stored)
    read = tuple(sorted({*kinds, *needed}))
    marks = _watermarks(source, (*dict.fromkeys(between), *names), read, catalog, name)
    return ReadPlan(
        # Nodes in between come first: they are no nodes of the graph, whatever other labels they have.
        labels=(*dict.fromkeys(between), *sorted(names, key=preference)),
        types=read,
        queries=_queries(source),
        keys=keys,
        page=source.page,
        label_watermarks=marks[0],
        type_watermarks=marks[1],
        tombstone=source.tombstone,
        hidden=_hidden(source, graph, {*marks[0].values(), *marks[1].values()}, set(keys.values())),
    )


def _watermarks(
    source: Neo4jSource, labels: Iterable[str], types: Iterable[str], catalog: Catalog, name: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The watermark of each label and of each type that has one."""
    if source.watermark is None:
        return {}, {}
    facts = ({label: catalog.labels[label] for label in labels}, {kind: catalog.types[kind] for kind in types})
    if isinstance(source.watermark, str):
        key = source.watermark
        marks = [{kind: key for kind, fact in side.items() if key in fact.properties} for side in facts]
        if not any(marks):
            properties = {property for side in facts for fact in side.values() for property in fact.properties}
            _check_exists("sources.neo4j.watermark", [key], properties, name)
        return marks[0], marks[1]
    _check_exists("sources.neo4j.watermark", source.watermark, [*facts[0], *facts[1]], name)
    for kind, key in source.watermark.items():
        properties = {property for side in facts if kind in side for property in side[kind].properties}
        _check_exists(f"sources.neo4j.watermark.{kind}", [key], properties, name)
    marks = [
        {kind: key for kind, key in source.watermark.items() if kind in side and key in side[kind].properties}
        for side in facts
    ]
    return marks[0], marks[1]


def _hidden(source: Neo4jSource, graph: GraphSettings, marks: set[str], keys: set[str]) -> tuple[str, ...]:
    """Watermarks and the tombstone, unless they are used otherwise: a change of theirs does not change the graph."""
    entries = [*source.interactions, *source.events]
    used = {*ROLES, *keys, *(getattr(entry, role, None) for entry in entries for role in ("user", *ROLES))}
    attributes = {node.title for node in graph.nodes.values()}
    attributes |= {part for node in graph.nodes.values() for part in template_names(node.text or "")}
    kept = {key for key in marks if key in used or snake_case(key) in attributes}
    return tuple(sorted((marks - kept) | ({source.tombstone} if source.tombstone else set())))


def _check_keys(store: Neo4jStore, plan: ReadPlan, catalog: Catalog, source: Neo4jSource, graph: GraphSettings) -> None:
    """Check, before everything is read, that the labels under which nodes will be read have keys."""
    between = {entry.through for entry in source.interactions}
    names = label_names([label for label in plan.labels if label not in between], graph)
    problems = []
    for at, label in enumerate(plan.labels):
        if label in names and label not in plan.keys:
            first = f"MATCH (x:{quote(label)}) WHERE none(other IN labels(x) WHERE other IN $earlier) RETURN 1 LIMIT 1"
            if store.read(first, {"earlier": list(plan.labels[:at])}):
                try:
                    key_property(label, names[label], catalog, graph)
                except ConfigError as error:
                    problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def _queries(source: Neo4jSource) -> dict[str, str]:
    """The user's own queries by their place in the configuration."""
    queries = {
        f"interactions.{n}": entry.query for n, entry in enumerate(source.interactions) if entry.query is not None
    }
    queries |= {f"nodes.{n}": entry.query for n, entry in enumerate(source.nodes)}
    queries |= {f"edges.{n}": entry.query for n, entry in enumerate(source.edges)}
    return queries


def _check_exists(key: str, names: Iterable[str], existing: Iterable[str], database: str) -> None:
    choices = sorted(existing)
    for name in names:
        if name not in choices:
            near = get_close_matches(name, choices, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"those there are {', '.join(choices[:20]) or 'none'}"
            raise ConfigError(f"{key}: {database} has no {name!r}: {hint}")


def _check_name(name: str) -> None:
    """Refuse a label, type or key that no query of a path could name."""
    try:
        quote(name)
    except InvalidDataError as error:
        raise ConfigError(f"{error}, or leave it out of what sources.neo4j names") from error


def _check_properties(key: str, entry: Neo4jInteractions | Neo4jEvents, catalog: Catalog) -> None:
    if entry.type is not None:
        properties, place = set(catalog.types[entry.type].properties), f"{entry.type} relationships"
    elif isinstance(entry, Neo4jInteractions) and entry.through is not None and entry.item_type is not None:
        properties = {*catalog.labels[entry.through].properties, *catalog.types[entry.item_type].properties}
        place = f"{entry.through} nodes and {entry.item_type} relationships"
    else:
        return
    for role in ("user", *ROLES):
        named = getattr(entry, role, None)
        if named is not None:
            _check_name(named)
        if named is not None and named not in properties:
            raise ConfigError(
                f"{key}.{role} = {named!r}: the properties of {place} are {', '.join(sorted(properties)) or 'none'}"
            )


def label_names(labels: Iterable[str], graph: GraphSettings) -> dict[str, str]:
    """The node type of each label.

    Raises:
        ConfigError: two labels would be one node type.
    """
    configured = _configured("nodes", {name: node.label for name, node in graph.nodes.items()})
    return _check_distinct(
        {label: configured.get(label) or snake_case(label) for label in labels}, "labels", "graph.nodes.X.label"
    )


def type_names(types: Iterable[str], graph: GraphSettings, source: Neo4jSource) -> dict[str, str]:
    """The relation name of each relationship type.

    Raises:
        ConfigError: two types would be one relation.
    """
    configured = _configured("relations", {name: relation.cypher_type for name, relation in graph.relations.items()})
    configured |= {entry.type: entry.relation for entry in source.interactions if entry.type and entry.relation}
    names = {kind: configured.get(kind) or snake_case(kind) for kind in types}
    return _check_distinct(names, "relationship types", "graph.relations.X.cypher_type")


def _configured(section: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """Name in the graph of each name in the database that the settings give."""
    configured: dict[str, str] = {}
    for name, stored in names.items():
        if stored in configured:
            raise ConfigError(f"graph.{section}: {configured[stored]} and {name} are both {stored!r} in Neo4j")
        if stored is not None:
            configured[stored] = name
    return configured


def _check_distinct(names: dict[str, str], kind: str, key: str) -> dict[str, str]:
    """The same names.

    Raises:
        ConfigError: two of them are equal.
    """
    by_name: dict[str, list[str]] = {}
    for stored, name in names.items():
        by_name.setdefault(name, []).append(stored)
    for name, same in sorted(by_name.items()):
        if len(same) > 1:
            raise ConfigError(
                f"the {kind} {', '.join(map(repr, sorted(same)))} would all be called {name!r}: tell them apart by "
                f"{key}, or name those to read in sources.neo4j"
            )
    return names


def key_property(label: str, name: str, catalog: Catalog, graph: GraphSettings) -> str:
    """The property that holds the id of the nodes with a label.

    Raises:
        ConfigError: there is none, or the one that is named is not there.
    """
    properties = sorted(catalog.labels[label].properties)
    key = graph.nodes[name].key if name in graph.nodes else "id"
    if key in properties:
        return key
    listed = f"the properties of {label} nodes are {', '.join(properties) or 'none'}"
    if key != "id" and ":" not in key:  # an IRI is for nodes from RDF
        raise ConfigError(f"graph.nodes.{name}.key = {key!r} is no property of {label} nodes; {listed}")
    if "id" in properties:
        return "id"
    unique = [property for property in catalog.labels[label].unique if property in properties]
    if len(unique) == 1:
        return unique[0]
    why = f"uniqueness constraints on {' and '.join(unique)}" if unique else "no uniqueness constraint"
    otherwise = ""
    if name not in (graph.user, graph.item):
        otherwise = (
            ", or leave the label out of sources.neo4j.labels, or name it as `through` in sources.neo4j.interactions "
            "where its nodes stand between users and items"
        )
    raise ConfigError(
        f"{label} nodes have no property 'id' and {why}: name the property that tells them apart in "
        f"graph.nodes.{name}.key{otherwise}; {listed}"
    )
