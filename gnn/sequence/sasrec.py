"""SASRec: a causal Transformer over the items of a history (Kang and McAuley, ICDM 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gnn.sequence.backbone import Backbone
from gnn.sequence.settings import SASRecConfig
from gnn.sequence.transformer import Transformer


class SASRec(Backbone):
    """Attention from each place to itself and those before it."""

    name: ClassVar[str] = "SASRec"

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__(config)
        self.transformer = Transformer(config)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """See `Backbone`."""
        places = torch.arange(items.shape[1], device=items.device)
        states: Tensor = self.transformer(vectors, places, causal=True)
        return states
