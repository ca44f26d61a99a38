"""The command line. Heavy libraries are imported by the command that needs them, so `--help` answers at once."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.errors import GraphRecallError, StoreError
from recall.cli import forget, refresh, runs
from recall.cli.common import FAILED, AsJson, exit_code_of, fail, ids_in, screen
from recall.cli.console import json_text, watch

if TYPE_CHECKING:
    from kg.cypher.query import CypherQuery
    from kg.stores.base import Store
    from kg.stores.neo4j.connection import Neo4jConnection
    from recall.serve.recommender import Recommender

app = typer.Typer(
    name="graphrecall",
    help="Candidates for recommendations from a knowledge graph, with the graph paths behind them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(refresh.refresh)
app.add_typer(runs.app)
app.command()(forget.forget)


class OnUnknown(StrEnum):
    """What to do with a user id that the graph does not hold."""

    RAISE = "raise"
    POPULAR = "popular"
    SKIP = "skip"


class TuneMetric(StrEnum):
    """Means over users that a tuning can look for."""

    NDCG = "ndcg"
    RECALL = "recall"
    PRECISION = "precision"
    F1 = "f1"
    HIT_RATE = "hit_rate"
    MRR = "mrr"
    MAP = "map"


class GraphFormat(StrEnum):
    """How a graph leaves the house."""

    PARQUET = "parquet"
    RDF = "rdf"
    GRAPHML = "graphml"


RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a link such as runs/current.")]
Count = Annotated[int, typer.Option("-k", min=1, max=10_000, help="Candidates per user or item.")]
Server = Annotated[
    str | None,
    typer.Option("--neo4j", metavar="URI", help="Address of the server; default: that of the configuration."),
]
Database = Annotated[str | None, typer.Option(help="Its database; default: the server's own default.")]
Account = Annotated[
    str | None, typer.Option("--user", help="Account there; its password is in NEO4J_PASSWORD. Default: neo4j.")
]
CandidateFile = Annotated[
    Path | None,
    typer.Option(
        "--candidates", exists=True, dir_okay=False, help="Rank only these items: a text file with an id a line."
    ),
]


@app.command()
def tune(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the deployment.")],
    trials: Annotated[
        int, typer.Option(min=1, help="Trials there shall be at the end; those of earlier calls for the same count.")
    ] = 20,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File for the best; default: CONFIG.tuned.toml beside CONFIG.")
    ] = None,
    metric: Annotated[
        TuneMetric | None, typer.Option(help="What to look for; default: as configured, else ndcg.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, max=1000, help="Its cut-off; default: as configured, else 20.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search the hyper-parameters on the validation part, and write the best as a configuration.

    The test part is never looked at. Killed, it goes on where it stopped when it is started again. The section tune of
    the configuration says what is searched, and between which values. Needs Optuna, which the extra "tune" installs.
    """
    from recall.tuning.tune import tune as run_tune

    try:
        with watch(quiet=as_json) as progress:
            result = run_tune(
                config,
                trials=trials,
                out=out,
                metric=None if metric is None else metric.value,
                k=k,
                progress=progress,
            )
    except KeyboardInterrupt:
        fail("interrupted; finished trials are kept, and the same command goes on where this one stopped", 130)
    if as_json:
        typer.echo(json_text(result.to_json()))
    else:
        from recall.cli.render.show import print_tune

        print_tune(result, console=screen())


