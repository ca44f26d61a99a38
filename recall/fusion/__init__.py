"""Several channels as one score: the weighted sum, the search of its weights, and how it splits."""

from recall.fusion.combination import FusedScores, spread
from recall.fusion.settings import FusionConfig
from recall.fusion.shares import fuse_shares, scale_shares
from recall.fusion.weights import fit_weights

__all__ = ["FusedScores", "FusionConfig", "fit_weights", "fuse_shares", "scale_shares", "spread"]
