"""One image: the heading, the paths, and the shares below them."""

from __future__ import annotations

from pathlib import Path

from kg.errors import ConfigError
from kg.io.files import atomic_path
from recall.explain.drawing.layers import Layers
from recall.explain.drawing.page import MARGIN, MUTED, WIDTH, Page, text_width, wrap
from recall.explain.drawing.paths import draw_legend, draw_paths
from recall.explain.drawing.shares import bars_height, draw_shares
from recall.explain.explanation import Explanation

FORMATS = {".png": "png", ".svg": "svg"}


def draw_explanation(explanation: Explanation, path: Path | str) -> None:
    """Draw one explanation as an image, about 1200 points wide.

    Left the user, then history items, what they share with the item, and right the item. The width of a solid line is
    a share of the score: of the paths along it, where the score is a sum over paths; else of the history item on the
    user's side, of the neighbour on the item's side. Dashed lines are edges of the graph that carry no share of their
    own. Below are the shares of all paths, or of both sides, as bars.

    Args:
        explanation: what `Explainer.explain` returned.
        path: where to write it; the suffix `.svg` or `.png` says what.

    Raises:
        ConfigError: the suffix is another one.
    """
    target = Path(path)
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ConfigError(f"{target} cannot be drawn: the name must end in {' or '.join(FORMATS)}")
    layers = Layers(explanation)
    graph_height = max(layers.height, 1.0)
    shares_height = bars_height(explanation)
    top, notes = 1.25, 0.75
    height = top + graph_height + notes + shares_height + MARGIN
    page = Page(height)
    _heading(page, explanation)
    draw_paths(page, layers, top=height - top, bottom=height - top - graph_height)
    draw_legend(page, layers, explanation, y=height - top - graph_height - 0.35)
    draw_shares(page, explanation, top=shares_height + MARGIN)
    with atomic_path(target) as temporary:
        page.save(temporary, kind)


def _heading(page: Page, explanation: Explanation) -> None:
    who = f"user {explanation.user.title}" if explanation.in_graph else explanation.user.title
    title = f"Why {explanation.item.title} is a candidate for {who}"
    page.text(MARGIN, page.height - 0.38, wrap(title, WIDTH - 2 * MARGIN, 15, 1, "bold")[0], size=15, weight="bold")
    subtitle = f"score {explanation.score:.4g} from {explanation.source}"
    page.text(MARGIN, page.height - 0.68, subtitle, size=9, color=MUTED)
    name, note = "Connected by", "paths of the graph; they are evidence, not causes of the score"
    if explanation.path_reasons is not None:
        name, note = "Because of", "paths of the graph; the score is the sum of what they carry, and of popularity"
        if explanation.parts:
            note = "paths of the graph; what they carry of the score, by exact shares"
    page.text(MARGIN, page.height - 1.05, name, size=11, weight="bold")
    page.text(MARGIN + text_width(name, 11, "bold") + 0.12, page.height - 1.06, note, size=8, color=MUTED)