@app.command()
def recommend(
    run: RunPath,
    user: Annotated[list[str] | None, typer.Option("--user", metavar="ID", help="May be repeated.")] = None,
    k: Count = 20,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, for the best candidate.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show what the user liked, too.")] = False,
    candidates: CandidateFile = None,
    on_unknown: Annotated[OnUnknown, typer.Option(help="What to do with unknown users.")] = OnUnknown.RAISE,
    all_users: Annotated[bool, typer.Option("--all-users", help="Everybody in the graph, to --out.")] = False,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Parquet file to write candidates to.")] = None,
    as_json: AsJson = False,
) -> None:
    """The best items for some users, or for all of them at once."""
    if bool(user) == all_users:
        raise typer.BadParameter("give --user ID (one or more), or --all-users", param_hint="--user")
    if all_users and out is None:
        raise typer.BadParameter("--all-users needs --out FILE.parquet", param_hint="--out")
    if all_users and (explain or history):
        raise typer.BadParameter("--explain and --history show single users", param_hint="--all-users")
    recommender = _load(run)
    allowed = None if candidates is None else _lines(candidates)
    if all_users:
        with watch(quiet=as_json) as progress:
            rows = recommender.recommend_all(k=k, out=str(out), candidates=allowed, progress=progress)
        facts = {"out": str(out), "users": len(recommender.graph.users), "rows": rows}
        if as_json:
            typer.echo(json_text(facts))
        else:
            screen().print(f"{facts['rows']:,} candidates for {facts['users']:,} users in {out}", markup=False)
        return
    users = _names(recommender, run, list(dict.fromkeys(user or [])))
    if out is not None:
        from kg.io.parquet import write_table

        found = recommender.recommend(users, k=k, candidates=allowed, on_unknown=on_unknown.value)
        write_table(found.table, out)
    if as_json:
        from recall.cli.render.show import user_data

        typer.echo(
            json_text(
                user_data(
                    recommender,
                    users,
                    k=k,
                    history=history,
                    explain=explain,
                    candidates=allowed,
                    on_unknown=on_unknown.value,
                )
            )
        )
        return
    from recall.cli.render.show import print_user

    for one in users:
        print_user(
            recommender,
            one,
            k=k,
            history=history,
            explain=explain,
            candidates=allowed,
            on_unknown=on_unknown.value,
            console=screen(),
        )


@app.command()
def similar(
    run: RunPath,
    item: Annotated[list[str], typer.Option("--item", metavar="ID", help="May be repeated.")],
    k: Count = 10,
    as_json: AsJson = False,
) -> None:
    """The items most like an item."""
    from recall.cli.render.show import print_similar, similar_data

    recommender = _load(run)
    if as_json:
        typer.echo(json_text(similar_data(recommender, item, k=k)))
    else:
        print_similar(recommender, item, k=k, console=screen())


@app.command()
def explain(
    run: RunPath,
    user: Annotated[str, typer.Option("--user", metavar="ID")],
    item: Annotated[str, typer.Option("--item", metavar="ID")],
    draw: Annotated[Path | None, typer.Option(dir_okay=False, help="Draw it: a file .svg or .png.")] = None,
    as_json: AsJson = False,
) -> None:
    """Why an item is a candidate for a user: exact shares of the score, and the paths that connect the two."""
    if draw is not None and draw.suffix.lower() not in (".svg", ".png"):
        raise typer.BadParameter(f"{draw} must end in .svg or .png", param_hint="--draw")
    from recall.cli.render.show import print_explanation

    recommender = _load(run)
    (user,) = _names(recommender, run, [user])
    (explanation,) = recommender.explain([(user, item)])
    if draw is not None:
        from recall.explain.drawing import draw_explanation

        draw_explanation(explanation, draw)
    if as_json:
        typer.echo(json_text(explanation.to_json()))
    else:
        print_explanation(explanation, console=screen())
        if draw is not None:
            screen().print(f"drawn to {draw}")


@app.command()
def evaluate(
    run: RunPath,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, max=1000, help="May be repeated.")] = None,
    baselines: Annotated[bool, typer.Option(help="Also fit and measure the baselines.")] = True,
    as_json: AsJson = False,
) -> None:
    """Test metrics at any k, from the stored evaluation model, which has seen the training part only."""
    from recall.quality.assess import evaluate_run
    from recall.runs.layout import RunLayout

    with watch(quiet=as_json) as progress:
        result = evaluate_run(RunLayout.open(run), ks=k, baselines=baselines, progress=progress)
    if as_json:
        typer.echo(json_text(result))
    else:
        from recall.cli.render.show import print_metrics

        print_metrics(result, console=screen())


