"""The measures of paths as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import table

if TYPE_CHECKING:
    from recall.quality.paths.report import PathReport


def print_paths(report: PathReport, *, console: Console) -> None:
    """What the paths of a run are, and what they carry."""
    console.print(
        Text(
            f"{report.paths:,} paths of {report.channel} behind {report.pairs:,} candidates of {report.users:,} users; "
            f"{report.valid:.2%} of them exist in the graph",
            style="bold",
        )
    )
    shares = table(
        "the largest", "sentences", "single paths", right=("sentences", "single paths"), title="Part of the score"
    )
    for count, share in report.sentences.items():
        shares.add_row(str(count), f"{share:.1%}", f"{report.single[count]:.1%}")
    shares.add_row("all", f"{report.by_paths:.1%}", f"{report.by_paths:.1%}")
    console.print(shares)
    names = ("LIR", "SEP", "ETD", "part of the score")
    dials = table("dial", "toward", *names, right=("dial", *names), title="First path of each candidate")
    for entry in report.selections:
        measured = (f"{value:.3f}" for value in (entry.lir, entry.sep, entry.etd, entry.share))
        dials.add_row(f"{entry.dial:g}", entry.toward, *measured)
    console.print(dials)
    types = table("type of step", "largest path of", right=("largest path of",))
    for name, part in report.types.items():
        types.add_row(name, f"{part:.1%}")
    console.print(types)
    if report.deletions:
        columns = ("degrees held", "fitted again", "rank correlation", "pairs")
        deleted = table(
            "paths deleted", *columns, right=columns, title="Part of the score that goes with the largest paths"
        )
        for lost in report.deletions:
            again = "" if lost.refitted is None else f"{lost.refitted:.1%}"
            correlation = "" if lost.correlation is None else f"{lost.correlation:.2f}"
            deleted.add_row(str(lost.paths), f"{lost.held:.1%}", again, correlation, f"{lost.pairs:,}")
        console.print(deleted)
    if report.perturbations:
        columns = ("score, by share", "score, at random", "listed, by share", "listed, at random")
        left = table("items gone", *columns, right=columns, title="What is left as the history goes")
        for step in report.perturbations:
            values = (step.by_share, step.random, step.listed_by_share, step.listed_random)
            left.add_row(str(step.removed), *(f"{value:.1%}" for value in values))
        console.print(left)
