"""The command that answers files of queries."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import AsJson, OnUnknown, RunsPath, advised, ids_in, run_in
from recall.cli.console import print_json, shown_progress
from recall.cli.person import Diversity, LongTail
from recall.cli.screen import screen


class Engine(StrEnum):
    """What answers the queries."""

    LOCAL = "local"
    RAY = "ray"
    SPARK = "spark"


@advised("--on-unknown skip goes on without, --on-unknown popular gives unknown users the most liked items")
def batch(
    runs: RunsPath,
    queries: Annotated[
        Path, typer.Option(help="Parquet file with a row for each query, or a folder of such: user_id, or history, ...")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the candidates; what is finished there is not done again.")],
    engine: Annotated[Engine, typer.Option(help="Processes of this machine, Ray Data, or Spark.")] = Engine.LOCAL,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of Ray, or Spark's master; default: this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, or tasks of Ray at a time; default: one a core.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=10_000, help="Candidates of a query.")] = 100,
    filter_text: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="""Only items such as 'year >= 1990 and genre in ["Drama"]'."""),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude-file", exists=True, dir_okay=False, help="Items to leave out: an id a line."),
    ] = None,
    diversity: Diversity = None,
    long_tail: LongTail = None,
    on_unknown: Annotated[OnUnknown, typer.Option(help="What to do with unknown ids.")] = OnUnknown.RAISE,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the queries to write beside the candidates; may be repeated."),
    ] = None,
    titles: Annotated[bool, typer.Option("--titles", help="Write the titles of the items, too.")] = False,
    channel_scores: Annotated[
        bool, typer.Option("--channel-scores", help="Write the score of each channel, too.")
    ] = False,
    part_queries: Annotated[int, typer.Option(min=1, help="Queries of a file of candidates.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Candidates for many queries from one run, on one machine or several, into a folder of Parquet files.

    A command that was stopped or killed is given again, and makes what is missing.
    """
    from recall.batch.run import run_batch
    from recall.serve.questions import RecommendOptions

    options = RecommendOptions(
        k=k,
        filter=filter_text,
        exclude=None if exclude is None else ids_in(exclude, option="--exclude-file"),
        diversity=diversity,
        long_tail=long_tail,
        on_unknown=on_unknown.value,
        titles=titles,
        channel_scores=channel_scores,
    )
    with shown_progress(quiet=as_json) as progress:
        result = run_batch(
            run_in(runs),
            queries,
            out,
            options=options,
            engine=engine.value,
            cluster=cluster,
            workers=workers,
            part_queries=part_queries,
            keep=keep or (),
            progress=progress,
        )
    if as_json:
        print_json({**asdict(result), "out": str(result.out)})
    else:
        there = f"; {result.parts - result.made:,} files were there" if result.made < result.parts else ""
        screen().print(
            f"{result.candidates:,} candidates in {result.made:,} files of {result.out}, for {result.queries:,} "
            f"queries in all, from the run {result.run}{there}",
            markup=False,
        )
