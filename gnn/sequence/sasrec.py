"""SASRec: a causal Transformer over the items of a history (Kang and McAuley, ICDM 2018).

Blocks are normalised before attention and feed-forward layer, and the states once more at the end.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gnn.sequence.backbone import Backbone
from gnn.sequence.settings import SASRecConfig


class SASRec(Backbone):
    """Attention from each place to itself and those before it."""

    name: ClassVar[str] = "SASRec"

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__(config)
        self._scale = math.sqrt(config.dim)  # brings the small start of the embeddings to the size of a place's
        self.places = nn.Parameter(torch.randn(config.max_length, config.dim) * config.init_scale)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.dim,
            config.heads,
            dim_feedforward=4 * config.dim,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(
            layer, config.blocks, norm=nn.LayerNorm(config.dim), enable_nested_tensor=False
        )

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """See `Backbone`."""
        length = vectors.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=vectors.device, dtype=vectors.dtype)
        inputs = self.dropout(vectors * self._scale + self.places[:length])
        states: Tensor = self.blocks(inputs, mask=mask, is_causal=True)
        return states
