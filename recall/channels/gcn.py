"""A GCN as a channel: the non-linear model of gnn.graph."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.settings import GCNConfig, TrainingConfig
from recall.channels.vectors import VectorChannel
from recall.contracts import Capabilities


class GCNChannelConfig(GCNConfig):
    """Hyper-parameters of a graph convolutional network, and of its training."""

    section: ClassVar[str] = "channels.gcn"

    training: TrainingConfig = Field(default=TrainingConfig(), description="How the model is trained.")

    @property
    def model(self) -> GCNConfig:
        """Hyper-parameters of the model alone."""
        return GCNConfig(**{name: getattr(self, name) for name in GCNConfig.model_fields})


class GCNChannel(VectorChannel):
    """Vectors of a GCN. Its scores do not split, and unknown people are placed by their history alone."""

    name: ClassVar[str] = "gcn"
    config_type: ClassVar[type[Any]] = GCNChannelConfig
    capabilities: ClassVar[Capabilities] = Capabilities(trained=True, item_vectors=True, dense=False)
