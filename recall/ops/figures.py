"""Figures for pages: drawn with no global state, as SVG elements whose labels are escaped."""

from __future__ import annotations

import io
import re
from typing import Any

from markupsafe import Markup

COLOURS = ("#2f6db5", "#c77c11", "#2e7d4f", "#8a4fa3", "#b3392b", "#4c7d8a")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def figure(height: float) -> tuple[Any, Any]:
    """A figure that touches none of matplotlib's global state, and its axes."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8.5, height), layout="constrained")
    axes = drawing.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return drawing, axes


def svg(figure: Any, name: str) -> Markup:
    """The figure as an SVG element; the same numbers give the same text."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.BytesIO()
    # A salt of its own keeps the ids of the figures of a page apart; letters as letters keep it small.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_figure(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue().decode("utf-8")
    # The numbers in it were drawn by matplotlib, which escapes the labels.
    return Markup(text[text.index("<svg") :].replace("<svg", '<svg role="img"', 1))  # noqa: S704


def label(text: Any) -> str:
    """A name as a plot can show it: one line, at most 40 characters, none that no page can show."""
    cleaned = UNPRINTABLE.sub("\ufffd", str(text)).replace("\n", " ")
    return cleaned if len(cleaned) <= 40 else cleaned[:39] + "…"
