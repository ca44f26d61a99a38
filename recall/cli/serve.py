"""The command that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kg.errors import ConfigError


def serve(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="The runs folder, a run's folder, or a link such as runs/current.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", exists=True, dir_okay=False, help="Configuration whose section `service` counts."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: this machine only.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Default: 8000; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; default: 1.")] = None,
    cypher: Annotated[
        bool, typer.Option("--cypher", help="Answer queries in Cypher, too; only reading ones are let through.")
    ] = False,
) -> None:
    """Answer over HTTP from the run that serves, and follow it when another one begins to.

    The log is JSON on stderr. A key that requests must carry is read from the variable GRAPHRECALL_API_KEY.
    """
    from recall.config.deployment import load_config
    from recall.config.service import ServiceSettings
    from recall.runs.layout import CURRENT, RunLayout

    try:
        from recall.service.server import read_api_key, serve
    except ImportError as error:
        raise ConfigError(
            f"serving needs the package {error.name}, which is not installed: pip install 'fastapi>=0.115' "
            "'uvicorn>=0.34'"
        ) from error

    base = Path.cwd() if config is None else config.resolve().parent
    settings = ServiceSettings() if config is None else load_config(config).service
    given = {"host": host, "port": port, "workers": workers, "cypher": cypher or None}
    settings = settings.changed(**{name: value for name, value in given.items() if value is not None})
    run = runs / CURRENT if (runs / CURRENT).is_symlink() else runs
    RunLayout.open(run)
    serve(run, settings, api_key=read_api_key(settings, base))
