"""BERT4Rec as a channel: the bidirectional Transformer of gnn.sequence."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gnn.sequence.settings import BERT4RecConfig, SequenceTraining
from recall.channels.sequence import SequenceChannel


class BERT4RecChannelConfig(BERT4RecConfig):
    """Hyper-parameters of BERT4Rec, a Transformer that sees both sides of hidden items, and of its training."""

    section: ClassVar[str] = "channels.bert4rec"

    training: SequenceTraining = Field(default=SequenceTraining(), description="How the model is trained.")

    @property
    def model(self) -> BERT4RecConfig:
        """Hyper-parameters of the model alone."""
        return BERT4RecConfig(**{name: getattr(self, name) for name in BERT4RecConfig.model_fields})


class BERT4RecChannel(SequenceChannel):
    """Vectors of a BERT4Rec."""

    name: ClassVar[str] = "bert4rec"
    config_type: ClassVar[type[Any]] = BERT4RecChannelConfig
