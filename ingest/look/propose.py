"""Files and perhaps a database into a proposed configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.look.datasets import format_of_names, propose_dataset
from ingest.look.files import propose_files
from ingest.look.neo4j import propose_database
from ingest.look.proposal import Proposal, Section
from ingest.settings import DatasetFormat
from kg.errors import InvalidDataError

if TYPE_CHECKING:  # the driver is imported where a database is looked at
    from kg.stores.neo4j.read.catalog import Catalog


def propose(
    files: Sequence[tuple[str, Path]],
    *,
    format: DatasetFormat | None = None,
    catalog: Catalog | None = None,
    connection: dict[str, Any] | None = None,
) -> Proposal:
    """Look at files and at what a database holds.

    Args:
        files: name in the configuration and path of each.
        format: of a published data set that they are; default: told from their names.
        catalog: of a Neo4j database.
        connection: keys of the section `neo4j` for it.

    Raises:
        InvalidDataError: a file cannot be read, or there is nothing that users did.
    """
    if not files and catalog is None:
        raise InvalidDataError("there is nothing to look at: name files, or a Neo4j server")
    format = format or format_of_names([path.name for _, path in files])
    if format is not None:
        return propose_dataset(files, format)
    proposal = Proposal([Section("graph", {"user": "user", "item": "item"}, "what is recommended to whom")])
    if catalog is not None:
        propose_database(proposal, catalog, connection or {})
    if files:
        propose_files(proposal, files)
    return proposal
