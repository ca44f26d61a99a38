"""The command that measures a run."""

from __future__ import annotations

from typing import Annotated

import typer

from recall.cli.common import AsJson, RunPath
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


def evaluate(
    run: RunPath,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, max=1000, help="May be repeated.")] = None,
    baselines: Annotated[bool, typer.Option(help="Also fit and measure the baselines.")] = True,
    as_json: AsJson = False,
) -> None:
    """Test metrics at any k, from the stored evaluation model, which has seen the training part only."""
    from recall.quality.assess import evaluate_run
    from recall.runs.layout import RunLayout

    with shown_progress(quiet=as_json) as progress:
        folder = RunLayout.open(run)
        result = evaluate_run(folder, ks=k, baselines=baselines, progress=progress)
    if as_json:
        print_json({"run": folder.name, **result.to_json()})
    else:
        from recall.cli.render.metrics import print_metrics

        print_metrics(result, console=screen())
