"""Which nodes RDF names, and which of their properties could be their ids."""

from __future__ import annotations

from typing import Any

from ingest.facts import Mapped, Mention, NodeTable
from ingest.sources.tables.mentions import as_ids


def rdf_mentions(mapped: Mapped, name: str) -> list[Mention]:
    """The nodes of each type; what could be their id is written as the IRI of a property.

    Args:
        mapped: what RDF says.
        name: of its files.
    """
    return [
        Mention(
            node=node,
            source=name,
            kind="rdf",
            key="key",
            ids=nodes.table["id"],
            others=as_ids(_properties(nodes)),
        )
        for node, nodes in mapped.nodes.items()
    ]


def _properties(nodes: NodeTable) -> dict[str, Any]:
    columns = dict(zip(nodes.table.column_names, nodes.table.columns, strict=True))
    return {predicate: columns[name] for name, predicate in nodes.type.predicates.items() if name in columns}
