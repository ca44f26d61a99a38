"""The command that measures a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recall.cli.common import AsJson, RunPath
from recall.cli.console import print_json, shown_progress
from recall.cli.screen import screen


def evaluate(
    run: RunPath,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, max=1000, help="May be repeated.")] = None,
    baselines: Annotated[bool, typer.Option(help="Also fit and measure the baselines.")] = True,
    sample_users: Annotated[
        int | None,
        typer.Option(min=0, help="Users ranked for, at most; 0: all. Default: evaluation.sample_users of the run."),
    ] = None,
    explanations: Annotated[
        bool, typer.Option("--explanations", help="Measure the paths behind what the run serves, instead.")
    ] = False,
    users: Annotated[int, typer.Option(min=1, help="With --explanations: users asked, drawn by a seed.")] = 200,
    refits: Annotated[
        int, typer.Option(min=0, help="With --explanations: pairs fitted again without their largest paths.")
    ] = 20,
    plot: Annotated[Path | None, typer.Option(help="With --explanations: draw the curves, to .png or .svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Test metrics at any k, from the stored evaluation model, which has seen the training part only.

    With --explanations: whether the paths given as reasons exist, what they carry of the scores, how recent, popular
    and different they are, and what becomes of a score without them.
    """
    from recall.quality.assess import evaluate_run
    from recall.runs.layout import RunLayout

    if explanations:
        ks = k or [10]
        if len(ks) > 1:
            raise typer.BadParameter("is one number with --explanations", param_hint="-k")
        _explanations(run, users=users, k=ks[0], refits=refits, plot=plot, as_json=as_json)
        return
    if plot is not None:
        raise typer.BadParameter("draws the measures of --explanations", param_hint="--plot")
    with shown_progress(quiet=as_json) as progress:
        folder = RunLayout.open(run)
        result = evaluate_run(folder, ks=k, baselines=baselines, sample_users=sample_users, progress=progress)
    if as_json:
        print_json({"run": folder.name, **result.to_json()})
    else:
        from recall.cli.render.metrics import print_metrics

        print_metrics(result, console=screen())


def _explanations(run: Path, *, users: int, k: int, refits: int, plot: Path | None, as_json: bool) -> None:
    from recall.quality.paths import assess_run_paths, check_plot, plot_paths
    from recall.runs.layout import RunLayout

    if plot is not None:
        check_plot(plot)
    with shown_progress(quiet=as_json) as progress:
        folder = RunLayout.open(run)
        report = assess_run_paths(folder, users=users, k=k, refits=refits, progress=progress)
    if plot is not None:
        plot_paths(report, plot)
    if as_json:
        print_json({"run": folder.name, **report.to_json()})
    else:
        from recall.cli.render.paths import print_paths

        print_paths(report, console=screen())
