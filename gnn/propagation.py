"""One hop over a heterogeneous graph: A = sum over relations r of w_r D_r^-1/2 B_r D_r^-1/2.

The pattern of every relation is laid out once, by row in both directions; taking nodes or edges out of a step only
changes values. A is symmetric, so the gradient goes back through the same products, without a transpose, and the
gradient of w_r falls out of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kg import KnowledgeGraph, RelationKey
from kg.adjacency import Numbering
from kg.ids import IntArray

# torch warns once a process that its CSR tensors are in beta; they do what is needed here, so it is said to nobody.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], torch.zeros(0, dtype=torch.int64), torch.zeros(0), (1, 1), check_invariants=False)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What a training step takes out of the graph; degrees are counted again without it.

    Attributes:
        cold: items that look as if nobody had touched them, bool (items,): every edge of a relation with an event at
            such an item is gone, in both directions, and so is the item's free embedding.
        edges: positions of interaction edges that are gone, int64 (any,), in the order of
            `graph.positive_edges(graph.schema.interaction_key)`.
    """

    cold: Tensor | None = None
    edges: Tensor | None = None


NOTHING = Mask()


@dataclass(frozen=True)
class _Pattern:
    """Where a sparse matrix has entries, by row, and which edge each entry stands for."""

    offsets: Tensor
    columns: Tensor
    edge: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, row: IntArray, col: IntArray, edge: IntArray, shape: tuple[int, int]) -> _Pattern:
        order = np.lexsort((col, row))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        # Half the index traffic, and what MKL and cuSPARSE take without a conversion.
        width = np.int32 if max(len(row), *shape) < np.iinfo(np.int32).max else np.int64
        return cls(
            torch.from_numpy(offsets.astype(width)),
            torch.from_numpy(col[order].astype(width)),
            torch.from_numpy(np.ascontiguousarray(edge[order])),
            shape,
        )

    def to(self, device: torch.device) -> _Pattern:
        return _Pattern(self.offsets.to(device), self.columns.to(device), self.edge.to(device), self.shape)

    def matrix(self, values: Tensor) -> Tensor:
        return torch.sparse_csr_tensor(
            self.offsets, self.columns, values[self.edge], size=self.shape, check_invariants=False
        )


@dataclass(frozen=True)
class _Block:
    """One relation: its edges between two spans of global rows."""

    source: slice
    target: slice
    ends: tuple[Tensor, Tensor]
    forward: _Pattern
    backward: _Pattern | None  # None: both ends have one type, and `forward` is B + B^T
    items: Tensor | None  # whose traces the edges are, when they are events

    def to(self, device: torch.device) -> _Block:
        return _Block(
            self.source,
            self.target,
            (self.ends[0].to(device), self.ends[1].to(device)),
            self.forward.to(device),
            None if self.backward is None else self.backward.to(device),
            None if self.items is None else self.items.to(device),
        )

    @property
    def size(self) -> int:
        return len(self.ends[0])

    def normalised(self, keep: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """D^-1/2 B D^-1/2 in both directions; `keep` is 1 or 0 for each edge."""
        source, target = self.ends
        kept = torch.ones(self.size, dtype=dtype, device=source.device) if keep is None else keep
        from_source = torch.zeros(self.source.stop - self.source.start, dtype=dtype, device=source.device)
        from_source.index_add_(0, source, kept)
        if self.backward is None:
            from_target = from_source.index_add_(0, target, kept)
        else:
            from_target = torch.zeros(self.target.stop - self.target.start, dtype=dtype, device=source.device)
            from_target.index_add_(0, target, kept)
        # An edge that is kept has degree 1 or more at both ends; the others have value 0 whatever the degree.
        values = kept * from_source.clamp(min=1).rsqrt()[source] * from_target.clamp(min=1).rsqrt()[target]
        return self.forward.matrix(values), None if self.backward is None else self.backward.matrix(values)

    def kept(self, cold: Tensor, dtype: torch.dtype) -> Tensor | None:
        """1 or 0 for every edge of a relation with events: whether its item is not cold."""
        return None if self.items is None else (~cold[self.items]).to(dtype)


class Operator:
    """A, ready to be applied: the normalised blocks of one mask."""

    def __init__(self, parts: list[tuple[slice, slice, Tensor, Tensor | None]]) -> None:
        self._parts = parts

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """A x.

        Args:
            x: (nodes, dim), rows by global node number.
            weights: w_r, (relations,).

        Returns:
            (nodes, dim), differentiable by both arguments.
        """
        result: Tensor = _Apply.apply(x, weights, self)
        return result

    def products(self, x: Tensor) -> Iterator[tuple[int, slice, Tensor]]:
        """Relation number, rows, and what D_r^-1/2 B_r D_r^-1/2 x adds to those rows before its weight."""
        for number, (source, target, forward, backward) in enumerate(self._parts):
            yield number, source, forward @ x[target]
            if backward is not None:
                yield number, target, backward @ x[source]


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, operator: Operator) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.operator = operator
        out = torch.zeros_like(x)
        for number, rows, product in operator.products(x):
            out[rows].addcmul_(product, weights[number])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weights = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_x, for_weights = torch.zeros_like(x), torch.zeros_like(weights)
        # <g, A_r x> = <A_r g, x>: the products that carry the gradient back to x also give that of w_r.
        for number, rows, product in ctx.operator.products(gradient):
            for_x[rows].addcmul_(product, weights[number])
            if ctx.needs_input_grad[1]:
                for_weights[number] += (product * x[rows]).sum()
        return for_x, for_weights if ctx.needs_input_grad[1] else None, None