@app.command()
def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="Folder to make; it must not exist yet.")],
    graph: Annotated[list[GraphFormat] | None, typer.Option(help="May be repeated; parquet by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Embeddings by id as Parquet, and the graph as Parquet, RDF or GraphML."""
    from recall.runs.layout import RunLayout
    from recall.serve.export import export_run

    with watch(quiet=as_json) as progress:
        files = export_run(
            RunLayout.open(run), out, formats=[f.value for f in graph or [GraphFormat.PARQUET]], progress=progress
        )
    if as_json:
        typer.echo(json_text({"out": str(out), "files": files}))
    else:
        from recall.cli.render.show import print_files

        print_files(out, files, console=screen())


@app.command()
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
    from ingest.builder import build_graph
    from ingest.settings import DataSettings
    from kg.stores.neo4j.write.load import load_into
    from recall.config.deployment import load_config

    settings = load_config(config)
    if settings.sources.neo4j is not None:
        raise typer.BadParameter(f"{config} itself reads from a Neo4j database", param_hint="CONFIG")
    connection = _connection(settings.neo4j, neo4j, database, user)
    with connection.open(base=settings.base) as store, watch(quiet=as_json) as progress:
        graph, _ = build_graph(
            DataSettings(graph=settings.graph, sources=settings.sources, quality=settings.quality),
            base=settings.base,
            progress=progress,
        )
        facts = load_into(store, graph, progress=progress)
    if as_json:
        typer.echo(json_text({"neo4j": store.name, **facts.to_json()}))
    else:
        from recall.cli.render.show import print_load

        print_load(store.name, facts, console=screen())


@app.command("write-back")
def write_back(
    run: RunPath,
    neo4j: Server = None,
    database: Database = None,
    user: Account = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, max=10_000, help="Candidates a user; default: as configured, else 100.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The candidates and vectors of a run into the Neo4j database that holds its graph.

    Readers see the results of the run before until all of it is there. Killed, it goes on when it is started again.
    """
    from recall.runs.layout import RunLayout
    from recall.serve.store import connection_of
    from recall.serve.write_back import configured, write_back_run

    folder = RunLayout.open(run)
    connection = _connection(connection_of(folder), neo4j, database, user)
    wanted, vectors = configured(folder)
    with connection.open(base=folder.path) as store, watch(quiet=as_json) as progress:
        facts = write_back_run(folder, store, k=k or wanted, vectors=vectors, progress=progress)
    if as_json:
        typer.echo(json_text({"neo4j": store.name, **facts.to_json()}))
    else:
        from recall.cli.render.show import print_write_back

        print_write_back(facts, console=screen())


@app.command()
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
    neo4j: Server = None,
    database: Database = None,
    user: Account = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Ask the database file of the run, also where the run has a server.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the graph of a run in Cypher; nothing can be changed by it.

    The query goes to the server of the run's configuration, or to the database file of the run, or to --neo4j.
    Interactions that were made of nodes in between or of queries are in the database file alone: --embedded.
    Without a query, those that are ready are listed.
    """
    from kg.stores.embedded.store import EmbeddedStore
    from recall.cli.render.show import print_ready, print_rows, ready_data, rows_data
    from recall.runs.layout import RunLayout
    from recall.serve.store import RunStore, connection_of, ready_queries_of

    if query is not None and ready is not None:
        raise typer.BadParameter("give a query or --ready, not both", param_hint="--ready")
    folder = RunLayout.open(run)
    connection = connection_of(folder)
    elsewhere = neo4j is not None or database is not None or user is not None
    if elsewhere and embedded:
        raise typer.BadParameter(
            "asks the run's own file: leave out --neo4j, --database and --user", param_hint="--embedded"
        )
    if embedded:
        connection = None
    elif elsewhere:
        connection = _connection(connection, neo4j, database, user)
    values = _parameters(param or [])
    if query is not None:
        asked: str | CypherQuery = query
    else:
        there = ready_queries_of(folder, on_neo4j=connection is not None)
        if ready is None:
            if as_json:
                typer.echo(json_text(ready_data(there)))
            else:
                print_ready(there, console=screen())
            return
        if ready not in there:
            raise typer.BadParameter(f"{ready!r} is none of {', '.join(there)}", param_hint="--ready")
        asked, values = there[ready].query(**values), {}
    store: Store
    if embedded:
        store = EmbeddedStore(folder.store)
    else:
        store = connection.open(base=folder.path) if connection is not None and elsewhere else RunStore(folder)
    try:
        rows = store.query(asked, values, timeout=timeout)
        if not rows and ready is not None and ready not in ready_queries_of(folder, on_neo4j=False):
            from kg.stores.neo4j.write.write_back import POINTER

            if not store.query(f"MATCH (p:{POINTER}) RETURN p LIMIT 1"):
                raise StoreError(f"{store.name} holds nothing that was written back: graphrecall write-back {run}")
    finally:
        store.close()
    if as_json:
        typer.echo(json_text({"rows": rows_data(rows)}))
    else:
        print_rows(rows, console=screen())


@app.command()
def doctor(
    runs_folder: Annotated[Path | None, typer.Option("--runs", help="A runs folder to look at, too.")] = None,
    text_model: Annotated[str | None, typer.Option(help="Name or folder of a text model to look for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Is this installation sound? Exits with 1 when something is broken."""
    from recall.cli.render.show import checks_data, print_checks
    from recall.ops.doctor import examine

    checks = examine(runs=runs_folder, text_model=text_model)
    if as_json:
        typer.echo(json_text(checks_data(checks)))
    else:
        print_checks(checks, console=screen())
    if any(check.status == "broken" for check in checks):
        raise typer.Exit(FAILED)


def _connection(
    configured: Neo4jConnection | None, uri: str | None, database: str | None, user: str | None
) -> Neo4jConnection:
    """The server of the command line, else that of the configuration."""
    from kg.stores.neo4j.connection import Neo4jConnection

    if uri is not None:
        return Neo4jConnection(uri=uri, database=database, user="neo4j" if user is None else user)
    if configured is None:
        raise typer.BadParameter("there is no section [neo4j] in the configuration: give --neo4j", param_hint="--neo4j")
    return replace(
        configured,
        database=configured.database if database is None else database,
        user=configured.user if user is None else user,
    )


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """The values of `--param NAME=VALUE` and `--param NAME:=JSON`."""
    values: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{one!r}: write NAME=VALUE, or NAME:=JSON", param_hint="--param")
        if name in values:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--param")
        try:
            values[name] = json.loads(value) if is_json else value
        except (ValueError, RecursionError) as error:
            raise typer.BadParameter(f"{one!r}: {value!r} is no JSON: {error}", param_hint="--param") from error
    return values


def _load(run: Path) -> Recommender:
    from recall.serve.recommender import Recommender

    return Recommender.load(run)


def _names(recommender: Recommender, run: Path, users: list[str]) -> list[str]:
    """Users as the run calls them; who is asked for by a pseudonym goes by that."""
    if (recommender.graph.users.index(users, missing="negative") >= 0).all():
        return users
    from recall.jobs.privacy import names_in_run

    there = set(recommender.graph.users.ids.to_pylist())
    return [user if user in there else name for user, name in zip(users, names_in_run(run, users), strict=True)]


def _lines(file: Path) -> list[str]:
    ids = ids_in(file, option="--candidates")
    if not ids:
        raise typer.BadParameter(f"{file} names no items", param_hint="--candidates")
    return ids


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; a user's mistake is one message on stderr, never a traceback."""
    # Imports and parsers make millions of objects that stay: walking them again and again took a tenth of a refresh.
    gc.set_threshold(100_000, 50, 100)
    # Without a handler Python prints what the driver warns of, which our errors say as well.
    logging.getLogger("neo4j").addHandler(logging.NullHandler())
    try:
        app(args=None if arguments is None else list(arguments), prog_name="graphrecall")
    except GraphRecallError as error:
        fail(str(error), exit_code_of(error))
    except MemoryError:
        fail("the memory is full: make model.dim, training.batch_size or training.negatives smaller", FAILED)
    except RuntimeError as error:
        from gnn.device import is_memory_full

        if not is_memory_full(error):
            raise
        fail("the memory is full: make model.dim, training.batch_size or training.negatives smaller", FAILED)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{place}", FAILED)
