"""Several channels as one score: the weighted sum, the search of its weights, and how it splits."""

from recall.fusion.combination import FusedScores, spread
from recall.fusion.settings import FusionConfig
from recall.fusion.shares import fuse_shares, scale_shares

__all__ = ["FusedScores", "FusionConfig", "fuse_shares", "scale_shares", "spread"]
