"""The command that reads everything and trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import FAILED, AsJson
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the deployment.")],
    as_json: AsJson = False,
) -> None:
    """Read all sources and say what becomes of them; nothing is trained, nothing is written.

    Exits with 1 when a refresh would refuse the sources.
    """
    from recall.cli.render.check import print_check
    from recall.config.deployment import load_config
    from recall.jobs.check import check as check_sources

    settings = load_config(config)
    with shown_progress(quiet=as_json) as progress:
        result = check_sources(settings, progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        print_check(result, name=str(config), console=screen())
    if result.problems:
        raise typer.Exit(FAILED)