class Propagation:
    """The relations of a graph, laid out for products.

    Attributes:
        numbering: which row is which node.
        relations: keys, in the order of the weights.
        interaction: position of the interaction relation in `relations`.
    """

    def __init__(
        self,
        numbering: Numbering,
        relations: tuple[RelationKey, ...],
        interaction: int,
        blocks: list[_Block],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.numbering = numbering
        self.relations = relations
        self.interaction = interaction
        self.dtype = dtype
        self._blocks = blocks
        self._whole: Operator | None = None

    @classmethod
    def of(cls, graph: KnowledgeGraph, relations: Iterable[RelationKey] | None = None) -> Propagation:
        """Lay out a graph's positive edges, for all its relations or some; the interaction must be among them."""
        keys = tuple(graph.edges if relations is None else relations)
        numbering = Numbering.of(graph)
        blocks = [_block(graph, numbering, key) for key in keys]
        return cls(numbering, keys, keys.index(graph.schema.interaction_key), blocks)

    def to(self, device: torch.device, dtype: torch.dtype) -> Propagation:
        """The same relations on another device, with values of another precision."""
        blocks = [block.to(device) for block in self._blocks]
        return Propagation(self.numbering, self.relations, self.interaction, blocks, dtype)

    def operator(self, mask: Mask = NOTHING) -> Operator:
        """A without what the mask takes out; degrees count only what is left."""
        if mask.cold is None and mask.edges is None:
            if self._whole is None:
                self._whole = self._operator(mask)
            return self._whole
        return self._operator(mask)

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """User and item positions of the interaction edges, int64 (edges,), in the order that `Mask.edges` counts."""
        return self._blocks[self.interaction].ends

    def edge_indices(self, mask: Mask = NOTHING) -> list[Tensor]:
        """For each relation, global row numbers of the edges that the mask leaves, both ways, int64 (2, edges)."""
        result = []
        for number, block in enumerate(self._blocks):
            source, target = block.ends[0] + block.source.start, block.ends[1] + block.target.start
            if (keep := self._keep(number, block, mask)) is not None:
                source, target = source[keep > 0], target[keep > 0]
            result.append(torch.stack([torch.cat([source, target]), torch.cat([target, source])]))
        return result

    def _keep(self, number: int, block: _Block, mask: Mask) -> Tensor | None:
        """1 or 0 for each edge of a relation; None: all are kept."""
        keep = None if mask.cold is None else block.kept(mask.cold, self.dtype)
        if mask.edges is not None and number == self.interaction:
            whole = torch.ones(block.size, dtype=self.dtype, device=mask.edges.device) if keep is None else keep
            keep = whole.index_fill(0, mask.edges, 0)
        return keep

    def _operator(self, mask: Mask) -> Operator:
        parts = []
        for number, block in enumerate(self._blocks):
            keep = self._keep(number, block, mask)
            if keep is None and self._whole is not None:
                parts.append(self._whole._parts[number])  # this relation is as it was: no values to compute
            else:
                parts.append((block.source, block.target, *block.normalised(keep, self.dtype)))
        return Operator(parts)


def horner(operator: Operator, base: Tensor, weights: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Z = sum_l alpha_l A^l E from the inside out, with the two inner sums that placing and explaining need.

    Args:
        operator: A.
        base: E, (nodes, dim).
        weights: w_r, (relations,).
        alphas: layer weights, (layers + 1,).

    Returns:
        Z = alpha_0 E + A h, h = alpha_1 E + A g, and g, each (nodes, dim); g (and h) are zero where there are no such
        layers.
    """
    sums = [alphas[-1] * base]
    for alpha in reversed(alphas[:-1].unbind()):
        sums.append(torch.addcmul(operator(sums[-1], weights), base, alpha))
    zero = torch.zeros_like(base)
    return sums[-1], sums[-2] if len(sums) > 1 else zero, sums[-3] if len(sums) > 2 else zero


def _block(graph: KnowledgeGraph, numbering: Numbering, key: RelationKey) -> _Block:
    source, target = graph.positive_edges(key)
    sources, targets = numbering.span(key.source), numbering.span(key.target)
    rows, cols = graph.num_nodes(key.source), graph.num_nodes(key.target)
    edge = np.arange(len(source), dtype=np.int64)
    if key.source == key.target:
        both = np.concatenate([source, target]), np.concatenate([target, source])
        forward = _Pattern.of(*both, np.concatenate([edge, edge]), (rows, cols))
        backward = None
    else:
        forward = _Pattern.of(source, target, edge, (rows, cols))
        backward = _Pattern.of(target, source, edge, (cols, rows))
    ends = torch.from_numpy(source.copy()), torch.from_numpy(target.copy())
    event = graph.schema.relations[key].event
    items = None if event is None else ends[("src", "dst").index(event.item)]
    return _Block(sources, targets, ends, forward, backward, items)
