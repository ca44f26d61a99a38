"""GRU4Rec: a recurrent network over the items of a history (Hidasi et al., ICLR 2016; BPR-max: CIKM 2018)."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from gnn.sequence.backbone import Backbone
from gnn.sequence.settings import GRU4RecConfig


class GRU4Rec(Backbone):
    """The state after each item, from the state before it."""

    name: ClassVar[str] = "GRU4Rec"

    def __init__(self, config: GRU4RecConfig) -> None:
        super().__init__(config)
        self._scale = math.sqrt(config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.GRU(
            config.dim,
            config.dim,
            num_layers=config.layers,
            dropout=config.dropout if config.layers > 1 else 0.0,
            batch_first=True,
        )
        # A GRU's own states lie within -1 and 1, which would limit every score.
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """See `Backbone`."""
        states, _ = self.layers(self.dropout(vectors * self._scale))
        result: Tensor = self.out(self.dropout(states))
        return result
