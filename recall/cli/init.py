"""The command that writes a first configuration for own files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.errors import ConfigError
from recall.cli.common import AsJson
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen, visible

if TYPE_CHECKING:
    from ingest.look import Proposal

FORMATS = ("recbole", "movielens", "kgat", "lastfm", "amazon")


def init(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILES]...", help="Tables and RDF files.")] = None,
    out: Annotated[Path, typer.Option(help="Where the configuration is written.")] = Path("graphrecall.toml"),
    neo4j: Annotated[
        str | None, typer.Option(metavar="URI", help="A Neo4j server; its password is in NEO4J_PASSWORD.")
    ] = None,
    user: Annotated[str, typer.Option(help="Account of the server.")] = "neo4j",
    database: Annotated[str | None, typer.Option(help="Database of the server; default: its own.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="|".join(FORMATS), help="Format of a published data set.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing, and overwrite what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at files and write a configuration with what they seem to be.

    In a terminal it asks about what it guessed. Then `graphrecall check` says what becomes of the data, and
    `graphrecall refresh` makes the first run.
    """
    if format_ is not None and format_ not in FORMATS:
        raise typer.BadParameter(f"{format_} is none of {', '.join(FORMATS)}", param_hint="--format")
    asks = not yes and not as_json and sys.stdin.isatty()
    if out.exists() and not yes and not (asks and typer.confirm(f"{out} is there already: overwrite it?")):
        raise ConfigError(f"{out} is there already: name another file with --out, or overwrite it with --yes")
    from ingest.look import propose
    from kg.io.files import write_text
    from recall.config.draft import as_toml, check_draft

    folder = out.resolve().parent
    named = [(Path(os.path.relpath(file.resolve(), folder)).as_posix(), file) for file in files or []]
    with shown_progress(quiet=as_json or asks) as progress, progress.task("looking at the data"):
        catalog, connection = _catalog(neo4j, user, database)
        proposal = propose(named, format=format_, catalog=catalog, connection=connection)  # type: ignore[arg-type]
    if asks:
        _ask(proposal)
    text = as_toml(proposal)
    check_draft(text, base=folder, name=str(out))
    write_text(out, text)
    if as_json:
        print_json(_data(proposal, out))
    else:
        _print(proposal, out)


def _catalog(uri: str | None, user: str, database: str | None) -> tuple[Any, dict[str, Any]]:
    """What a server holds, and the section that says where it is."""
    if uri is None:
        return None, {}
    from kg.stores.neo4j.connection import Neo4jConnection
    from kg.stores.neo4j.read.catalog import discover

    settings: dict[str, Any] = {"uri": uri}
    if user != "neo4j":
        settings["user"] = user
    if database is not None:
        settings["database"] = database
    with Neo4jConnection(**settings).open(base=Path.cwd()) as store:
        return discover(store), settings


def _ask(proposal: Proposal) -> None:
    """Ask about every guess; what is refused is left out."""
    console = screen()
    for section in list(proposal.sections):
        console.print(f"\n[{section.name}]", markup=False, style="bold")
        console.print(visible(section.guess), markup=False)
        for doubt in section.doubts:
            console.print(visible(f"doubt: {doubt}"), markup=False, style="yellow")
        for key in ("user", "item", "positive", "node", "id", "relation", "source", "target"):
            if key in section.keys and isinstance(section.keys[key], str):
                old = section.keys[key]
                section.keys[key] = typer.prompt(f"  {key}", default=visible(old))
                if section is proposal.graph and key != "positive":
                    proposal.rename(old, section.keys[key])
        columns = section.keys.get("columns")
        if section.name in ("sources.interactions", "sources.events") and columns:
            for role in list(columns):
                columns[role] = typer.prompt(f"  column of {role} (- for none)", default=visible(columns[role]))
                if columns[role] == "-":
                    del columns[role]
        if section.name == "sources.edges" and not typer.confirm("  keep these edges?", default=True):
            proposal.sections.remove(section)


def _data(proposal: Proposal, out: Path) -> dict[str, Any]:
    return {
        "config": str(out),
        "sections": [
            {"name": section.name, "keys": section.keys, "guess": section.guess, "doubts": section.doubts}
            for section in proposal.sections
        ],
        "doubts": proposal.doubts,
    }


def _print(proposal: Proposal, out: Path) -> None:
    console = screen()
    for section in proposal.sections:
        console.print(visible(f"[{section.name}] {section.guess}"), markup=False)
        for doubt in section.doubts:
            console.print(visible(f"  doubt: {doubt}"), markup=False, style="yellow")
    for doubt in proposal.doubts:
        console.print(visible(f"doubt: {doubt}"), markup=False, style="yellow")
    console.print(visible(f"written: {out}"), style="green", markup=False)
    console.print(
        visible(f"next: graphrecall check {out}, then graphrecall refresh {out}"), markup=False, soft_wrap=True
    )
