"""GRU4Rec as a channel: the recurrent network of gnn.sequence."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.sequence.settings import GRU4RecConfig, SequenceTraining
from recall.channels.sequence import SequenceChannel


class GRU4RecChannelConfig(GRU4RecConfig):
    """Hyper-parameters of GRU4Rec, a recurrent network over histories, and of its training."""

    section: ClassVar[str] = "channels.gru4rec"

    training: SequenceTraining = Field(default=SequenceTraining(), description="How the model is trained.")

    @property
    def model(self) -> GRU4RecConfig:
        """Hyper-parameters of the model alone."""
        return GRU4RecConfig(**{name: getattr(self, name) for name in GRU4RecConfig.model_fields})


class GRU4RecChannel(SequenceChannel):
    """Vectors of a GRU4Rec."""

    name: ClassVar[str] = "gru4rec"
    config_type: ClassVar[type[Any]] = GRU4RecChannelConfig
