"""Sources of candidates. All follow `recall.contracts.Channel`; nobody asks which one it is."""

from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.popularity import Popularity
from recall.channels.spectral import Spectral, SpectralConfig

__all__ = ["ItemKNN", "ItemKNNConfig", "Popularity", "Spectral", "SpectralConfig"]
