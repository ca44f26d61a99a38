"""What the Transformers over histories share: the vectors of the places, and the blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gnn.sequence.settings import TransformerConfig


class Transformer(nn.Module):
    """Blocks that are normalised before attention and feed-forward layer, and the states once more at the end."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self._scale = math.sqrt(config.dim)  # brings the small start of the embeddings to the size of a place's
        self.places = nn.Parameter(torch.randn(config.max_length, config.dim) * config.init_scale)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.dim,
            config.heads,
            dim_feedforward=config.feed_forward * config.dim,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(
            layer, config.blocks, norm=nn.LayerNorm(config.dim), enable_nested_tensor=False
        )

    def forward(self, vectors: Tensor, places: Tensor, *, causal: bool, padding: Tensor | None = None) -> Tensor:
        """The state at each place.

        Args:
            vectors: of the items, (rows, length, dim).
            places: number of each place, from 0, int64 (length,) or (rows, length).
            causal: a place attends to itself and those before it; otherwise to all.
            padding: places that none attends to, bool (rows, length); None: there are none.
        """
        length = vectors.shape[1]
        inputs = self.dropout(vectors * self._scale + self.places[places])
        mask = None
        if causal:
            mask = nn.Transformer.generate_square_subsequent_mask(length, device=vectors.device, dtype=vectors.dtype)
        states: Tensor = self.blocks(inputs, mask=mask, src_key_padding_mask=padding, is_causal=causal)
        return states
