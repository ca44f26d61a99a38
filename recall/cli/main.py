"""The command line: assembles the commands, and turns errors into one message and an exit code.

Heavy libraries are imported inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

import typer

from kg.errors import GraphRecallError
from recall.cli import config
from recall.cli.check import check
from recall.cli.common import FAILED, exit_code_of, fail
from recall.cli.doctor import doctor
from recall.cli.evaluate import evaluate
from recall.cli.export import export
from recall.cli.forget import forget
from recall.cli.init import init
from recall.cli.recommend import explain, recommend, similar
from recall.cli.refresh import refresh
from recall.cli.runs import accept, rollback, runs
from recall.cli.stores import cypher, load, write_back
from recall.cli.tune import tune

app = typer.Typer(
    name="graphrecall",
    help="Candidates for recommendations from a knowledge graph, with the graph paths behind them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _command in (
    *(init, check, refresh, runs, accept, rollback, forget, tune),
    *(recommend, similar, explain, evaluate, export),
    *(load, write_back, cypher, doctor),
):
    app.command()(_command)
app.add_typer(config.app, name="config")

MEMORY_FULL = "the memory is full: make dim of the trained channel, or batch_size or negatives of its training, smaller"


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
        fail(MEMORY_FULL, FAILED)
    except RuntimeError as error:
        from gnn.device import is_memory_full

        if not is_memory_full(error):
            raise
        fail(MEMORY_FULL, FAILED)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{place}", FAILED)
