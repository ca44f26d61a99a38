"""Histories into states, and the vectors that a trained network has of all items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnn.sequence.backbone import Backbone
from gnn.sequence.histories import Histories
from gnn.sequence.item_data import ItemData
from gnn.sequence.items import ItemVectors
from gnn.sequence.models import backbone_of
from gnn.sequence.padding import padded
from gnn.sequence.preparation import Examples
from gnn.sequence.settings import SequenceConfig


class Network(nn.Module):
    """The vectors of the items, and the model between them.

    Attributes:
        items: vectors.
        backbone: the model.
    """

    def __init__(
        self, data: ItemData, config: SequenceConfig, *, seed: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.items = ItemVectors(data, config, seed=seed, dtype=dtype)
        self.backbone: Backbone = backbone_of(config).started(config, seed=seed, device=device, dtype=dtype)
        self.to(device)

    def forward(self, examples: Examples, negatives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a loss compares; see `read`.

        Args:
            examples: of a batch, with m targets.
            negatives: positions of items, int64 (n,).
        """
        return self.read(examples, self.items(self.asked(examples, negatives)))

    @staticmethod
    def asked(examples: Examples, negatives: Tensor) -> Tensor:
        """All items of a step, int64: they are looked up at once, since each look-up costs a gradient of the table."""
        return torch.cat([*(block.items.reshape(-1) for block in examples.blocks), examples.targets, negatives])

    def read(self, examples: Examples, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a loss compares.

        Args:
            examples: of a batch, with m targets.
            vectors: of what is `asked`.

        Returns:
            The states at the places that answer, in the order of the targets (m, dim), the vectors of the targets
            (m, dim), and those of the negatives (n, dim).
        """
        sizes = [block.items.numel() for block in examples.blocks] + [len(examples.targets)]
        *read, targets, others = torch.split(vectors, [*sizes, len(vectors) - sum(sizes)])
        states = [
            self.backbone.read(of_block.view(*block.items.shape, -1), block)[answered]
            for of_block, block, answered in zip(read, examples.blocks, examples.answered, strict=True)
        ]
        return torch.cat(states), targets, others


@torch.no_grad()
def encode(backbone: Backbone, vectors: Tensor, histories: Histories, max_length: int) -> Tensor:
    """What a model expects after each history.

    Args:
        backbone: trained, and set to serve (`eval`).
        vectors: of all items, (items, dim).
        histories: items in order, all of them with a vector, (n,) lists.
        max_length: items that are read.

    Returns:
        (n, dim); zero for an empty history.
    """
    device = vectors.device
    requests = backbone.preparator.requests(histories, max_length)
    result = vectors.new_zeros((len(histories), vectors.shape[1]))
    for block in padded(requests, device):
        there = (block.items >= 0)[:, :, None]
        states = backbone.read(vectors[block.items.clamp(min=0)].masked_fill(~there, 0), block)
        last = states[torch.arange(len(block.rows), device=device), block.lengths - 1]
        result[torch.from_numpy(block.rows).to(device)] = last
    return result
