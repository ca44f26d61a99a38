"""Options that describe somebody who is not in the graph, in the place of `--user`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kg import RelationKey

Liked = Annotated[
    list[str] | None,
    typer.Option("--liked", metavar="ID", help="In place of --user: an item that somebody new likes; may be repeated."),
]
Disliked = Annotated[
    list[str] | None,
    typer.Option(
        "--disliked", metavar="ID", help="Beside --liked: an item that somebody new does not like; may be repeated."
    ),
]
Wanted = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="In place of --user: what somebody new looks for, or is like."),
]
WantedAttributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="RELATION=ID",
        help="In place of --user: what somebody new looks for, such as director=p7; may be repeated.",
    ),
]


def person_of(
    liked: list[str] | None, disliked: list[str] | None, text: str | None, attributes: list[str] | None
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
    given = {"liked": liked or None, "disliked": disliked or None, "text": text, "attributes": wanted or None}
    return {name: value for name, value in given.items() if value is not None}
