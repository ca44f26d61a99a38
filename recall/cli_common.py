"""What every part of the command line shares: exit codes, common options, where tables go."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

FAILED, USAGE, UNCHANGED, REFUSED, LOCKED = 1, 2, 3, 4, 75

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


def screen() -> Console:
    """Tables are laid out for the terminal, or for 100 columns where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)
