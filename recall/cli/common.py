"""What every part of the command line shares: exit codes, common options, where tables go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from kg.errors import RefreshInProgressError, TuneInProgressError

FAILED, USAGE, UNCHANGED, REFUSED, LOCKED = 1, 2, 3, 4, 75

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


def screen() -> Console:
    """Tables are laid out for the terminal, or for 100 columns where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def ids_in(file: Path, *, option: str) -> list[str]:
    """The ids in a text file with one a line, which an option names."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not a text file with an id a line", param_hint=option) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def exit_code_of(error: Exception) -> int:
    """The exit code that tells a scheduler what went wrong."""
    if isinstance(error, RefreshInProgressError | TuneInProgressError):
        return LOCKED
    return FAILED


def fail(message: str, code: int) -> NoReturn:
    """End the process with one message on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"error: {message}")
    sys.exit(code)
