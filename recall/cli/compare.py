"""The command that compares two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import AsJson
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a link such as runs/current.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one; differences are its less the first.")],
    k: Annotated[list[int] | None, typer.Option("-k", min=1, max=1000, help="May be repeated.")] = None,
    sample_users: Annotated[
        int | None,
        typer.Option(min=0, help="Users asked, at most; 0: all. Default: evaluation.sample_users of the second run."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether one run is better than another: the differences of each user's metrics, their interval and p.

    Both answer for the users and items that both know, on held-out items that neither model has seen.
    """
    from recall.quality.stage.compare import compare_runs
    from recall.runs.layout import RunLayout

    with shown_progress(quiet=as_json) as progress:
        folders = RunLayout.open(first), RunLayout.open(second)
        result = compare_runs(*folders, ks=k, sample_users=sample_users, progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        from recall.cli.render.stage import print_comparison

        print_comparison(result, console=screen())
