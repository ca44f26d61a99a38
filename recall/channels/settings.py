"""The hyper-parameters of the channels of a deployment, and the channels made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from kg.errors import ConfigError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelsConfig:
    """One section for each kind of channel that has hyper-parameters, whether it is fused or printed beside a model."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    attribute_knn: AttributeKNNConfig = field(default_factory=AttributeKNNConfig)
    cheby: ChebyCFConfig = field(default_factory=ChebyCFConfig)
    content_knn: ContentKNNConfig = field(default_factory=ContentKNNConfig)
    ease: EASEConfig = field(default_factory=EASEConfig)
    item_knn: ItemKNNConfig = field(default_factory=ItemKNNConfig)
    rp3beta: RP3BetaConfig = field(default_factory=RP3BetaConfig)
    spectral: SpectralConfig = field(default_factory=SpectralConfig)

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
