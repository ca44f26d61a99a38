"""What a training needs from a graph model, linear or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional

from gnn.distributed import Ranks
from gnn.graph.embeddings import LinearParts
from gnn.graph.layer0 import LayerZero
from gnn.graph.propagation import Mask, Propagation


class Encoded(Protocol):
    """One pass over the graph.

    Attributes:
        base: E, layer 0, (nodes, dim), rows by global node number.
    """

    base: Tensor

    @property
    def final(self) -> Tensor:
        """Z, (nodes, dim)."""

    def rows(self, *nodes: Tensor) -> list[Tensor]:
        """Z of some nodes.

        Args:
            nodes: global numbers, int64, of any shape, also repeated; one call for all that a step needs.

        Returns:
            For each, of its shape, and dim.
        """


@dataclass(frozen=True, slots=True)
class WholeEncoded:
    """Z of all nodes; see `Encoded`."""

    final: Tensor
    base: Tensor

    def rows(self, *nodes: Tensor) -> list[Tensor]:
        """See `Encoded`."""
        return [rows_of(self.final, some) for some in nodes]


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table; unlike plain indexing its gradient adds up in a fixed order on CUDA too."""
    return functional.embedding(index, table)


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
