"""NARM: a recurrent network and an attention over its states (Li et al., CIKM 2017).

The state of a place is a bilinear map of two parts: the network's own state h_t (what somebody does as a whole), and
the sum over the places j up to t of a_tj h_j with a_tj = v . sigmoid(A h_t + B h_j) (what they are after now). The
attention is the additive one of the paper, which is not normalised and which torch does not have; it is computed for a
block of places at a time, (places, length, dim).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gnn.sequence.backbone import Backbone
from gnn.sequence.settings import NARMConfig


class NARM(Backbone):
    """The state after each item, and those before it by how they go with it."""

    name: ClassVar[str] = "NARM"

    def __init__(self, config: NARMConfig) -> None:
        super().__init__(config)
        self._scale = math.sqrt(config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.GRU(config.dim, config.dim, num_layers=config.layers, batch_first=True)
        self.of_now = nn.Linear(config.dim, config.dim, bias=False)
        self.of_before = nn.Linear(config.dim, config.dim, bias=False)
        self.weights = nn.Linear(config.dim, 1, bias=False)
        self.out = nn.Linear(2 * config.dim, config.dim, bias=False)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """See `Backbone`."""
        states, _ = self.layers(self.dropout(vectors * self._scale))
        pairs = torch.sigmoid(self.of_now(states)[:, :, None] + self.of_before(states)[:, None])
        attention = self.weights(pairs)[..., 0].tril()
        both = torch.cat([states, attention @ states], dim=-1)
        result: Tensor = self.out(self.dropout(both))
        return result
