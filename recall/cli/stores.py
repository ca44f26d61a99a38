"""Commands about graph stores: load a graph into Neo4j, write results back, ask a query in Cypher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.errors import StoreError
from recall.cli.common import AsJson, RunPath
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen

if TYPE_CHECKING:
    from kg.cypher.ready import ReadyQuery
    from kg.stores.base import Store
    from kg.stores.neo4j.connection import Neo4jConnection

Server = Annotated[
    str | None,
    typer.Option("--neo4j", metavar="URI", help="Address of the server; default: that of the configuration."),
]
Deployment = Annotated[
    Path | None,
    typer.Option("--config", metavar="CONFIG", help="TOML file of the deployment, whose section neo4j has the server."),
]
Database = Annotated[str | None, typer.Option(help="Its database; default: the server's own default.")]
Account = Annotated[
    str | None, typer.Option("--user", help="Account there; its password is in NEO4J_PASSWORD. Default: neo4j.")
]


def load(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file of a deployment whose sources are files.")
    ],
    neo4j: Server = None,
    database: Database = None,
    user: Account = None,
    as_json: AsJson = False,
) -> None:
    """The graph of a configuration into an empty Neo4j database, without any training.

    Killed, it goes on where it stopped when it is started again; finished, it changes nothing.
    """
    from ingest.build import build_graph
    from ingest.settings import DataSettings
    from kg.stores.neo4j.write.load import load_into
    from recall.config.deployment import load_config

    settings = load_config(config)
    if settings.sources.neo4j is not None:
        raise typer.BadParameter(f"{config} itself reads from a Neo4j database", param_hint="CONFIG")
    connection = _connection(settings.neo4j, neo4j, database, user)
    with connection.open(base=settings.base) as store, shown_progress(quiet=as_json) as progress:
        graph, _ = build_graph(
            DataSettings(graph=settings.graph, sources=settings.sources, quality=settings.quality),
            base=settings.base,
            progress=progress,
        )
        facts = load_into(store, graph, progress=progress)
    if as_json:
        print_json({"neo4j": store.name, **facts.to_json()})
    else:
        from recall.cli.render.stores import print_load

        print_load(store.name, facts, console=screen())


def write_back(
    run: RunPath,
    config: Deployment = None,
    neo4j: Server = None,
    database: Database = None,
    user: Account = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, max=10_000, help="Candidates a user; default: as configured, else 100.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The candidates and vectors of a run into the Neo4j database that holds its graph.

    The server is that of --config or --neo4j, never one that the run names. Readers see the results of the run before
    until all of it is there. Killed, it goes on when it is started again.
    """
    from recall.runs.layout import RunLayout
    from recall.serve.write_back import configured, write_back_run

    folder = RunLayout.open(run)
    connection = _connection(_configured(config), neo4j, database, user)
    configured_k, vectors = configured(folder)
    with connection.open() as store, shown_progress(quiet=as_json) as progress:
        facts = write_back_run(folder, store, k=k or configured_k, vectors=vectors, progress=progress)
    if as_json:
        print_json({"neo4j": store.name, **facts.to_json()})
    else:
        from recall.cli.render.stores import print_write_back

        print_write_back(facts, console=screen())


def cypher(
    run: RunPath,
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="Cypher that only reads.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="Value of $NAME, a text; NAME:=VALUE is JSON, such as count:=5. May be repeated.",
        ),
    ] = None,
    ready: Annotated[
        str | None, typer.Option("--ready", metavar="NAME", help="Ask a ready query; without a QUERY they are listed.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds that the query may take.")] = None,
    config: Deployment = None,
    neo4j: Server = None,
    database: Database = None,
    user: Account = None,
    as_json: AsJson = False,
) -> None:
    """Ask the graph of a run in Cypher; nothing can be changed by it.

    The query goes to the database file of the run, or to the server of --config or --neo4j, never to one that the run
    names. Interactions that were made of nodes in between or of queries are in the database file alone. Without a
    query, those that are ready are listed.
    """
    from recall.cli.render.cypher import print_rows, rows_data
    from recall.runs.layout import RunLayout
    from recall.serve.store import RunStore, ready_queries_of

    if query is not None and ready is not None:
        raise typer.BadParameter("give a query or --ready, not both", param_hint="--ready")
    has_server = not (config is None and neo4j is None and database is None and user is None)
    folder = RunLayout.open(run)
    connection = _connection(_configured(config), neo4j, database, user) if has_server else None
    parameters = _parameters(param or [])
    if query is None:
        ready_queries = ready_queries_of(folder, on_neo4j=has_server)
        if ready is None:
            _list_ready(ready_queries, as_json=as_json)
            return
        if ready not in ready_queries:
            raise typer.BadParameter(f"{ready!r} is none of {', '.join(ready_queries)}", param_hint="--ready")
    opened: Store = RunStore(folder) if connection is None else connection.open()
    with closing(opened) as store:
        if query is not None:
            rows = store.query(query, parameters, timeout=timeout)
        else:
            rows = store.query(ready_queries[str(ready)].query(**parameters), timeout=timeout)
            if not rows and ready not in ready_queries_of(folder, on_neo4j=False):
                _check_written_back(store, run)
    if as_json:
        print_json({"rows": rows_data(rows)})
    else:
        print_rows(rows, console=screen())


def _list_ready(queries: Mapping[str, ReadyQuery], *, as_json: bool) -> None:
    from recall.cli.render.cypher import print_ready, ready_data

    if as_json:
        print_json(ready_data(queries))
    else:
        print_ready(queries, console=screen())


def _check_written_back(store: Store, run: Path) -> None:
    """Raise a StoreError when a database has no results of any run, which a query about results needs."""
    from kg.stores.neo4j.write.write_back import POINTER

    if not store.query(f"MATCH (p:{POINTER}) RETURN p LIMIT 1"):
        raise StoreError(f"{store.name} holds nothing that was written back: graphrecall write-back {run}")


def _configured(config: Path | None) -> Neo4jConnection | None:
    """The server of a deployment's configuration, with the place of its password file."""
    from recall.config.deployment import load_config

    return None if config is None else load_config(config).neo4j


def _connection(
    configured: Neo4jConnection | None, uri: str | None, database: str | None, user: str | None
) -> Neo4jConnection:
    """The server that the command line names, else that of the configuration."""
    from kg.stores.neo4j.connection import Neo4jConnection

    if uri is not None:
        return Neo4jConnection(uri=uri, database=database, user="neo4j" if user is None else user)
    if configured is None:
        raise typer.BadParameter(
            "which server? give its address, or a CONFIG with a section [neo4j]", param_hint="--neo4j"
        )
    return configured.changed(
        database=configured.database if database is None else database,
        user=configured.user if user is None else user,
    )


def _parameters(options: Sequence[str]) -> dict[str, Any]:
    """The values of `--param NAME=VALUE` and `--param NAME:=JSON`."""
    values: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{option!r}: write NAME=VALUE, or NAME:=JSON", param_hint="--param")
        if name in values:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--param")
        try:
            values[name] = json.loads(value) if is_json else value
        except (ValueError, RecursionError) as error:
            raise typer.BadParameter(f"{option!r}: {value!r} is no JSON: {error}", param_hint="--param") from error
    return values
