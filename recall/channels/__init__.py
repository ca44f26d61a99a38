"""Sources of candidates. All follow `recall.contracts.Channel`; nobody asks which one it is."""

from typing import Any

from recall.channels.attribute_knn import AttributeKNN, AttributeKNNConfig
from recall.channels.cheby import ChebyCF, ChebyCFConfig
from recall.channels.content_knn import ContentKNN, ContentKNNConfig
from recall.channels.ease import EASE, EASEConfig
from recall.channels.embedding import EmbeddingChannel
from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.popularity import Popularity
from recall.channels.rp3beta import RP3Beta, RP3BetaConfig
from recall.channels.spectral import Spectral, SpectralConfig

CHANNELS: dict[str, Any] = {
    kind.name: kind
    for kind in (AttributeKNN, ChebyCF, ContentKNN, EASE, EmbeddingChannel, ItemKNN, Popularity, RP3Beta, Spectral)
}
"""Every kind of channel by its name, which a saved channel holds."""

__all__ = [
    "CHANNELS",
    "EASE",
    "AttributeKNN",
    "AttributeKNNConfig",
    "ChebyCF",
    "ChebyCFConfig",
    "ContentKNN",
    "ContentKNNConfig",
    "EASEConfig",
    "EmbeddingChannel",
    "ItemKNN",
    "ItemKNNConfig",
    "Popularity",
    "RP3Beta",
    "RP3BetaConfig",
    "Spectral",
    "SpectralConfig",
]
