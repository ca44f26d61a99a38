"""SASRec as a channel: the causal Transformer of gnn.sequence."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.sequence.settings import SASRecConfig, SequenceTraining
from recall.channels.sequence import SequenceChannel


class SASRecChannelConfig(SASRecConfig):
    """Hyper-parameters of SASRec, a causal Transformer over histories, and of its training."""

    section: ClassVar[str] = "channels.sasrec"

    training: SequenceTraining = Field(default=SequenceTraining(), description="How the model is trained.")

    @property
    def model(self) -> SASRecConfig:
        """Hyper-parameters of the model alone."""
        return SASRecConfig(**{name: getattr(self, name) for name in SASRecConfig.model_fields})


class SASRecChannel(SequenceChannel):
    """Vectors of a SASRec."""

    name: ClassVar[str] = "sasrec"
    config_type: ClassVar[type[Any]] = SASRecChannelConfig
