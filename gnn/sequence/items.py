"""Vectors of items: an embedding of the id, the projected text, the sum of their nodes, or any sum of these."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.sampling import Stream, normal
from gnn.sequence.item_data import ItemData
from gnn.sequence.settings import SequenceConfig

BLOCK = 1 << 13


class ItemVectors(nn.Module):
    """The same vectors for what a model reads and for what its answers are compared with.

    The nodes of an item are added up and divided by the square root of their number, so that one with twenty
    categories is no longer than one with a brand alone.

    Attributes:
        ids: embeddings of the items, (items, dim); None where the parts are without "id".
        projection: from a text vector, (text dim, dim), or None.
        nodes: embeddings of the nodes, (nodes, dim), or None.
    """

    def __init__(self, data: ItemData, config: SequenceConfig, *, seed: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.count, self.dim = len(data.touched), config.dim

        def table(rows: int, stream: Stream) -> nn.Parameter:
            columns = torch.arange(config.dim)
            parts = torch.arange(rows).split(BLOCK)  # type: ignore[no-untyped-call]
            drawn = [normal(part, columns, seed=seed, stream=stream).to(dtype) * config.init_scale for part in parts]
            return nn.Parameter(torch.cat(drawn))

        self.ids: nn.Parameter | None = None
        self.projection: nn.Parameter | None = None
        self.nodes: nn.Parameter | None = None
        if "id" in config.item_parts:
            self.ids = table(self.count, Stream.START)
            self.register_buffer("touched", torch.from_numpy(data.touched)[:, None].to(dtype), persistent=False)
        if data.text_row is not None:
            self.projection = table(data.texts.shape[1], Stream.TEXT_START)
            texts = torch.from_numpy(data.texts).to(dtype)
            # The last row is that of an item without a text.
            self.register_buffer("texts", functional.pad(texts, (0, 0, 0, 1)), persistent=False)
            rows = torch.from_numpy(data.text_row)
            self.register_buffer("text_row", torch.where(rows < 0, len(texts), rows), persistent=False)
        if data.joined is not None:
            self.nodes = table(len(data.nodes), Stream.KNOWLEDGE_START)
            self.register_buffer("starts", torch.from_numpy(data.joined.offsets), persistent=False)
            self.register_buffer("joined", torch.from_numpy(data.joined.values), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """The vectors of some items.

        Args:
            items: positions, int64, any shape; below 0 for none, whose vector is zero.

        Returns:
            The shape of `items` with a last dimension of `dim`.
        """
        flat = items.reshape(-1)
        there = (flat >= 0)[:, None]
        flat = flat.clamp(min=0)
        parts = []
        if self.ids is not None:
            parts.append(functional.embedding(flat, self.ids) * self.get_buffer("touched")[flat])
        if self.projection is not None:
            parts.append(self.get_buffer("texts")[self.get_buffer("text_row")[flat]] @ self.projection)
        if self.nodes is not None:
            parts.append(self._of_nodes(flat, self.nodes))
        vectors = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
        return vectors.masked_fill(~there, 0).view(*items.shape, self.dim)

    def _of_nodes(self, items: Tensor, nodes: Tensor) -> Tensor:
        starts = self.get_buffer("starts")
        first, counts = starts[items], starts[items + 1] - starts[items]
        ends = counts.cumsum(0)
        within = torch.arange(int(ends[-1]) if len(ends) else 0, device=items.device)
        at = self.get_buffer("joined")[within + (first - (ends - counts)).repeat_interleave(counts)]
        weights = counts.clamp(min=1).to(nodes.dtype).rsqrt().repeat_interleave(counts)
        return functional.embedding_bag(at, nodes, ends - counts, mode="sum", per_sample_weights=weights)

    @torch.no_grad()
    def all(self) -> Tensor:
        """The vectors of all items, (items, dim)."""
        device = next(self.parameters()).device
        parts = torch.arange(self.count, device=device).split(BLOCK)  # type: ignore[no-untyped-call]
        return torch.cat([self(part) for part in parts])
