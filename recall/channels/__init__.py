"""Sources of candidates, one module each, and the registry of their names; see `recall.contracts.Channel`."""

from recall.channels.attribute_knn import AttributeKNN, AttributeKNNConfig
from recall.channels.bert4rec import BERT4RecChannel, BERT4RecChannelConfig
from recall.channels.cheby import ChebyCF, ChebyCFConfig
from recall.channels.content_knn import ContentKNN, ContentKNNConfig
from recall.channels.ease import EASE, EASEConfig
from recall.channels.gcn import GCNChannel, GCNChannelConfig
from recall.channels.gru4rec import GRU4RecChannel, GRU4RecChannelConfig
from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.lightgcn import LightGCNChannel, LightGCNChannelConfig
from recall.channels.narm import NARMChannel, NARMChannelConfig
from recall.channels.overlooked import Overlooked, OverlookedConfig
from recall.channels.popularity import Popularity, PopularityConfig
from recall.channels.registry import channel_class, register, registered
from recall.channels.rp3beta import RP3Beta, RP3BetaConfig
from recall.channels.sasrec import SASRecChannel, SASRecChannelConfig
from recall.channels.segment import SegmentConfig, SegmentPopularity
from recall.channels.spectral import Spectral, SpectralConfig
from recall.channels.text_interest import TextInterest, TextInterestConfig
from recall.channels.trends import Recent, RecentConfig, Trending, TrendingConfig
from recall.channels.user_knn import UserKNN, UserKNNConfig
from recall.channels.walk import Walk, WalkConfig

__all__ = [
    "EASE",
    "AttributeKNN",
    "AttributeKNNConfig",
    "BERT4RecChannel",
    "BERT4RecChannelConfig",
    "ChebyCF",
    "ChebyCFConfig",
    "ContentKNN",
    "ContentKNNConfig",
    "EASEConfig",
    "GCNChannel",
    "GCNChannelConfig",
    "GRU4RecChannel",
    "GRU4RecChannelConfig",
    "ItemKNN",
    "ItemKNNConfig",
    "LightGCNChannel",
    "LightGCNChannelConfig",
    "NARMChannel",
    "NARMChannelConfig",
    "Overlooked",
    "OverlookedConfig",
    "Popularity",
    "PopularityConfig",
    "RP3Beta",
    "RP3BetaConfig",
    "Recent",
    "RecentConfig",
    "SASRecChannel",
    "SASRecChannelConfig",
    "SegmentConfig",
    "SegmentPopularity",
    "Spectral",
    "SpectralConfig",
    "TextInterest",
    "TextInterestConfig",
    "Trending",
    "TrendingConfig",
    "UserKNN",
    "UserKNNConfig",
    "Walk",
    "WalkConfig",
    "channel_class",
    "register",
    "registered",
]
