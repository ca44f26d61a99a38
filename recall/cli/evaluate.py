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
    html: Annotated[Path | None, typer.Option(help="Also write tables and plots as a page, to this file.")] = None,
    calibrate_by: Annotated[
        str | None,
        typer.Option(
            metavar="RELATION",
            help="Classes of items by which lists are compared with histories: a relation, or popularity.",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that rank. Default: one a core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Each channel and what it serves on the test part, at any k up to 1000, with models that have not seen it.

    Accuracy, coverage, novelty and calibration by group of users with bootstrap intervals, how alike the channels are,
    and what each adds; --html and --json have all of it.

    With --explanations: whether the paths given as reasons exist, what they carry of the scores, how recent, popular
    and different they are, and what becomes of a score without them.
    """
    from recall.quality.stage.evaluate import evaluate_run
    from recall.runs.layout import RunLayout

    if explanations:
        if html is not None:
            raise typer.BadParameter(
                "is a page of the metrics, which --explanations does not measure", param_hint="--html"
            )
        ks = k or [10]
        if len(ks) > 1:
            raise typer.BadParameter("is one number with --explanations", param_hint="-k")
        _explanations(run, users=users, k=ks[0], refits=refits, plot=plot, as_json=as_json)
        return
    if plot is not None:
        raise typer.BadParameter("draws the measures of --explanations", param_hint="--plot")
    if html is not None and html.suffix != ".html":
        raise typer.BadParameter(f"{html} must end in .html", param_hint="--html")
    with shown_progress(quiet=as_json) as progress:
        folder = RunLayout.open(run)
        result = evaluate_run(
            folder,
            ks=k,
            baselines=baselines,
            sample_users=sample_users,
            calibrate_by=calibrate_by,
            workers=workers,
            progress=progress,
        )
    if html is not None:
        from kg.io.files import write_text
        from recall.quality.stage.page import render

        write_text(html, render(result))
    if as_json:
        print_json(result.to_json())
    else:
        from recall.cli.render.stage import print_stage

        print_stage(result, console=screen())


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
