"""Commands about the runs of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli_common import FAILED, AsJson, screen
from recall.console import json_text

app = typer.Typer()


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The runs folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare its checksum.")] = False,
    as_json: AsJson = False,
) -> None:
    """The published runs, which one serves, and whether they are intact."""
    from recall.runs import RunsFolder
    from recall.show_runs import print_runs, runs_data

    summaries = RunsFolder(folder).summaries(verify=verify)
    if as_json:
        typer.echo(json_text(runs_data(summaries)))
    else:
        print_runs(summaries, console=screen())
    if any(summary.problem for summary in summaries):
        raise typer.Exit(FAILED)
