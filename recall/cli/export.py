"""The command that exports a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import AsJson, RunPath
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


class GraphFormat(StrEnum):
    """Formats of an exported graph."""

    PARQUET = "parquet"
    RDF = "rdf"
    GRAPHML = "graphml"


def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="Folder to make; it must not exist yet.")],
    graph: Annotated[list[GraphFormat] | None, typer.Option(help="May be repeated; parquet by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Embeddings by id as Parquet, and the graph as Parquet, RDF or GraphML."""
    from recall.runs.layout import RunLayout
    from recall.serve.export import export_run

    with shown_progress(quiet=as_json) as progress:
        files = export_run(
            RunLayout.open(run), out, formats=[f.value for f in graph or [GraphFormat.PARQUET]], progress=progress
        )
    if as_json:
        print_json({"out": str(out), "files": files})
    else:
        from recall.cli.render.stores import print_files

        print_files(out, files, console=screen())
