"""The hyper-parameters of the channels of a deployment, and the channels made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from gnn.settings import GCNConfig, LightGCNConfig, TrainingConfig
from kg.errors import ConfigError
from kg.settings import Settings
from recall.channels.attribute_knn import AttributeKNN, AttributeKNNConfig
from recall.channels.cheby import ChebyCF, ChebyCFConfig
from recall.channels.content_knn import ContentKNN, ContentKNNConfig
from recall.channels.ease import EASE, EASEConfig
from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.popularity import Popularity
from recall.channels.rp3beta import RP3Beta, RP3BetaConfig
from recall.channels.spectral import Spectral, SpectralConfig

if TYPE_CHECKING:
    from gnn.text.features import TextFeatures
    from recall.contracts import Channel


class LightGCNChannelConfig(LightGCNConfig):
    """Hyper-parameters of the model, and of its training."""

    training: TrainingConfig = Field(default=TrainingConfig(), description="How the model is trained.")

    @property
    def model(self) -> LightGCNConfig:
        """Hyper-parameters of the model alone."""
        return LightGCNConfig(**{name: getattr(self, name) for name in LightGCNConfig.model_fields})


class GCNChannelConfig(GCNConfig):
    """Hyper-parameters of the model, and of its training."""

    training: TrainingConfig = Field(default=TrainingConfig(), description="How the model is trained.")

    @property
    def model(self) -> GCNConfig:
        """Hyper-parameters of the model alone."""
        return GCNConfig(**{name: getattr(self, name) for name in GCNConfig.model_fields})


class ChannelsConfig(Settings):
    """One section for each kind of channel that has hyper-parameters, whether it serves or is measured beside."""

    section: ClassVar[str] = "channels"

    lightgcn: LightGCNChannelConfig = Field(
        default=LightGCNChannelConfig(), description="LightGCN: the linear graph model."
    )
    gcn: GCNChannelConfig = Field(default=GCNChannelConfig(), description="A graph convolutional network.")
    attribute_knn: AttributeKNNConfig = Field(
        default=AttributeKNNConfig(), description="Items that share attributes in the graph."
    )
    cheby: ChebyCFConfig = Field(
        default=ChebyCFConfig(), description="ChebyCF: a polynomial filter over the spectrum of the item-item graph."
    )
    content_knn: ContentKNNConfig = Field(default=ContentKNNConfig(), description="Items whose texts are alike.")
    ease: EASEConfig = Field(default=EASEConfig(), description="EASE: a linear item-item autoencoder in closed form.")
    item_knn: ItemKNNConfig = Field(default=ItemKNNConfig(), description="Items liked by the same users.")
    rp3beta: RP3BetaConfig = Field(default=RP3BetaConfig(), description="RP3beta: three steps of a random walk.")
    spectral: SpectralConfig = Field(
        default=SpectralConfig(),
        description="GF-CF: a linear and an ideal low-pass filter on the item-item graph.",
    )

    def make(self, name: str, features: TextFeatures | None = None) -> Channel:
        """An unfitted channel.

        Args:
            name: of one of the sections, or "popularity".
            features: text vectors of the graph's nodes; the content kNN needs them.

        Raises:
            ConfigError: there is no channel of that name.
        """
        makers: dict[str, Callable[[], Channel]] = {
            "popularity": Popularity,
            "attribute_knn": lambda: AttributeKNN(self.attribute_knn),
            "cheby": lambda: ChebyCF(self.cheby),
            "content_knn": lambda: ContentKNN(features, self.content_knn),
            "ease": lambda: EASE(self.ease),
            "item_knn": lambda: ItemKNN(self.item_knn),
            "rp3beta": lambda: RP3Beta(self.rp3beta),
            "spectral": lambda: Spectral(self.spectral),
        }
        if name not in makers:
            raise ConfigError(f"there is no channel {name!r}; there are {', '.join(makers)}")
        return makers[name]()
