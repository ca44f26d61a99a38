"""One hop over a heterogeneous graph: A = sum over relations r of w_r D_r^-1/2 B_r D_r^-1/2.

The entries of all relations are laid out once, in one compressed matrix; relation weights, and taking nodes or edges
out of a step, only change values. A is symmetric, so the gradient goes back through the same product, without a
transpose, and the gradient of w_r is summed from products sampled at the entries. (A product for each relation and
direction costs several times as much: most relations touch few rows of the dense result.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kg import KnowledgeGraph, RelationKey
from kg.adjacency import Numbering

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
class _Layout:
    """All edges of all relations, and where each has its two entries in A; what no mask changes.

    Attributes:
        source, target: global rows of each edge's ends, int64 (edges,).
        relation: of each edge, int64 (edges,).
        item: whose trace the edge is (item position), -1 for an edge that is no event, int64 (edges,).
        slots: place of each edge's two ends among the (relation, node) pairs that have a degree, int64 (edges,) each.
        degrees: number of such pairs.
        offsets, columns: the rows of A in compressed form, over all relations: two relations between the same nodes
            make two entries of one place.
        edge: of each entry, int64 (2 * edges,).
    """

    source: Tensor
    target: Tensor
    relation: Tensor
    item: Tensor
    slots: tuple[Tensor, Tensor]
    degrees: int
    offsets: Tensor
    columns: Tensor
    edge: Tensor

    @classmethod
    def of(cls, graph: KnowledgeGraph, numbering: Numbering, keys: tuple[RelationKey, ...]) -> _Layout:
        sources, targets, relations, items = [], [], [], []
        for number, key in enumerate(keys):
            source, target = graph.positive_edges(key)
            event = graph.schema.relations[key].event
            sources.append(source + numbering.span(key.source).start)
            targets.append(target + numbering.span(key.target).start)
            relations.append(np.full(len(source), number, dtype=np.int64))
            if event is None:
                items.append(np.full(len(source), -1, dtype=np.int64))
            else:
                items.append(source if event.item == "src" else target)
        source, target, relation = np.concatenate(sources), np.concatenate(targets), np.concatenate(relations)
        nodes = len(numbering)
        pairs, slots = np.unique(
            np.concatenate([relation * nodes + source, relation * nodes + target]), return_inverse=True
        )
        row, column = np.concatenate([source, target]), np.concatenate([target, source])
        order = np.lexsort((np.tile(relation, 2), column, row))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=nodes))])
        # Half the index traffic, and what MKL and cuSPARSE take without a conversion.
        width = np.int32 if max(len(row), nodes) < np.iinfo(np.int32).max else np.int64
        return cls(
            source=torch.from_numpy(source),
            target=torch.from_numpy(target),
            relation=torch.from_numpy(relation),
            item=torch.from_numpy(np.concatenate(items)),
            slots=(torch.from_numpy(slots[: len(source)].copy()), torch.from_numpy(slots[len(source) :].copy())),
            degrees=len(pairs),
            offsets=torch.from_numpy(offsets.astype(width)),
            columns=torch.from_numpy(column[order].astype(width)),
            edge=torch.from_numpy(order % max(len(source), 1)),
        )

    def to(self, device: torch.device) -> _Layout:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return _Layout(**moved, degrees=self.degrees, slots=(self.slots[0].to(device), self.slots[1].to(device)))

    def normalised(self, kept: Tensor) -> Tensor:
        """1 / sqrt(d_i d_j) for every edge that is kept (1) and 0 for the others, (edges,)."""
        first, second = self.slots
        degree = torch.zeros(self.degrees, dtype=kept.dtype, device=kept.device)
        degree.index_add_(0, first, kept).index_add_(0, second, kept)
        # An edge that is kept has degree 1 or more at both ends; the others have value 0 whatever the degree.
        scale = degree.clamp(min=1).rsqrt()
        return kept * scale[first] * scale[second]

    def matrix(self, values: Tensor) -> Tensor:
        """A of the given entries, (nodes, nodes)."""
        nodes = len(self.offsets) - 1
        return torch.sparse_csr_tensor(self.offsets, self.columns, values, size=(nodes, nodes), check_invariants=False)


class Operator:
    """A without what one mask takes out, for any relation weights."""

    def __init__(self, layout: _Layout, normalised: Tensor) -> None:
        self._layout = layout
        self._values = normalised[layout.edge]
        self._relation = layout.relation[layout.edge]

    def bind(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """A as a function of x, for products in a row.

        Args:
            weights: w_r, (relations,).

        Returns:
            x -> A x, both (nodes, dim), rows by global node number; differentiable by x and the weights.
        """
        # Unlike plain indexing, the gradient of an embedding adds up in a fixed order on CUDA too.
        values = self._values * functional.embedding(self._relation, weights[:, None])[:, 0]

        def apply(x: Tensor) -> Tensor:
            result: Tensor = _Product.apply(x, values, self._layout)
            return result

        return apply

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """A x, (nodes, dim)."""
        return self.bind(weights)(x)


class _Product(torch.autograd.Function):
    """A x for a symmetric A given by its entries."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, layout: _Layout) -> Tensor:
        matrix = layout.matrix(values)
        ctx.save_for_backward(x)
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (x,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_values = None
        if ctx.needs_input_grad[1]:
            # The gradient of entry (i, j) is g_i . x_j, wanted at the entries of A alone.
            for_values = torch.sparse.sampled_addmm(ctx.matrix, gradient, x.T, beta=0.0).values()
        return ctx.matrix @ gradient, for_values, None


class Propagation:
    """The relations of a graph, laid out for products.

    Attributes:
        numbering: which row is which node.
        relations: keys, in the order of the weights.
        interaction: position of the interaction relation in `relations`.
        dtype: of the values.
    """

    def __init__(
        self,
        numbering: Numbering,
        relations: tuple[RelationKey, ...],
        interaction: int,
        layout: _Layout,
        spans: tuple[slice, slice],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.numbering = numbering
        self.relations = relations
        self.interaction = interaction
        self.dtype = dtype
        self._layout = layout
        self._spans = spans
        at = torch.nonzero(layout.relation == interaction)[:, 0]
        self._own = slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)
        self._whole: Operator | None = None

    @classmethod
    def of(cls, graph: KnowledgeGraph, relations: Iterable[RelationKey] | None = None) -> Propagation:
        """Lay out a graph's positive edges, for all its relations or some; the interaction must be among them."""
        keys = tuple(graph.edges if relations is None else relations)
        numbering = Numbering.of(graph)
        interaction = graph.schema.interaction_key
        spans = numbering.span(interaction.source), numbering.span(interaction.target)
        return cls(numbering, keys, keys.index(interaction), _Layout.of(graph, numbering, keys), spans)

    def to(self, device: torch.device, dtype: torch.dtype) -> Propagation:
        """The same relations on another device, with values of another precision."""
        layout = self._layout.to(device)
        return Propagation(self.numbering, self.relations, self.interaction, layout, self._spans, dtype)

    def operator(self, mask: Mask = NOTHING) -> Operator:
        """A without what the mask takes out; degrees count only what is left."""
        if mask.cold is None and mask.edges is None:
            if self._whole is None:
                self._whole = Operator(self._layout, self._layout.normalised(self._kept(mask)))
            return self._whole
        return Operator(self._layout, self._layout.normalised(self._kept(mask)))

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """User and item positions of the interaction edges, int64 (edges,), in the order that `Mask.edges` counts."""
        users, items = self._spans
        return self._layout.source[self._own] - users.start, self._layout.target[self._own] - items.start

    def edge_indices(self, mask: Mask = NOTHING) -> list[Tensor]:
        """For each relation, global row numbers of the edges that the mask leaves, both ways, int64 (2, edges)."""
        kept = self._kept(mask) > 0
        result = []
        for number in range(len(self.relations)):
            chosen = kept & (self._layout.relation == number)
            source, target = self._layout.source[chosen], self._layout.target[chosen]
            result.append(torch.stack([torch.cat([source, target]), torch.cat([target, source])]))
        return result

    def _kept(self, mask: Mask) -> Tensor:
        """1 or 0 for each edge, (edges,)."""
        layout = self._layout
        kept = torch.ones(len(layout.source), dtype=self.dtype, device=layout.source.device)
        if mask.cold is not None:
            kept.masked_fill_((layout.item >= 0) & mask.cold[layout.item.clamp(min=0)], 0)
        if mask.edges is not None:
            kept.index_fill_(0, mask.edges + self._own.start, 0)
        return kept


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
    hop = operator.bind(weights)
    sums = [alphas[-1] * base]
    for alpha in reversed(alphas[:-1].unbind()):
        sums.append(torch.addcmul(hop(sums[-1]), base, alpha))
    zero = torch.zeros_like(base)
    return sums[-1], sums[-2] if len(sums) > 1 else zero, sums[-3] if len(sums) > 2 else zero
