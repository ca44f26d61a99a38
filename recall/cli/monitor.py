"""The command that shows how runs differ from those before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kg.errors import ConfigError
from recall.cli.common import FAILED, REFUSED, AsJson
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


def monitor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The runs folder.")],
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many runs, rejected ones too.")] = 5,
    candidates: Annotated[
        bool, typer.Option(help="Ask every run for candidates; without, only what went in is compared.")
    ] = True,
    sample_users: Annotated[
        int, typer.Option(min=1, help="Users asked of each run, at most; drawn by a seeded hash of their ids.")
    ] = 1000,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Candidates of each user.")] = 50,
    max_psi: Annotated[
        float | None,
        typer.Option(min=0, metavar="INDEX", help="Exit with 4 when the run that serves has moved more; 0.25 is much."),
    ] = None,
    max_age: Annotated[
        str | None, typer.Option(metavar="TIME", help="Exit with 4 when the run that serves is older, such as 26h.")
    ] = None,
    prometheus: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the drift of the run that serves, to a .prom file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What went into the last runs, and the candidates that they give, each beside the published run before it.

    Population stability indexes compare the proportions of likes and candidates by popularity, by the relations and
    attributes of the items, and by channel. Below 0.1 little has moved, from 0.25 on much.

    Exits with 1 when one of these runs is damaged, 4 when a limit that was given is exceeded.
    """
    from recall.jobs.schedule import parse_interval
    from recall.quality.monitor.monitor import exceeded_limits, monitor_runs

    try:
        seconds = None if max_age is None else parse_interval(max_age).total_seconds()
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--max-age") from error
    if prometheus is not None and prometheus.suffix != ".prom":
        raise typer.BadParameter(
            f"{prometheus}: the textfile collector reads names that end in .prom only", param_hint="--prometheus"
        )
    with shown_progress(quiet=as_json) as progress:
        users = sample_users if candidates else 0
        report = monitor_runs(folder, last=last, sample_users=users, k=k, progress=progress)
    exceeded = tuple(exceeded_limits(report, max_psi=max_psi, max_age=seconds))
    report = report.model_copy(update={"exceeded": exceeded})
    if prometheus is not None:
        from kg.io.files import write_text
        from recall.quality.monitor.metrics import exposition

        write_text(prometheus, exposition(report, folder))
    if as_json:
        print_json(report.to_json())
    else:
        from recall.cli.render.monitor import print_monitor

        print_monitor(report, console=screen())
    if any(state.problem for state in report.runs):
        raise typer.Exit(FAILED)
    if exceeded:
        raise typer.Exit(REFUSED)
