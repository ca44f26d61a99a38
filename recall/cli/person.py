"""Options that describe somebody who is not in the graph, in the place of `--user`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.times import utc_seconds
from recall.cli.common import time_in

if TYPE_CHECKING:
    from kg import RelationKey

Liked = Annotated[
    list[str] | None,
    typer.Option(
        "--liked", metavar="ID", help="An item that somebody new likes, or --user on top of the graph; may be repeated."
    ),
]
Disliked = Annotated[
    list[str] | None,
    typer.Option(
        "--disliked", metavar="ID", help="Beside --liked or --user: an item that is not liked; may be repeated."
    ),
]
Wanted = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="In place of --user: what somebody new looks for, or is like."),
]
HistoryFile = Annotated[
    Path | None,
    typer.Option(
        "--history-file",
        exists=True,
        dir_okay=False,
        help="In place of --user: what somebody new liked, a CSV file without a header: item id, and perhaps the time "
        "(seconds since 1970, or a date). Without times the oldest stands first.",
    ),
]
WantedAttributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="RELATION=ID",
        help="In place of --user: what somebody new looks for, such as director=p7; may be repeated.",
    ),
]

Diversity = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="What the likeness to the items before it takes from an item; default: the run's."),
]
LongTail = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="How far rarely liked items are brought forward; default: the run's."),
]


def history_in(file: Path | None) -> Any:
    """What a file says that somebody liked: ids, or ids with times as `recommend_for` takes them.

    Raises:
        typer.BadParameter: a line is no id with perhaps a time, or only some have a time.
    """
    if file is None:
        return None
    try:
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(file.open(encoding="utf-8-sig", newline="")) if row
        ]
        if wrong := [row for row in rows if len(row) > 2 or not row[0]]:
            raise ValueError(f"{','.join(wrong[0])!r} is no item id with perhaps a time")
        timed = [row for row in rows if len(row) == 2]
        if timed and len(timed) < len(rows):
            raise ValueError("give all items a time, or none")
        if not timed:
            return [row[0] for row in rows]
        return [(item, utc_seconds(time_in(at))) for item, at in rows]
    except (ValueError, csv.Error) as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="--history-file") from error


def examples_of(person: Mapping[str, Any]) -> dict[str, Any]:
    """What of a person can stand beside a user of the graph.

    Raises:
        typer.BadParameter: there is more than liked and disliked items.
    """
    if others := [name for name in person if name not in ("liked", "disliked")]:
        raise typer.BadParameter(
            f"--user goes with --liked and --disliked, not with what describes somebody new ({others[0]})",
            param_hint="--user",
        )
    return dict(person)


def person_of(
    liked: list[str] | None,
    disliked: list[str] | None,
    text: str | None,
    attributes: list[str] | None,
    history: Path | None = None,
) -> dict[str, Any]:
    """The arguments that `Recommender.recommend_for` and `explain_for` share; empty without any option.

    Raises:
        typer.BadParameter: an attribute is not written as `RELATION=ID`.
    """
    wanted: dict[str | RelationKey, list[str]] = {}
    for attribute in attributes or []:
        relation, sign, name = attribute.partition("=")
        if not (relation and sign and name):
            raise typer.BadParameter(f"{attribute!r}: write RELATION=ID, such as director=p7", param_hint="--attribute")
        wanted.setdefault(relation, []).append(name)
    given = {
        "history": history_in(history),
        "liked": liked or None,
        "disliked": disliked or None,
        "text": text,
        "attributes": wanted or None,
    }
    return {name: value for name, value in given.items() if value is not None}
