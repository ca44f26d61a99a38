"""Why an item is a candidate: exact shares of the score, the paths that connect it, their English, and a drawing."""

from recall.explain.drawing import draw_explanation
from recall.explain.entries import ChannelPart, Connection, Hop, Node, Reason
from recall.explain.explainer import Explainer
from recall.explain.explanation import Explanation

__all__ = ["ChannelPart", "Connection", "Explainer", "Explanation", "Hop", "Node", "Reason", "draw_explanation"]
