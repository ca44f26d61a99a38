"""The hyper-parameters of the channels of a deployment, and the channels made of them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kg.settings import Settings
from recall.channels.attribute_knn import AttributeKNNConfig
from recall.channels.cheby import ChebyCFConfig
from recall.channels.content_knn import ContentKNNConfig
from recall.channels.ease import EASEConfig
from recall.channels.gcn import GCNChannelConfig
from recall.channels.item_knn import ItemKNNConfig
from recall.channels.lightgcn import LightGCNChannelConfig
from recall.channels.registry import channel_class
from recall.channels.rp3beta import RP3BetaConfig
from recall.channels.spectral import SpectralConfig
from recall.contracts import Channel


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


def make_channel(config: ChannelsConfig, name: str) -> Channel:
    """An unfitted channel of a name, with its section of the configuration or the defaults.

    Raises:
        ConfigError: there is no channel of that name.
    """
    kind = channel_class(name)
    return kind(getattr(config, name, None))
