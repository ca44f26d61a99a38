"""The command that searches hyper-parameters."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import AsJson, fail
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


class TuneMetric(StrEnum):
    """Metrics, as means over users, that a search can maximise."""

    NDCG = "ndcg"
    RECALL = "recall"
    PRECISION = "precision"
    F1 = "f1"
    HIT_RATE = "hit_rate"
    MRR = "mrr"
    MAP = "map"


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

    metric_name = None if metric is None else metric.value
    try:
        with shown_progress(quiet=as_json, stages=True) as progress:
            result = run_tune(config, trials=trials, out=out, metric=metric_name, k=k, progress=progress)
    except KeyboardInterrupt:
        fail("interrupted; finished trials are kept, and the same command goes on where this one stopped", 130)
    if as_json:
        print_json(result.to_json())
    else:
        from recall.cli.render.tune import print_tune

        print_tune(result, console=screen())
