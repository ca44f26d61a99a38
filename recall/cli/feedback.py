"""The command that writes down what users did with their candidates."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.errors import InvalidDataError
from recall.cli.common import AsJson, RunPath, time_in
from recall.cli.console import print_json
from recall.cli.screen import screen

if TYPE_CHECKING:
    from recall.feedback import FeedbackEvent

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
Items = list[str] | None


def feedback(
    run: RunPath,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="Who did something.")] = None,
    liked: Annotated[Items, typer.Option("--liked", metavar="ID", help="An item; may be repeated.")] = None,
    disliked: Annotated[Items, typer.Option("--disliked", metavar="ID", help="An item; may be repeated.")] = None,
    shown: Annotated[Items, typer.Option("--shown", metavar="ID", help="An item; may be repeated.")] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            help="In place of --user: a file of events, .csv or .tsv with a header, or .jsonl: user_id, item_id, kind "
            "(like, dislike, impression), and perhaps time and event_id. With an event_id an event counts once, "
            "however often the file is sent.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write down what users did with their candidates; it counts from their next request on."""
    of_items = {"like": liked or [], "dislike": disliked or [], "impression": shown or []}
    if (user is None) == (events is None):
        raise typer.BadParameter("give --user ID with items, or --events FILE", param_hint="--user")
    if (user is None) == any(of_items.values()):
        raise typer.BadParameter("--user goes with --liked, --disliked and --shown", param_hint="--user")
    from recall import Recommender

    if events is None:
        given: list[Any] = [
            {"user_id": user, "item_id": item, "kind": kind} for kind, items in of_items.items() for item in items
        ]
    else:
        given = _checked(events)
    added = Recommender.load(run).add_feedback(given)
    if as_json:
        print_json(asdict(added))
    else:
        from recall.cli.render.candidates import print_feedback

        print_feedback(added, console=screen())


def _checked(file: Path) -> list[FeedbackEvent]:
    """The events of a file.

    Raises:
        InvalidDataError: a line is no event; the message names it, and nothing is written.
    """
    from recall.feedback import FeedbackEvent

    now, checked = time.time(), []
    for line, values in _lines_of(file):
        try:
            checked.append(FeedbackEvent.of(values, now=now))
        except InvalidDataError as error:
            raise InvalidDataError(f"{file}, line {line:,}: {error}; nothing of the file was written") from error
    if not checked:
        raise InvalidDataError(f"{file} holds no event")
    return checked


def _lines_of(file: Path) -> Iterator[tuple[int, Any]]:
    """Number and content of each line that is not empty."""
    separator = _SEPARATORS.get(file.suffix.lower())
    if separator is None and file.suffix.lower() not in _LINES:
        raise typer.BadParameter(f"{file}: end its name with .csv, .tsv or .jsonl", param_hint="--events")
    with file.open(encoding="utf-8-sig", newline="" if separator else None) as text:
        try:
            if separator is None:
                for number, line in enumerate(text, start=1):
                    if line.strip():
                        yield number, _parsed(line, file, number)
            else:
                rows = csv.DictReader(text, delimiter=separator, restkey="")
                yield from ((rows.line_num, _of_cells(row)) for row in rows)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidDataError(f"{file} is no text file of events: {error}") from error


def _parsed(line: str, file: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{file}, line {number:,}: no JSON: {error}; nothing of the file was written") from error


def _of_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of a table says: an empty cell says nothing."""
    values = {name: cell for name, cell in row.items() if cell}
    return values | {"time": time_in(values["time"])} if "time" in values else values
