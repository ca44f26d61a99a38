"""The command that checks the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import FAILED, AsJson
from recall.cli.console import print_json
from recall.cli.screen import screen


def doctor(
    runs_folder: Annotated[Path | None, typer.Option("--runs", help="A runs folder to look at, too.")] = None,
    text_model: Annotated[str | None, typer.Option(help="Name or folder of a text model to look for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Is this installation sound? Exits with 1 when something is broken."""
    from recall.cli.render.checks import checks_data, print_checks
    from recall.ops.doctor import examine

    checks = examine(runs=runs_folder, text_model=text_model)
    if as_json:
        print_json(checks_data(checks))
    else:
        print_checks(checks, console=screen())
    if any(check.status == "broken" for check in checks):
        raise typer.Exit(FAILED)
