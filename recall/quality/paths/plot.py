"""The measures of paths as curves."""

from __future__ import annotations

from pathlib import Path

from kg.errors import ConfigError
from recall.quality.paths.report import PathReport

FORMATS = (".png", ".svg", ".pdf")


def plot_paths(report: PathReport, file: Path) -> None:
    """Draw what the dial trades, and what is left of a score as its history is taken away.

    Args:
        report: the measures.
        file: where to; its ending says the format, such as .png or .svg.

    Raises:
        ConfigError: the ending is of no format that can be drawn.
    """
    from matplotlib.figure import Figure

    check_plot(file)
    figure = Figure(figsize=(10, 4), layout="constrained")
    dial, left = figure.subplots(1, 2)
    selections = [entry for entry in report.selections if entry.toward == "all"]
    dials = [entry.dial for entry in selections]
    for name, label in (("share", "share of the score"), ("lir", "LIR"), ("sep", "SEP"), ("etd", "ETD")):
        dial.plot(dials, [getattr(entry, name) for entry in selections], marker="o", label=label)
    dial.set(xlabel="dial", ylabel="first path of each candidate", ylim=(0, 1.02))
    dial.legend()
    removed = [entry.removed for entry in report.perturbations]
    for name, label in (
        ("by_share", "score, largest shares first"),
        ("random", "score, random order"),
        ("listed_by_share", "still a candidate, largest shares first"),
        ("listed_random", "still a candidate, random order"),
    ):
        style = "-" if "share" in name else "--"
        left.plot(removed, [getattr(entry, name) for entry in report.perturbations], style, marker="o", label=label)
    left.set(xlabel="items of the history taken away", ylabel="left", ylim=(0, 1.02))
    left.legend()
    figure.savefig(file)


def check_plot(file: Path) -> None:
    """Refuse a file that nothing can be drawn to, before there is work.

    Raises:
        ConfigError: its ending is of no format.
    """
    if file.suffix not in FORMATS:
        raise ConfigError(f"{file} cannot be drawn: end it in one of {', '.join(FORMATS)}")
