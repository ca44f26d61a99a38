"""Commands about the runs of a folder: list them, accept a rejected one, go back to an older one."""

from __future__ import annotations

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import FAILED, AsJson
from recall.cli.console import print_json
from recall.cli.screen import screen

Decider = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides; default: the user's name.")]


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The runs folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare its checksum.")] = False,
    as_json: AsJson = False,
) -> None:
    """The published and the rejected runs, which one serves, and whether they are intact."""
    from recall.cli.render.runs import print_runs, runs_data
    from recall.runs.registry import RunsFolder

    summaries = RunsFolder(folder).summaries(verify=verify)
    if as_json:
        print_json(runs_data(summaries))
    else:
        print_runs(summaries, console=screen())
    if any(summary.problem for summary in summaries):
        raise typer.Exit(FAILED)


def accept(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, runs/.rejected/ID.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it may serve all the same.")],
    by: Decider = None,
    as_json: AsJson = False,
) -> None:
    """Publish a run that the quality gate rejected; name and reason stay in its record.

    Exits with 75 when a refresh is at work. Where the results go into a database, `graphrecall write-back` or the next
    refresh writes them.
    """
    from recall.cli.render.runs import print_switch, switch_data
    from recall.jobs.decide import accept as accept_run

    switched = accept_run(run, by=by or _user_name(), reason=reason)
    if as_json:
        print_json(switch_data(switched))
    else:
        print_switch(switched, console=screen())


def rollback(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The runs folder.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="ID", help="Run that is to serve; default: the one before.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays in the records.")] = "",
    by: Decider = None,
    as_json: AsJson = False,
) -> None:
    """Let an older run serve again; the newer ones do not come back by themselves.

    A refresh of the same sources leaves the older run serving and says so; changed sources, or --full, make a new run.
    Exits with 75 when a refresh is at work.
    """
    from recall.cli.render.runs import print_switch, switch_data
    from recall.jobs.decide import rollback as roll_back

    switched = roll_back(folder, to=to, by=by or _user_name(), reason=reason)
    if as_json:
        print_json(switch_data(switched))
    else:
        print_switch(switched, console=screen())


def _user_name() -> str:
    try:
        return getuser()
    except (KeyError, OSError) as error:  # a container whose user has no name
        raise typer.BadParameter("this system has no name for you: give --by NAME", param_hint="--by") from error
