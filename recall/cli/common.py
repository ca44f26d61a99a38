"""What the commands share: exit codes, common arguments and options, where tables go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from kg.errors import (
    BatchInProgressError,
    OldConfigError,
    RefreshInProgressError,
    TuneInProgressError,
    UnknownIdError,
)

FAILED, USAGE, UNCHANGED, REFUSED, LOCKED = 1, 2, 3, 4, 75

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
RunsPath = Annotated[
    Path, typer.Argument(metavar="RUNS", help="The runs folder, a run's folder, or a link such as runs/current.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a link such as runs/current.")]


class OnUnknown(StrEnum):
    """What to do with a user id that is not in the graph."""

    RAISE = "raise"
    POPULAR = "popular"
    SKIP = "skip"


@contextmanager
def advised(advice: str = "") -> Iterator[None]:
    """Say how to go on without an unknown id in the words of the command, not of the call in Python."""
    try:
        yield
    except UnknownIdError as error:
        raise error.advised(advice) from error


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


def time_in(cell: str) -> str | float:
    """The time that a cell of a text file holds: seconds since 1970 where it is a number, or the text of a date."""
    return float(cell) if cell.lstrip("-").isdigit() else cell


def exit_code_of(error: Exception) -> int:
    """The exit code for an error: 75 when another process holds the lock, 2 for an old configuration, else 1."""
    if isinstance(error, RefreshInProgressError | TuneInProgressError | BatchInProgressError):
        return LOCKED
    if isinstance(error, OldConfigError):
        return USAGE
    return FAILED


def error_data(message: str, code: int) -> dict[str, Any]:
    """What `--json` prints of a command that failed."""
    return {"error": message, "exit_code": code}


class CommandError(Exception):
    """Ends a command with one message and an exit code; `recall.cli.main.main` prints it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def fail(message: str, code: int) -> NoReturn:
    """End the command with one message and an exit code."""
    raise CommandError(message, code)


def run_in(runs: Path) -> Path:
    """The link to the run that serves, or the run that was named.

    Raises:
        ArtifactError: there is no run.
    """
    from recall.runs.layout import CURRENT, RunLayout

    run = runs / CURRENT if (runs / CURRENT).is_symlink() else runs
    RunLayout.open(run)
    return run
