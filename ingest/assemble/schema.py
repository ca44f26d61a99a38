"""The schema of the graph: what sources say about its node types and relations, and what the settings override."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ingest.assemble.relations import Relations
from ingest.facts import Facts
from ingest.settings import GraphSettings
from kg.errors import ConfigError
from kg.schema import TITLE_ATTRIBUTES, NodeType, PositiveRule, Relation, RelationKey, Schema


def make_schema(
    facts: Facts,
    relations: Relations,
    settings: GraphSettings,
    nodes: Mapping[str, Any],
    edges: Mapping[RelationKey, Any],
) -> Schema:
    """The schema of node and edge tables.

    Raises:
        ConfigError: a title is named that is no attribute.
    """
    store = facts.store
    result = {}
    for key in sorted(edges, key=lambda key: (key != relations.interaction, key)):
        override = settings.relations.get(key.name)
        event = relations.events.get(key)
        mapped = facts.mapped.edges.get(key)
        words = key.name.replace("_", " ")
        reads_as_words = event is not None or re.match(r"(has|is|was)_", key.name)
        result[key] = Relation(
            key=key,
            cypher_type=(override.cypher_type if override else None) or store.types.get(key, ""),
            predicate=mapped.predicate if mapped else None,
            phrase=(override.phrase if override else None) or (words if reads_as_words else ""),
            event=event,
            properties=store.properties.get(key, {}),
        )
    return Schema(
        node_types={name: _node_type(name, table, facts, settings) for name, table in nodes.items()},
        relations=result,
        user_type=settings.user,
        item_type=settings.item,
        interaction=relations.interaction,
        positive=PositiveRule.parse(settings.positive),
    )


def _node_type(name: str, table: Any, facts: Facts, settings: GraphSettings) -> NodeType:
    override = settings.nodes.get(name)
    inferred = facts.mapped.nodes[name].type if name in facts.mapped.nodes else None
    title = override.title if override else None
    if title is not None and title not in table.column_names:
        raise ConfigError(
            f"graph.nodes.{name}.title = {title!r} is no attribute; those there are {', '.join(table.column_names)}"
        )
    if title is None:
        title = (inferred.title if inferred else None) or next(
            (attribute for attribute in TITLE_ATTRIBUTES if attribute in table.column_names), None
        )
    text = override.text if override else None
    if text is None and name == settings.item and title is not None:
        text = "{" + title + "}"
    rdf_class = (override.rdf_class if override else None) or (inferred.rdf_class if inferred else None)
    label = (override.label if override else None) or facts.store.labels.get(name, "")
    key, key_type = facts.store.keys.get(name, ("id", "string"))
    return NodeType(
        name=name,
        label=label,
        rdf_class=rdf_class,
        text=text,
        title=title,
        noun=(override.noun if override else None) or "",
        predicates=inferred.predicates if inferred else {},
        key=key,
        key_type=key_type,
    )


def check_overrides(settings: GraphSettings, schema: Schema) -> None:
    """Refuse settings of node types and relations that no source has.

    Raises:
        ConfigError: naming the setting and what is there.
    """
    for name in settings.nodes:
        if name not in schema.node_types:
            raise ConfigError(
                f"graph.nodes.{name}: no source has such a node type; those there are {', '.join(schema.node_types)}"
            )
    names = {key.name for key in schema.relations}
    for name in settings.relations:
        if name not in names:
            raise ConfigError(
                f"graph.relations.{name}: no source has such a relation; those there are {', '.join(sorted(names))}"
            )
