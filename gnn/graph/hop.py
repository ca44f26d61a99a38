"""The product A x of one hop: of all nodes, or of some, which costs no more than the entries of their rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Hop:
    """A symmetric A as a function of x, for several products; differentiable by x and the relation weights.

    A is in compressed form: two relations between the same nodes make two entries of one place.
    """

    def __init__(
        self, offsets: Tensor, columns: Tensor, *, normalised: Tensor, relation: Tensor, weights: Tensor
    ) -> None:
        """Bind the weights.

        Args:
            offsets: where the entries of each row begin, and the end of the last, (nodes + 1,).
            columns: of the entries, (entries,).
            normalised: values of the entries without the weights, (entries,).
            relation: of each entry, (entries,); empty where there is only one.
            weights: w_r, (relations,).
        """
        self._offsets, self._columns = offsets, columns
        self._normalised, self._relation, self._weights = normalised, relation, weights

    @cached_property
    def _matrix_values(self) -> Tensor:
        return self._weighted(self._normalised, self._relation)

    def _weighted(self, normalised: Tensor, relation: Tensor) -> Tensor:
        if len(self._weights) == 1:
            return normalised * self._weights
        # Unlike plain indexing, the gradient of an embedding adds up in a fixed order on CUDA too.
        return normalised * functional.embedding(relation, self._weights[:, None])[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        """A x, (nodes, dim)."""
        result: Tensor = _Product.apply(x, self._matrix_values, self._offsets, self._columns)
        return result

    def share(self, nodes: Tensor) -> float:
        """Which share of all entries the rows of some nodes have; nodes int64 (n,), each once."""
        counts = self._offsets[nodes + 1] - self._offsets[nodes]
        return float(counts.sum()) / max(len(self._columns), 1)

    def rows(self, x: Tensor, nodes: Tensor) -> Tensor:
        """The rows of A x of some nodes.

        Args:
            x: (nodes, dim).
            nodes: global numbers, int64 (n,).

        Returns:
            (n, dim).
        """
        starts = self._offsets[nodes].long()
        counts = self._offsets[nodes + 1].long() - starts
        offsets = functional.pad(counts.cumsum(0), (1, 0))
        entry = torch.arange(int(offsets[-1]), device=nodes.device) + (starts - offsets[:-1]).repeat_interleave(counts)
        relation = self._relation[entry] if len(self._relation) else self._relation
        values = self._weighted(self._normalised[entry], relation)
        result: Tensor = _RowsProduct.apply(x, values, offsets.to(self._offsets.dtype), self._columns[entry])
        return result


class _Product(torch.autograd.Function):
    """A x for a symmetric A in compressed form."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, offsets: Tensor, columns: Tensor) -> Tensor:
        matrix = _matrix(offsets, columns, values, len(x))
        ctx.save_for_backward(x)
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        (x,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_values = _for_values(ctx.matrix, gradient, x) if ctx.needs_input_grad[1] else None
        return ctx.matrix @ gradient, for_values, None, None


class _RowsProduct(torch.autograd.Function):
    """R x for some rows R of A."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, offsets: Tensor, columns: Tensor) -> Tensor:
        matrix = _matrix(offsets, columns, values, len(x))
        ctx.save_for_backward(x, values, offsets, columns)
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, values, offsets, columns = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_values = _for_values(ctx.matrix, gradient, x) if ctx.needs_input_grad[1] else None
        # The transpose in compressed form: a product with it adds up in a fixed order, whatever the device.
        order = columns.argsort(stable=True)
        starts = functional.pad(torch.bincount(columns, minlength=len(x)).cumsum(0), (1, 0)).to(offsets.dtype)
        row = torch.arange(len(gradient), dtype=columns.dtype, device=columns.device).repeat_interleave(offsets.diff())
        transpose = _matrix(starts, row[order], values[order], len(gradient))
        return transpose @ gradient, for_values, None, None


def _matrix(offsets: Tensor, columns: Tensor, values: Tensor, width: int) -> Tensor:
    size = (len(offsets) - 1, width)
    return torch.sparse_csr_tensor(offsets, columns, values, size=size, check_invariants=False)


def _for_values(matrix: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of entry (i, j) is g_i . x_j, needed at the entries of the matrix alone."""
    result: Tensor = torch.sparse.sampled_addmm(matrix, gradient, x.T, beta=0.0).values()
    return result
