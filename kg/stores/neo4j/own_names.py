"""Names of what graphrecall itself keeps in a Neo4j database; a reader of the database leaves all of it out.

Bookkeeping and results are separated from the user's data by their names alone, so that a database that graphrecall
wrote back to reads as the same graph as before.
"""

from __future__ import annotations

LABEL_PREFIX = "Graphrecall"
TYPE_PREFIX = "GRAPHRECALL_"
PROPERTY_PREFIX = "graphrecall_"


def is_own(name: str) -> bool:
    """Whether a label, relationship type or property key is graphrecall's own."""
    return name.lower().startswith(LABEL_PREFIX.lower())
