"""What the trainer asks of an encoder, linear or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gnn.distributed import Ranks
from gnn.graph.embeddings import LinearParts
from gnn.graph.propagation import Mask


@dataclass(frozen=True)
class Encoded:
    """One pass over the graph.

    Attributes:
        final: Z, (nodes, dim), rows by global node number.
        base: E, layer 0, (nodes, dim).
        tail, tail2: the inner sums h and g of `gnn.graph.embeddings.LinearParts`; None where the encoder is not linear.
    """

    final: Tensor
    base: Tensor
    tail: Tensor | None = None
    tail2: Tensor | None = None


class Encoder(Protocol):
    """A graph into vectors; an `nn.Module`."""

    def __call__(self, mask: Mask = ..., dropped: Tensor | None = None) -> Encoded:
        """Encode every node of the graph without what the mask takes out.

        Args:
            mask: cold items and dropped edges of the step.
            dropped: dropout factors of the free embeddings, (nodes, 1) or (nodes, dim), or None.
        """

    def linear_parts(self, ranks: Ranks = ...) -> LinearParts | None:
        """The pieces of the propagation on the whole graph, in the first rank; None where there are none."""
