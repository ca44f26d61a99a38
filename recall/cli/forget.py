"""The command that forgets users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kg.errors import UnknownIdError
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
    force: Annotated[bool, typer.Option("--force", help="Put users on the list also where no run names them.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take users off the list: the next refresh lets them in again.")
    ] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="Then build anew, so that the weights forget, too; needs CONFIG.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="For processes that read a run which has to go.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Take users out of the runs, caches, logs and reports, and out of what was written back to Neo4j.

    Users whom no run names are refused, for a typing error would make every run anew; --force puts them on the list.

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
    if undo and (refit or force or not ids):
        raise typer.BadParameter("--undo takes --user or --users, and neither --force nor --refit", param_hint="--undo")
    if undo:
        _undo(runs, ids, config, as_json=as_json)
        return
    try:
        with shown_progress(quiet=as_json) as progress:
            result = forget_users(runs, ids, config=config, force=force, patience=wait, progress=progress)
    except UnknownIdError as error:
        raise error.advised("--force puts them on the list all the same, so that no refresh lets them in") from error
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


def _undo(runs: RunsFolder, ids: list[str], config: RefreshConfig | None, *, as_json: bool) -> None:
    from recall.jobs.forget_list import take_off_list

    left = take_off_list(runs, ids, config=config)
    if as_json:
        print_json({"status": "off the list", "users": len(set(ids)), "on_list": left})
    else:
        screen().print(f"{len(set(ids)):,} taken off the list, {left:,} on it: the next refresh lets them in again")


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
