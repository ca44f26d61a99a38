"""Which nodes RDF names, and which of their properties could be their ids."""

from __future__ import annotations

from ingest.facts import Mapped, Mention
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
            others=as_ids(
                {
                    predicate: nodes.table[column]
                    for column, predicate in nodes.type.predicates.items()
                    if column in nodes.table.column_names
                }
            ),
        )
        for node, nodes in mapped.nodes.items()
    ]
