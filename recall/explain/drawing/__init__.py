"""Draw an explanation: the connecting paths from user to item, and the shares of the score below them.

Everything is placed in inches on one page, because labels of unknown length must not overlap. The figure never touches
matplotlib's global state, so it can be drawn in a server or beside a notebook's own plots.
"""

from recall.explain.drawing.figure import draw_explanation

__all__ = ["draw_explanation"]
