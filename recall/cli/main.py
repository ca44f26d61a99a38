"""The command line: assembles the commands, and turns errors into one message and an exit code.

Heavy libraries are imported inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from kg.errors import GraphRecallError
from kg.settings.secrets import masked_text
from recall.cli import config
from recall.cli.batch import batch
from recall.cli.check import check
from recall.cli.common import FAILED, USAGE, CommandError, error_data, exit_code_of
from recall.cli.compare import compare
from recall.cli.console import print_json
from recall.cli.doctor import doctor
from recall.cli.evaluate import evaluate
from recall.cli.export import export
from recall.cli.feedback import feedback
from recall.cli.forget import forget
from recall.cli.init import init
from recall.cli.monitor import monitor
from recall.cli.recommend import explain, recommend, score, similar
from recall.cli.refresh import refresh
from recall.cli.runs import accept, rollback, runs
from recall.cli.screen import error_screen
from recall.cli.serve import mcp, serve
from recall.cli.stores import cypher, load, write_back
from recall.cli.tune import tune


def _print_version(wanted: bool) -> None:
    if wanted:
        from kg import __version__

        typer.echo(f"graphrecall {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="graphrecall",
    help="Candidates for recommendations from a knowledge graph, with the graph paths behind them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _command in (
    *(init, check, refresh, runs, monitor, accept, rollback, forget, tune),
    *(recommend, similar, score, explain, feedback, evaluate, compare, export, batch, serve, mcp),
    *(load, write_back, cypher, doctor),
):
    app.command()(_command)
app.add_typer(config.app, name="config")

MEMORY_FULL = "the memory is full: make dim of the trained channel, or batch_size or negatives of its training, smaller"


# Typer carries a Click of its own, whose base class of errors it does not export.
USAGE_ERRORS: Any = tuple(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; a user's mistake is one message on stderr, never a traceback.

    With `--json` the message is on stdout as well, as {"error": message, "exit_code": code}, where a command that
    succeeds prints its result.
    """
    # Imports and parsers make millions of objects that stay: walking them again and again took a tenth of a refresh.
    gc.set_threshold(100_000, 50, 100)
    # Without a handler Python prints what the driver warns of, which our errors say as well.
    logging.getLogger("neo4j").addHandler(logging.NullHandler())
    words = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in words
    try:
        # With --json the errors of usage are to be caught here; without, typer shows them best.
        code = app(args=words, prog_name="graphrecall", standalone_mode=not as_json)
    except CommandError as error:
        _end(error.message, error.code, as_json)
    except GraphRecallError as error:
        _end(str(error), exit_code_of(error), as_json)
    except USAGE_ERRORS as error:
        _end(error.format_message(), USAGE, as_json)
    except MemoryError:
        _end(MEMORY_FULL, FAILED, as_json)
    except RuntimeError as error:
        from gnn.device import is_memory_full

        if not is_memory_full(error):
            raise
        _end(MEMORY_FULL, FAILED, as_json)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        _end(f"{error.strerror or error}{place}", FAILED, as_json)
    if code:
        sys.exit(code)


def _end(message: str, code: int, as_json: bool) -> NoReturn:
    message = masked_text(message)
    error_screen().print(f"error: {message}")
    if as_json:
        print_json(error_data(message, code))
    sys.exit(code)
