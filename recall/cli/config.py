"""Commands about configuration files: what may stand in one."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(help="What may stand in a configuration file.", no_args_is_help=True)


class ReferenceFormat(StrEnum):
    """How the reference is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"


@app.command()
def reference(
    format_: Annotated[
        ReferenceFormat, typer.Option("--format", help="For a terminal, or as a page.")
    ] = ReferenceFormat.TEXT,
) -> None:
    """Every key with the values it takes, its default and its meaning."""
    from recall.config.reference import as_markdown, as_text

    typer.echo(as_markdown() if format_ is ReferenceFormat.MARKDOWN else as_text(), nl=False)


@app.command()
def schema() -> None:
    """The JSON schema, for the completion and the checks of an editor."""
    from recall.config import reference

    typer.echo(json.dumps(reference.schema(), indent=2, ensure_ascii=False))
