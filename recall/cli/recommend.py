"""Commands about candidates: recommend, similar, explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.errors import ConfigError
from recall.cli.common import AsJson, OnUnknown, RunPath, advised, ids_in
from recall.cli.console import print_json, shown_progress
from recall.cli.person import (
    Disliked,
    Diversity,
    HistoryFile,
    Liked,
    LongTail,
    Wanted,
    WantedAttributes,
    examples_of,
    person_of,
)
from recall.cli.screen import screen

if TYPE_CHECKING:
    from recall.serve.recommender import Recommender

Count = Annotated[int, typer.Option("-k", min=1, max=10_000, help="Candidates per user or item.")]


@advised("--on-unknown skip goes on without, --on-unknown popular gives unknown users the most liked items")
def recommend(
    run: RunPath,
    user: Annotated[list[str] | None, typer.Option("--user", metavar="ID", help="May be repeated.")] = None,
    liked: Liked = None,
    disliked: Disliked = None,
    text: Wanted = None,
    attribute: WantedAttributes = None,
    history_file: HistoryFile = None,
    k: Count = 20,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, for the best candidate.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show what the user liked, too.")] = False,
    candidates: Annotated[
        Path | None,
        typer.Option(
            *("--candidates-file", "--candidates"),
            exists=True,
            dir_okay=False,
            help="Rank only these items: a text file with an id a line.",
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            "--exclude-file",
            exists=True,
            dir_okay=False,
            help="Leave these items out, too: a text file with an id a line.",
        ),
    ] = None,
    filter_text: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="""Only items such as 'year >= 1990 and genre in ["Drama"]'."""),
    ] = None,
    diversity: Diversity = None,
    long_tail: LongTail = None,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="What to do with unknown users; unknown items of files and filters are left out.")
    ] = OnUnknown.RAISE,
    all_users: Annotated[bool, typer.Option("--all-users", help="Everybody in the graph, to --out.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write to: .csv, .tsv, .jsonl or .parquet, by its ending."),
    ] = None,
    titles: Annotated[bool, typer.Option("--titles", help="Write the titles of the items to --out, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The best items for some users, for somebody new, or for everybody at once."""
    person = person_of(liked, disliked, text, attribute, history_file)
    if bool(user or person) + all_users != 1:
        raise typer.BadParameter(
            "give --user ID (one or more), or what somebody new likes (--liked, --disliked, --history-file, --text, "
            "--attribute), or --all-users",
            param_hint="--user",
        )
    examples, person = (examples_of(person), {}) if user else ({}, person)
    if person and history:
        raise typer.BadParameter("--history shows what users of the graph liked", param_hint="--history")
    if all_users and out is None:
        raise typer.BadParameter("--all-users needs --out FILE, such as candidates.csv", param_hint="--out")
    if all_users and (explain or history):
        raise typer.BadParameter("--explain and --history show single users", param_hint="--all-users")
    if titles and out is None:
        raise typer.BadParameter("--titles is for --out FILE", param_hint="--titles")
    if out is not None:
        _check_out(out)
    recommender = _load(run).with_rules(diversity=diversity, long_tail=long_tail)
    only_items = None if candidates is None else _candidate_ids(candidates)
    limits: dict[str, Any] = {
        "k": k,
        "candidates": only_items,
        "exclude": None if exclude is None else ids_in(exclude, option="--exclude-file"),
        "filter": filter_text,
    }
    if all_users:
        with shown_progress(quiet=as_json) as progress:
            rows = recommender.recommend_all(
                out=str(out),
                **limits,
                on_unknown="raise" if on_unknown is OnUnknown.RAISE else "skip",
                titles=titles,
                progress=progress,
            )
        users_count = len(recommender.graph.users)
        if as_json:
            print_json({"out": str(out), "users": users_count, "rows": rows})
        else:
            screen().print(f"{rows:,} candidates for {users_count:,} users in {out}", markup=False)
        return
    from recall.cli.render.candidates import person_data, print_person, print_user, user_data

    if person:
        # There is no unknown user whom the most liked items could answer.
        limits["on_unknown"] = "raise" if on_unknown is OnUnknown.RAISE else "skip"
        if out is not None:
            recommender.recommend_for(**person, **limits, titles=titles).write(out)
        if as_json:
            print_json(person_data(recommender, person, explain=explain, **limits))
        else:
            print_person(recommender, person, explain=explain, console=screen(), **limits)
        return
    user_ids = _ids_in_run(recommender, run, list(dict.fromkeys(user or [])))
    query: dict[str, Any] = {**limits, **examples, "on_unknown": on_unknown.value}
    if out is not None:
        recommender.recommend(user_ids, **query, titles=titles).write(out)
    if as_json:
        print_json(user_data(recommender, user_ids, history=history, explain=explain, **query))
        return
    for user_id in user_ids:
        print_user(recommender, user_id, history=history, explain=explain, console=screen(), **query)


