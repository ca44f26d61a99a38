"""The commands that answer until they are stopped: over HTTP, and for assistants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kg.errors import ConfigError
from recall.cli.common import RunsPath, run_in

if TYPE_CHECKING:
    from recall.config.service import ServiceSettings

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration whose section `service` counts."),
]


def serve(
    runs: RunsPath,
    config: Config = None,
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
    try:
        from recall.service.server import read_api_key, serve
    except ImportError as error:
        raise _missing(error, "'fastapi>=0.115' 'uvicorn>=0.34'") from error
    settings, base = _settings(config)
    given = {"host": host, "port": port, "workers": workers, "cypher": cypher or None}
    settings = settings.changed(**{name: value for name, value in given.items() if value is not None})
    serve(run_in(runs), settings, api_key=read_api_key(settings, base))


def mcp(runs: RunsPath, config: Config = None) -> None:
    """Answer assistants on standard input and output, by the Model Context Protocol; nothing can be changed by it.

    Tools: search, recommend, similar, explain, item, history.
    """
    try:
        from recall.service.tools import serve_tools
    except ImportError as error:
        raise _missing(error, "'mcp>=2'") from error
    settings, _ = _settings(config)
    serve_tools(run_in(runs), settings.limits, reload_every=settings.reload_every)


def _settings(config: Path | None) -> tuple[ServiceSettings, Path]:
    """The section `service`, and the folder that its paths are relative to."""
    from recall.config.deployment import load_config
    from recall.config.service import ServiceSettings

    if config is None:
        return ServiceSettings(), Path.cwd()
    return load_config(config).service, config.resolve().parent


def _missing(error: ImportError, packages: str) -> ConfigError:
    return ConfigError(f"serving needs the package {error.name}, which is not installed: pip install {packages}")
