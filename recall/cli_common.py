"""What every part of the command line shares: exit codes, common options, where tables go."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from kg.errors import GateError, RefreshInProgressError, TuneInProgressError

FAILED, USAGE, UNCHANGED, REFUSED, LOCKED = 1, 2, 3, 4, 75

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


def screen() -> Console:
    """Tables are laid out for the terminal, or for 100 columns where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def exit_code_of(error: Exception) -> int:
    """The exit code that tells a scheduler what went wrong."""
    if isinstance(error, RefreshInProgressError | TuneInProgressError):
        return LOCKED
    if isinstance(error, GateError):
        return REFUSED
    return FAILED


def fail(message: str, code: int) -> NoReturn:
    """End the process with one message on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"error: {message}")
    sys.exit(code)
