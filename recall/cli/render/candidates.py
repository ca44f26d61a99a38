"""Candidates of users, their histories, and similar items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recall.cli.render.explanation import print_explanation
from recall.cli.render.tables import shown, table

if TYPE_CHECKING:
    from recall.contracts import Candidates, PairScores
    from recall.serve.live import FeedbackAdded
    from recall.serve.recommender import Recommender

MOST_LIKED_SHOWN = 10
_NAMED = 5


def liked(recommender: Recommender, user: str) -> list[dict[str, Any]]:
    """What a user likes, latest first: id, title, timestamp and rating where there are any.

    Raises:
        UnknownIdError: the user is not in the graph.
    """
    rows = recommender.lookup.user_history(user)
    return [{name: value for name, value in row.items() if name != "liked"} for row in rows if row["liked"]]


def user_data(
    recommender: Recommender,
    users: Sequence[str],
    *,
    history: bool = False,
    explain: bool = False,
    **limits: Any,
) -> dict[str, Any]:
    """Candidates with titles, and on request each user's history and the reasons for the best candidate.

    Args:
        recommender: answers.
        users: ids.
        history: give what each user likes, too.
        explain: give reasons, too.
        **limits: further arguments of `recommend`.
    """
    recommended = recommender.recommend(users, **limits)
    rows = [{**row, "title": recommender.title(row["item_id"])} for row in recommended]
    data: dict[str, Any] = {"candidates": rows}
    in_graph = [user for user in users if _in_graph(recommender, user)]
    if history:
        data["history"] = {user: liked(recommender, user) for user in in_graph}
    if explain:
        best = {row["user_id"]: row["item_id"] for row in rows if row["rank"] == 1 and row["user_id"] in in_graph}
        data["explanations"] = [
            explanation.to_json() for explanation in recommender.explain(list(best.items()), **_examples(limits))
        ]
    return data


def print_user(
    recommender: Recommender,
    user: str,
    *,
    console: Console,
    history: bool = False,
    explain: bool = False,
    **limits: Any,
) -> None:
    """A user's candidates, and on request the history before them and the reasons for the best one after them.

    See `user_data`.
    """
    recommended = recommender.recommend([user], **limits)
    in_graph = _in_graph(recommender, user)
    if history and in_graph:
        _print_liked(liked(recommender, user), user, console=console)
    if not len(recommended):
        why = "has seen all that are allowed" if in_graph else "is not in the graph"
        console.print(shown(f"no candidates for user {user}, who {why}"))
        return
    _print_ranked(recommender, recommended, title=f"{len(recommended)} candidates for user {user}", console=console)
    if "popularity" in recommended.table["source"].to_pylist():
        why = "has no positive interaction" if in_graph else "is not in the graph"
        console.print(shown(f"user {user} {why}: these are the most liked items", style="yellow"))
    if explain and in_graph:
        pairs = [(user, recommended.table["item_id"][0].as_py())]
        (explanation,) = recommender.explain(pairs, **_examples(limits))
        print_explanation(explanation, console=console)


def person_data(
    recommender: Recommender, person: Mapping[str, Any], *, explain: bool = False, **limits: Any
) -> dict[str, Any]:
    """Candidates of somebody new with titles, and on request the reasons for the best one.

    Args:
        recommender: answers.
        person: arguments that `recommend_for` and `explain_for` share.
        explain: give reasons, too.
        **limits: further arguments of `recommend_for`.
    """
    rows = list(recommender.recommend_for(**person, **limits, titles=True))
    data: dict[str, Any] = {"candidates": rows}
    if explain:
        best = [row["item_id"] for row in rows[:1]]
        data["explanations"] = [
            explanation.to_json() for explanation in recommender.explain_for(best, **person, **_examples(limits))
        ]
    return data


def print_person(
    recommender: Recommender, person: Mapping[str, Any], *, console: Console, explain: bool = False, **limits: Any
) -> None:
    """The candidates of somebody new, and on request the reasons for the best one; see `person_data`."""
    recommended = recommender.recommend_for(**person, **limits)
    if not len(recommended):
        console.print("no candidates")
        return
    _print_ranked(recommender, recommended, title=f"{len(recommended)} candidates for somebody new", console=console)
    if explain:
        (explanation,) = recommender.explain_for(
            [recommended.table["item_id"][0].as_py()], **person, **_examples(limits)
        )
        print_explanation(explanation, console=console)


def similar_data(recommender: Recommender, items: Sequence[str], *, k: int, by: str | None) -> dict[str, Any]:
    """Similar items as plain data."""
    return {"similar": list(recommender.similar(items, k=k, by=by, titles=True))}


def print_similar(recommender: Recommender, items: Sequence[str], *, k: int, by: str | None, console: Console) -> None:
    """A table of similar items for each item."""
    similar = recommender.similar(items, k=k, by=by, titles=True)
    for item in dict.fromkeys(items):
        of_item = similar.of(item.strip()) or similar.of(item)
        if not of_item:
            console.print(shown(f"nothing was learned about {item}, so nothing is similar to it"))
            continue
        heading = f"like {recommender.title(item)} ({item})"
        rows = table("", "title", "score", "id", right=["", "score"], title=heading)
        for row in of_item:
            rows.add_row(str(row["rank"]), shown(row["title"]), f"{row['score']:.3f}", shown(row["similar_id"]))
        console.print(rows)


def print_scores(scores: PairScores, *, console: Console) -> None:
    """A table of the scores of pairs, in all and by channel."""
    plain = ("user_id", "item_id", "score", "source", "title")
    channels = [name for name in scores.table.column_names if name not in plain]
    rows = table("user", "title", "score", *channels, "id", right=["score", *channels])
    for row in scores:
        values = [f"{row[name]:.4f}" for name in ("score", *channels)]
        rows.add_row(shown(row["user_id"]), shown(row["title"]), *values, shown(row["item_id"]))
    console.print(rows)


def print_feedback(added: FeedbackAdded, *, console: Console) -> None:
    """How many events were written, and what of them the run does not know."""
    text = f"{added.accepted:,} written"
    if added.repeated:
        text += f", {added.repeated:,} left out that the log had already"
    console.print(text)
    for ids, noun, effect in (
        (added.unknown_users, "users", "answered by what they liked"),
        (added.unknown_items, "items", "kept until a run has them"),
    ):
        if ids:
            some = ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else "")
            console.print(shown(f"{len(ids):,} {noun} that the run does not have, {effect}: {some}"))


def _examples(limits: Mapping[str, Any]) -> dict[str, Any]:
    """What of the arguments of `recommend` an explanation needs, too."""
    return {name: limits[name] for name in ("liked", "disliked", "k") if name in limits}


def _print_liked(rows: Sequence[Mapping[str, Any]], user: str, *, console: Console) -> None:
    if not rows:
        console.print(shown(f"user {user} likes no item", style="bold"))
        return
    latest = rows[:MOST_LIKED_SHOWN]
    columns = [name for name in ("rating", "timestamp") if any(row.get(name) is not None for row in latest)]
    cut = f", {'the latest' if 'timestamp' in columns else 'some of them'}:" if len(rows) > len(latest) else ":"
    console.print(shown(f"user {user} likes {len(rows)} item{'s' if len(rows) > 1 else ''}{cut}", style="bold"))
    headings = ["on" if name == "timestamp" else name for name in columns]
    items = table("title", *headings, "id", right=["rating"])
    for row in latest:
        values = [_day(row[name]) if name == "timestamp" else _number(row[name]) for name in columns]
        items.add_row(shown(row["title"]), *values, shown(row["item_id"]))
    console.print(items)


def _print_ranked(recommender: Recommender, candidates: Candidates, *, title: str, console: Console) -> None:
    rows = table("", "title", "score", "id", "source", right=["", "score"], title=title)
    for row in candidates:
        name = shown(recommender.title(row["item_id"]))
        rows.add_row(str(row["rank"]), name, f"{row['score']:.4f}", shown(row["item_id"]), Text(row["source"], "dim"))
    console.print(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _day(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _in_graph(recommender: Recommender, user: str) -> bool:
    return bool(recommender.graph.users.index([user], missing="negative")[0] >= 0)
