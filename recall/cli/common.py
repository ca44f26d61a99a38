"""What the commands share: exit codes, common arguments and options, where tables go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kg.errors import OldConfigError, RefreshInProgressError, TuneInProgressError
from recall.cli.screen import error_screen

FAILED, USAGE, UNCHANGED, REFUSED, LOCKED = 1, 2, 3, 4, 75

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a link such as runs/current.")]


def ids_in(file: Path, *, option: str) -> list[str]:
    """Read ids from a text file with one id a line; blank lines are left out.

    Args:
        file: the file.
        option: the option that named it, for the error message.

    Raises:
        typer.BadParameter: the file is not UTF-8 text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not a text file with an id a line", param_hint=option) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def exit_code_of(error: Exception) -> int:
    """The exit code for an error: 75 when another process holds the lock, 2 for an old configuration, else 1."""
    if isinstance(error, RefreshInProgressError | TuneInProgressError):
        return LOCKED
    if isinstance(error, OldConfigError):
        return USAGE
    return FAILED


def fail(message: str, code: int) -> NoReturn:
    """Print one error message on stderr and end the process with an exit code."""
    error_screen().print(f"error: {message}")
    sys.exit(code)
