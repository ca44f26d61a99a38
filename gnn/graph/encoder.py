"""What a training needs from a graph model, linear or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from gnn.distributed import Ranks
from gnn.graph.embeddings import LinearParts
from gnn.graph.layer0 import LayerZero
from gnn.graph.propagation import Mask, Propagation


@dataclass(frozen=True)
class Encoded:
    """One pass over the graph.

    Attributes:
        final: Z, (nodes, dim), rows by global node number.
        base: E, layer 0, (nodes, dim).
        tail, tail2: the inner sums h and g of `gnn.graph.embeddings.LinearParts`; None where the model is not linear.
    """

    final: Tensor
    base: Tensor
    tail: Tensor | None = None
    tail2: Tensor | None = None


class GraphEncoder(Protocol):
    """A graph into vectors, an `nn.Module`.

    Attributes:
        layer0: the embeddings that enter the first layer.
        propagation: the relations that the layers pass messages along.
    """

    layer0: LayerZero
    propagation: Propagation

    def __call__(self, mask: Mask = ..., dropped: Tensor | None = None) -> Encoded:
        """Encode every node of the graph without what the mask takes out.

        Args:
            mask: cold items and dropped edges of the step.
            dropped: dropout factors of the free embeddings, (nodes, 1) or (nodes, dim), or None.
        """

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As of `nn.Module`."""

    def linear_parts(self, ranks: Ranks = ...) -> LinearParts | None:
        """The parts of a linear propagation, in the first rank; None in the others, and where it is not linear."""
