"""BERT4Rec: a Transformer that sees both sides of hidden items (Sun et al., CIKM 2019)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gnn.sampling import Stream, uniform
from gnn.sequence.backbone import Backbone
from gnn.sequence.histories import Histories
from gnn.sequence.padding import MASK, PAD, padded
from gnn.sequence.preparation import Examples
from gnn.sequence.settings import BERT4RecConfig
from gnn.sequence.transformer import Transformer
from kg import RaggedArray


class HiddenItems:
    """Some items of a window are hidden, and their places answer with them.

    The last item always is, for that is what a request asks: a hidden item after its history.
    """

    def __init__(self, share: float, max_length: int) -> None:
        """Hide a share of the items of windows of at most `max_length`."""
        self._share, self._max_length = share, max_length

    def examples(self, windows: Histories, *, seed: int, step: int, device: torch.device) -> Examples:
        """See `gnn.sequence.preparation.Preparator`."""
        windows = windows.latest(self._max_length)
        draw = uniform(torch.arange(len(windows.values)), seed=seed, step=step, stream=Stream.HIDDEN_ITEMS)
        hidden = draw.numpy() < self._share
        hidden[windows.offsets[1:] - 1] = True
        marked = replace(windows, values=np.where(hidden, MASK, windows.values))
        blocks, answered, targets = [], [], []
        for block, whole in zip(padded(marked, device), padded(windows, device), strict=True):
            at = block.items == MASK
            blocks.append(block)
            answered.append(at)
            targets.append(whole.items[at])
        return Examples(blocks, answered, torch.cat(targets))

    def requests(self, histories: Histories, max_length: int) -> Histories:
        """The latest items, and a hidden one after them; an empty history stays empty."""
        histories = histories.latest(max_length - 1)
        asked = np.flatnonzero(histories.counts)
        return histories.followed_by(
            RaggedArray.from_grouped(asked, np.full(len(asked), MASK), num_rows=len(histories))
        )


class BERT4Rec(Backbone):
    """Attention from each place to all of them; places count from the end, where the item that is asked for stands."""

    name: ClassVar[str] = "BERT4Rec"

    def __init__(self, config: BERT4RecConfig) -> None:
        super().__init__(config)
        self.preparator = HiddenItems(config.hidden_share, config.max_length)
        self.hidden = nn.Parameter(torch.randn(config.dim) * config.init_scale)
        self.transformer = Transformer(config)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """See `Backbone`."""
        inputs = torch.where((items == MASK)[:, :, None], self.hidden, vectors)
        padding = items == PAD
        from_end = (~padding).sum(dim=1, keepdim=True) - 1 - torch.arange(items.shape[1], device=items.device)
        states: Tensor = self.transformer(inputs, from_end.clamp(min=0), causal=False, padding=padding)
        return states
