"""NARM as a channel: the recurrent network with attention of gnn.sequence."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.sequence.settings import NARMConfig, SequenceTraining
from recall.channels.sequence import SequenceChannel


class NARMChannelConfig(NARMConfig):
    """Hyper-parameters of NARM, a recurrent network with attention, and of its training."""

    section: ClassVar[str] = "channels.narm"

    training: SequenceTraining = Field(default=SequenceTraining(), description="How the model is trained.")

    @property
    def model(self) -> NARMConfig:
        """Hyper-parameters of the model alone."""
        return NARMConfig(**{name: getattr(self, name) for name in NARMConfig.model_fields})


class NARMChannel(SequenceChannel):
    """Vectors of a NARM."""

    name: ClassVar[str] = "narm"
    config_type: ClassVar[type[Any]] = NARMChannelConfig
