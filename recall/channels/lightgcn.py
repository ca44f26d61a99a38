"""LightGCN as a channel: the linear model of gnn.graph."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.settings import LightGCNConfig, TrainingConfig
from recall.channels.vectors import VectorChannel


class LightGCNChannelConfig(LightGCNConfig):
    """Hyper-parameters of LightGCN, the linear graph model, and of its training."""

    section: ClassVar[str] = "channels.lightgcn"

    training: TrainingConfig = Field(default=TrainingConfig(), description="How the model is trained.")

    @property
    def model(self) -> LightGCNConfig:
        """Hyper-parameters of the model alone."""
        return LightGCNConfig(**{name: getattr(self, name) for name in LightGCNConfig.model_fields})


class LightGCNChannel(VectorChannel):
    """Vectors of a LightGCN; its scores split exactly over the edges of user and item."""

    name: ClassVar[str] = "lightgcn"
    config_type: ClassVar[type[Any]] = LightGCNChannelConfig
