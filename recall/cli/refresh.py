"""The command that refreshes, once or on a schedule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kg.errors import ConfigError
from recall.cli.common import REFUSED, UNCHANGED, AsJson, error_data, exit_code_of, fail
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen

if TYPE_CHECKING:
    from gnn.distributed import Ranks
    from kg.progress import Progress
    from recall.config.deployment import RefreshConfig
    from recall.jobs.refresh import RefreshResult


def refresh(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the deployment.")],
    full: Annotated[bool, typer.Option("--full", help="Build again, also when nothing changed.")] = False,
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Again and again at this distance, such as 6h or 30m; needs APScheduler."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Then show candidates and reasons for the user in the section demo.")
    ] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when nothing changed.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and why; nothing is written.")
    ] = False,
    log: Annotated[
        bool, typer.Option("--log", help="In place of bars and tables, log to stderr: a JSON object a line.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read, validate, build, encode, train, evaluate, index, publish.

    Exits with 0 when a run was published or nothing changed, 1 when it failed, 4 when the quality gate refused the
    run, 75 when another refresh is at work. A killed refresh goes on where it stopped when it is started again;
    SIGTERM stops it at once (143), and so do Ctrl+C (130) and a closed terminal (129).

    With --every, each refresh is a process of its own, never two at a time; those that were missed are folded into
    one. SIGTERM stops the refresh at work, and then the schedule, which exits with 0.

    Started by `torchrun --nproc-per-node N --no-python graphrecall refresh CONFIG.toml`, N processes share the
    trainings, each with some columns of the vectors; the first one does everything else.
    """
    if every is not None:
        if show or exit_code or dry_run:
            raise typer.BadParameter("--show, --exit-code and --dry-run are for a single refresh", param_hint="--every")
        flags = {"--full": full, "--log": log, "--json": as_json}
        _refresh_on_schedule(config, every, [name for name, is_set in flags.items() if is_set], log=log)
        return
    from recall.config.deployment import load_config

    settings = load_config(config)
    if show and settings.demo.user is None:
        raise typer.BadParameter(f"{config} names no user under [demo]", param_hint="--show")
    if dry_run:
        if show:
            raise typer.BadParameter("there is nothing to --show after a --dry-run", param_hint="--dry-run")
        _print_dry_run(settings, full=full, exit_code=exit_code, quiet=as_json)
        return
    result = _refresh_once(settings, full=full, log=log, quiet=as_json)
    if result is None:
        return
    if as_json:
        print_json(result.to_json())
    elif not log:
        from recall.cli.render.refresh import print_refresh

        print_refresh(result, console=screen())
    if show and not as_json and not log and result.run is not None:
        from recall.cli.render.candidates import print_user
        from recall.jobs.privacy import names_in_run
        from recall.serve.recommender import Recommender

        print_user(
            Recommender.load(result.run.path),
            *names_in_run(result.run, [str(settings.demo.user)]),
            k=10,
            history=True,
            explain=True,
            console=screen(),
        )
    if result.status == "rejected":
        raise typer.Exit(REFUSED)
    if exit_code and result.status == "unchanged":
        raise typer.Exit(UNCHANGED)


def _print_dry_run(settings: RefreshConfig, *, full: bool, exit_code: bool, quiet: bool) -> None:
    from recall.cli.render.refresh import print_dry_run
    from recall.jobs.dry_run import dry_run

    with shown_progress(quiet=quiet) as progress:
        result = dry_run(settings, progress=progress, full=full)
    if quiet:
        print_json(result.to_json())
    else:
        print_dry_run(result, console=screen())
    if exit_code and result.action == "unchanged":
        raise typer.Exit(UNCHANGED)


def _refresh_once(settings: RefreshConfig, *, full: bool, log: bool, quiet: bool) -> RefreshResult | None:
    """One refresh; None in a process that only took part in the training of another one."""
    from recall.jobs.reporting import Stopped, reported_refresh, stoppable

    try:
        with stoppable(), _joined() as ranks, _progress(log=log, quiet=quiet) as progress:
            if ranks is not None and not ranks.first:
                from gnn.workers import run_worker

                run_worker(ranks)
                return None
            return reported_refresh(settings, progress=progress, full=full, ranks=ranks)
    except KeyboardInterrupt as error:
        code = 128 + error.args[0] if isinstance(error, Stopped) else 130
        message = "interrupted; the run that serves is untouched, and the next refresh goes on where this one stopped"
        if log:
            raise _logged(message, code, quiet) from error
        fail(message, code)
    except Exception as error:
        if log:  # the log holds the summary; a line that is no JSON would break its readers
            raise _logged(str(error), exit_code_of(error), quiet) from error
        raise


def _logged(message: str, code: int, as_json: bool) -> typer.Exit:
    """The end of a refresh whose log says why it failed; with `--json` stdout says it as well."""
    if as_json:
        print_json(error_data(message, code))
    return typer.Exit(code)


@contextmanager
def _joined() -> Iterator[Ranks | None]:
    """The ranks that torchrun started; None without torchrun, found out without importing torch."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # as torch.distributed.is_torchelastic_launched
        yield None
        return
    from gnn.distributed import process_group

    with process_group() as ranks:
        yield ranks


@contextmanager
def _progress(*, log: bool, quiet: bool) -> Iterator[Progress]:
    if log:
        from recall.ops.logs import json_log

        with json_log() as progress:
            yield progress
    else:
        with shown_progress(quiet=quiet, stages=True) as progress:
            yield progress


def _refresh_on_schedule(config: Path, every: str, options: list[str], *, log: bool) -> None:
    from recall.jobs.schedule import Schedule, check_config, parse_interval, refresh_command

    try:
        interval = parse_interval(every)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from error
    check_config(config)  # report a wrong config now, not at the first refresh at night
    schedule = Schedule(refresh_command([str(config.resolve()), *options]), interval)
    if log:
        from recall.ops.logs import json_log

        with json_log():
            schedule.run()
    else:
        schedule.run()