@advised()
def similar(
    run: RunPath,
    item: Annotated[list[str], typer.Option("--item", metavar="ID", help="May be repeated.")],
    k: Count = 10,
    by: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="A channel of the run; default: trained vectors, if any.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The items most like an item."""
    from recall.cli.render.candidates import print_similar, similar_data

    recommender = _load(run)
    if recommender.pipeline.item_vectors is None:
        channels = ", ".join(recommender.pipeline.channels)
        raise ConfigError(
            f"the channels of this run ({channels}) have no vectors of items to compare: lightgcn, for one, has them"
        )
    if as_json:
        print_json(similar_data(recommender, item, k=k, by=by))
    else:
        print_similar(recommender, item, k=k, by=by, console=screen())


@advised()
def explain(
    run: RunPath,
    item: Annotated[str, typer.Option("--item", metavar="ID")],
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="A user of the graph.")] = None,
    liked: Liked = None,
    disliked: Disliked = None,
    text: Wanted = None,
    attribute: WantedAttributes = None,
    history_file: HistoryFile = None,
    diversity: Diversity = None,
    long_tail: LongTail = None,
    draw: Annotated[Path | None, typer.Option(dir_okay=False, help="Draw it: a file .svg or .png.")] = None,
    as_json: AsJson = False,
) -> None:
    """Why an item is a candidate for a user, or for somebody new: exact shares of the score, and paths."""
    person = person_of(liked, disliked, text, attribute, history_file)
    if user is None and not person:
        raise typer.BadParameter(
            "give --user ID, or what somebody new likes: --liked, --disliked, --history-file, --text, --attribute",
            param_hint="--user",
        )
    examples = {} if user is None else examples_of(person)
    if draw is not None and draw.suffix.lower() not in (".svg", ".png"):
        raise typer.BadParameter(f"{draw} must end in .svg or .png", param_hint="--draw")
    from recall.cli.render.explanation import print_explanation

    recommender = _load(run).with_rules(diversity=diversity, long_tail=long_tail)
    if user is not None:
        (user_id,) = _ids_in_run(recommender, run, [user])
        (explanation,) = recommender.explain([(user_id, item)], **examples)
    else:
        (explanation,) = recommender.explain_for([item], **person)
    if draw is not None:
        from recall.explain import draw_explanation

        draw_explanation(explanation, draw)
    if as_json:
        print_json(explanation.to_json())
    else:
        print_explanation(explanation, console=screen())
        if draw is not None:
            screen().print(f"drawn to {draw}")


@advised("--on-unknown skip leaves pairs with unknown ids out")
def score(
    run: RunPath,
    user: Annotated[list[str], typer.Option("--user", metavar="ID", help="May be repeated.")],
    item: Annotated[list[str], typer.Option("--item", metavar="ID", help="Scored for each user; may be repeated.")],
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="What to do with unknown ids: raise or skip.")
    ] = OnUnknown.RAISE,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write to: .csv, .tsv, .jsonl or .parquet, by its ending."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The scores that users give items, in all and by channel."""
    if on_unknown is OnUnknown.POPULAR:
        raise typer.BadParameter("of pairs unknown ids can be skipped, or are an error", param_hint="--on-unknown")
    if out is not None:
        _check_out(out)
    recommender = _load(run)
    users = _ids_in_run(recommender, run, list(dict.fromkeys(user)))
    pairs = [(user_id, item_id) for user_id in users for item_id in dict.fromkeys(item)]
    scores = recommender.score(pairs, on_unknown="raise" if on_unknown is OnUnknown.RAISE else "skip", titles=True)
    if out is not None:
        scores.write(out)
    if as_json:
        print_json({"scores": scores.table.to_pylist()})
    elif out is None:
        from recall.cli.render.candidates import print_scores

        print_scores(scores, console=screen())


def _load(run: Path) -> Recommender:
    from recall.serve.recommender import Recommender

    return Recommender.load(run)


def _ids_in_run(recommender: Recommender, run: Path, users: list[str]) -> list[str]:
    """The ids by which the run's graph has users: their pseudonyms, where the run was made with pseudonyms."""
    in_graph = recommender.graph.users.index(users, missing="negative") >= 0
    users = [user if there else user.strip() for user, there in zip(users, in_graph.tolist(), strict=True)]
    if (recommender.graph.users.index(users, missing="negative") >= 0).all():
        return users
    from recall.jobs.privacy import names_in_run

    ids = set(recommender.graph.users.ids.to_pylist())
    return [user if user in ids else name for user, name in zip(users, names_in_run(run, users), strict=True)]


def _check_out(out: Path) -> None:
    from kg.io.table_file import check_table_file

    try:
        check_table_file(out)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error


def _candidate_ids(file: Path) -> list[str]:
    ids = ids_in(file, option="--candidates-file")
    if not ids:
        raise typer.BadParameter(f"{file} names no items", param_hint="--candidates-file")
    return ids
