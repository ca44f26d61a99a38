"""The command that forgets users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recall.cli.common import FAILED, AsJson, ids_in
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen

if TYPE_CHECKING:
    from recall.config.deployment import RefreshConfig
    from recall.runs.registry import RunsFolder


def forget(
    where: Annotated[
        Path, typer.Argument(metavar="CONFIG|RUNS", help="TOML file of the deployment, or its runs folder.")
    ],
    user: Annotated[list[str] | None, typer.Option("--user", metavar="ID", help="May be repeated.")] = None,
    users: Annotated[
        Path | None, typer.Option("--users", exists=True, dir_okay=False, help="A text file with an id a line.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Then build anew, so that the weights forget, too; needs CONFIG.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="For processes that read a run which has to go.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Take users out of the runs, caches, logs and reports, and out of what was written back to Neo4j.

    A list of keyed hashes keeps the sources from bringing them in again. Runs that name them are made again under new
    names, and the old ones removed. Without --user it finishes what an earlier call left undone; so does a refresh.

    What it does not reach: the sources, exports and candidates written elsewhere, backups, processes that have an old
    run in memory until they load the new one, and a graph that `graphrecall load` wrote into a database.

    Exits with 0 when nothing is left, 1 when a process still reads a run that has to go, 75 when a refresh or a tuning
    is at work.
    """
    from recall.cli.render.forget import print_forgotten
    from recall.jobs.forget import forget as forget_users

    runs, config = _deployment(where)
    if refit and config is None:
        raise typer.BadParameter(f"{where} is a runs folder: --refit needs the CONFIG", param_hint="--refit")
    ids = [*(user or []), *([] if users is None else ids_in(users, option="--users"))]
    with shown_progress(quiet=as_json) as progress:
        result = forget_users(runs, ids, config=config, patience=wait, progress=progress)
    report = result.to_json()
    if not as_json:
        print_forgotten(result, refit=refit, console=screen())
    if refit and config is not None:
        from recall.jobs.reporting import reported_refresh

        with shown_progress(quiet=as_json) as progress:
            refit_result = reported_refresh(config, progress=progress, full=True)
        refit_run = refit_result.run
        report["refit"] = {"status": refit_result.status, "run": None if refit_run is None else refit_run.name}
        if not as_json:
            from recall.cli.render.refresh import print_refresh

            print_refresh(refit_result, console=screen())
    if as_json:
        print_json(report)
    if not result.done:
        raise typer.Exit(FAILED)


def _deployment(where: Path) -> tuple[RunsFolder, RefreshConfig | None]:
    from recall.config.deployment import load_config
    from recall.runs.layout import RunLayout
    from recall.runs.registry import RunsFolder

    if not where.is_dir():
        config = load_config(where)
        return RunsFolder(config.runs_folder), config
    if where.name == "current" or (where / "MANIFEST.json").is_file():
        return RunsFolder(RunLayout.open(where).path.parent), None
    return RunsFolder(where.resolve()), None
