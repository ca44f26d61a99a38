"""The command that refreshes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli_common import UNCHANGED, AsJson, fail, screen
from recall.console import json_text, watch

app = typer.Typer()


@app.command()
def refresh(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the deployment.")],
    full: Annotated[bool, typer.Option("--full", help="Build again, also when nothing changed.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Then show candidates and reasons for the [demo] user.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when nothing changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read, validate, build, encode, train, evaluate, index, publish.

    Exits with 0 when a run was published or nothing changed, 1 when it failed, 4 when the quality gate refused the
    run, 75 when another refresh is at work. A killed refresh goes on where it stopped when it is started again.

    Started by `torchrun --nproc-per-node N --no-python graphrecall refresh CONFIG.toml`, N processes share the
    trainings, each with some columns of the vectors; the first one does everything else.
    """
    from gnn.distributed import joined
    from recall.config import load_config
    from recall.refresh import refresh as run_refresh

    settings = load_config(config)
    if show and settings.demo.user is None:
        raise typer.BadParameter(f"{config} names no user under [demo]", param_hint="--show")
    try:
        with joined() as ranks:
            if not ranks.first:
                from gnn.trainer import assist

                assist(ranks)
                return
            with watch(quiet=as_json) as progress:
                result = run_refresh(settings, progress=progress, full=full, ranks=ranks)
    except KeyboardInterrupt:
        fail("interrupted; the run that serves is untouched, and the next refresh goes on where this one stopped", 130)
    if as_json:
        typer.echo(json_text(result.to_json()))
    else:
        from recall.show import print_refresh

        print_refresh(result, console=screen())
    if show and not as_json:
        from recall.recommender import Recommender
        from recall.show import print_user

        print_user(
            Recommender.load(result.run.path),
            str(settings.demo.user),
            k=10,
            history=True,
            explain=True,
            console=screen(),
        )
    if exit_code and result.status == "unchanged":
        raise typer.Exit(UNCHANGED)
