"""What was written to files or into a database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import labelled, table
from recall.ops.words import size

if TYPE_CHECKING:
    from kg.stores.neo4j.write.load import LoadFacts
    from kg.stores.neo4j.write.write_back import WriteBackFacts


def print_files(folder: Path, files: Mapping[str, int], *, console: Console) -> None:
    """The files of an export with their sizes in bytes."""
    rows = table("file", "size", right=["size"])
    for name, count in files.items():
        rows.add_row(name, size(count))
    console.print(rows)
    console.print(f"written to {folder}", soft_wrap=True)


def print_write_back(facts: WriteBackFacts, *, console: Console) -> None:
    """What was written back into the database of a run."""
    parts = [f"{facts.candidates:,} candidates"]
    parts += [f"vectors of {count:,} {role}" for role, count in facts.vectors.items()]
    without_node = f"; {facts.missing:,} of them found no node" if facts.missing else ""
    state = "written back" if facts.status == "written" else "were there"
    console.print(labelled("neo4j", f"{', '.join(parts)} {state}{without_node}"), style="green")


def print_load(server: str, facts: LoadFacts, *, console: Console) -> None:
    """What a database holds after a load."""
    rows = table("in the database", "count", right=["count"])
    for label, count in facts.nodes.items():
        rows.add_row(Text(f"(:{label})"), f"{count:,}")
    for kind, count in facts.relationships.items():
        rows.add_row(Text(f"-[:{kind}]->"), f"{count:,}")
    console.print(rows)
    state = (
        f"{facts.written:,} nodes and relationships written" if facts.written else "nothing to do, all of it was there"
    )
    console.print(labelled("load", f"{server}: {state}"), style="green")
