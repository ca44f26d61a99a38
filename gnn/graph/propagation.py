"""One hop over a heterogeneous graph: A = sum over relations r of w_r D_r^-1/2 B_r D_r^-1/2.

The entries of all relations are laid out once, in one compressed matrix; relation weights, and nodes or edges that a
step leaves out, only change values. A is symmetric, so the gradient passes through the same product, without a
transpose, and the gradient of w_r is summed from products sampled at the entries. (A product for each relation and
direction costs several times as much: most relations touch few rows of the dense result.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from gnn.graph.hop import Hop
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.topology.adjacency import Numbering

# torch warns once a process that its CSR tensors are in beta; what is used of them here is tested.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], torch.zeros(0, dtype=torch.int64), torch.zeros(0), (1, 1), check_invariants=False)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What a training step leaves out of the graph; degrees are counted without it.

    Attributes:
        cold: items that count as untouched, bool (items,): every edge of a relation with an event at such an item is
            left out, in both directions, and so is the item's free embedding.
        edges: positions of interaction edges that are left out, int64 (any,), in the order of
            `graph.positive_edges(graph.schema.interaction_key)`.
    """

    cold: Tensor | None = None
    edges: Tensor | None = None


NOTHING = Mask()


@dataclass(frozen=True)
class _Span:
    """Where the parts of a relation are in a layout.

    Attributes:
        edges: its edges.
        source, target: rows of its two types of nodes.
        source_degrees, target_degrees: their places among all degrees, the same where both types are one.
        event: "source" or "target", where the item of an event is; None for a relation that is no event.
    """

    edges: slice
    source: slice
    target: slice
    source_degrees: slice
    target_degrees: slice
    event: str | None


@dataclass(frozen=True)
class _Layout:
    """All edges of all relations, and where each has its two entries in A; independent of masks.

    Whole numbers are int32 where they fit, which is also what MKL and cuSPARSE take without a conversion.

    Attributes:
        spans: of the relations, in the order of the weights.
        degrees: number of (relation, node) pairs that can have a degree.
        source, target: positions of each edge's ends in their types, (edges,).
        offsets, columns: the rows of A in compressed form, over all relations: two relations between the same nodes
            make two entries of one place. The entries of a row are ordered by relation, source before target, then
            column.
        edge: of each entry, (2 * edges,).
        relation: of each entry, (2 * edges,); empty where there is only one.
    """

    spans: tuple[_Span, ...]
    degrees: int
    source: Tensor
    target: Tensor
    offsets: Tensor
    columns: Tensor
    edge: Tensor
    relation: Tensor

    @classmethod
    def of(cls, graph: KnowledgeGraph, numbering: Numbering, keys: tuple[RelationKey, ...]) -> _Layout:
        spans: list[_Span] = []
        ends: list[tuple[IntArray, IntArray]] = []
        edges = degrees = 0
        for key in keys:
            source, target = graph.positive_edges(key)
            event = graph.schema.relations[key].event
            rows = numbering.span(key.source), numbering.span(key.target)
            places = [slice(degrees, degrees + rows[0].stop - rows[0].start)]
            if key.source != key.target:
                places.append(slice(places[0].stop, places[0].stop + rows[1].stop - rows[1].start))
            spans.append(
                _Span(
                    slice(edges, edges + len(source)),
                    *rows,
                    places[0],
                    places[-1],
                    None if event is None else "source" if event.item == "src" else "target",
                )
            )
            ends.append((source, target))
            edges, degrees = edges + len(source), places[-1].stop
        width = np.int32 if max(2 * edges, len(numbering)) < np.iinfo(np.int32).max else np.int64
        row, column = np.empty(2 * edges, dtype=width), np.empty(2 * edges, dtype=width)
        edge = np.empty(2 * edges, dtype=width)
        for span, (source, target) in zip(spans, ends, strict=True):
            first, middle, last = 2 * span.edges.start, span.edges.start + span.edges.stop, 2 * span.edges.stop
            row[first:middle] = column[middle:last] = source + span.source.start
            row[middle:last] = column[first:middle] = target + span.target.start
            edge[first:middle] = edge[middle:last] = np.arange(span.edges.start, span.edges.stop)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(numbering)))])
        # Edges come by source, then target: a stable sort by row leaves the columns of each part of a row in order.
        order = np.argsort(row, kind="stable")
        del row
        relation = np.zeros(0, dtype=np.int32)
        if len(spans) > 1:
            relation = np.repeat(np.arange(len(spans), dtype=np.int32), [2 * len(source) for source, _ in ends])[order]
        joined = [np.concatenate([pair[end] for pair in ends], dtype=width, casting="same_kind") for end in (0, 1)]
        return cls(
            spans=tuple(spans),
            degrees=degrees,
            source=torch.from_numpy(joined[0]),
            target=torch.from_numpy(joined[1]),
            offsets=torch.from_numpy(offsets.astype(width)),
            columns=torch.from_numpy(column[order]),
            edge=torch.from_numpy(edge[order]),
            relation=torch.from_numpy(relation),
        )

    def to(self, device: torch.device) -> _Layout:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return _Layout(**moved, spans=self.spans, degrees=self.degrees)

    def normalised(self, kept: Tensor | None, dtype: torch.dtype) -> Tensor:
        """1 / sqrt(d_i d_j) for every edge that is kept (1, and all without a list) and 0 for the others, (edges,)."""
        degree = torch.zeros(self.degrees, dtype=dtype, device=self.source.device)
        result = torch.ones(len(self.source), dtype=dtype, device=self.source.device) if kept is None else kept.clone()
        for span in self.spans:
            count = result[span.edges]
            degree[span.source_degrees].index_add_(0, self.source[span.edges], count)
            degree[span.target_degrees].index_add_(0, self.target[span.edges], count)
        # An edge that is kept has degree 1 or more at both ends; the others have value 0 whatever the degree.
        scale = degree.clamp_(min=1).rsqrt_()
        for span in self.spans:
            values = result[span.edges]
            values.mul_(scale[span.source_degrees].index_select(0, self.source[span.edges]))
            values.mul_(scale[span.target_degrees].index_select(0, self.target[span.edges]))
        return result


class Operator:
    """A without what a mask leaves out, for any relation weights."""

    def __init__(self, layout: _Layout, normalised: Tensor) -> None:
        self._layout = layout
        self._values = normalised.index_select(0, layout.edge)

    def bind(self, weights: Tensor) -> Hop:
        """A as a function of x, for several products.

        Args:
            weights: w_r, (relations,).
        """
        layout = self._layout
        return Hop(layout.offsets, layout.columns, normalised=self._values, relation=layout.relation, weights=weights)

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """A x, (nodes, dim)."""
        return self.bind(weights)(x)


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
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.numbering = numbering
        self.relations = relations
        self.interaction = interaction
        self.dtype = dtype
        self._layout = layout
        self._whole: Operator | None = None

    @classmethod
    def of(cls, graph: KnowledgeGraph, relations: Iterable[RelationKey] | None = None) -> Propagation:
        """Lay out a graph's positive edges, for all its relations or some; the interaction must be among them."""
        keys = tuple(graph.edges if relations is None else relations)
        numbering = Numbering.of(graph)
        interaction = keys.index(graph.schema.interaction_key)
        return cls(numbering, keys, interaction, _Layout.of(graph, numbering, keys))

    def to(self, device: torch.device, dtype: torch.dtype) -> Propagation:
        """The same relations on another device, with values of another precision."""
        return Propagation(self.numbering, self.relations, self.interaction, self._layout.to(device), dtype)

    def operator(self, mask: Mask = NOTHING) -> Operator:
        """A without what the mask leaves out."""
        if mask.cold is None and mask.edges is None:
            if self._whole is None:
                self._whole = Operator(self._layout, self._layout.normalised(None, self.dtype))
            return self._whole
        return Operator(self._layout, self._layout.normalised(self._kept(mask), self.dtype))

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """User and item positions of the interaction edges, (edges,), in the order that `Mask.edges` counts."""
        return self.ends()[self.interaction]

    def ends(self) -> list[tuple[Tensor, Tensor]]:
        """For each relation, the positions of its edges' ends in their types, (edges,) each."""
        layout = self._layout
        return [(layout.source[span.edges], layout.target[span.edges]) for span in layout.spans]

    def edge_indices(self, mask: Mask = NOTHING) -> list[Tensor]:
        """For each relation, global row numbers of the edges that the mask keeps, both ways, int64 (2, edges)."""
        kept = self._kept(mask) > 0
        result = []
        for span in self._layout.spans:
            chosen = kept[span.edges]
            source = self._layout.source[span.edges][chosen].long() + span.source.start
            target = self._layout.target[span.edges][chosen].long() + span.target.start
            result.append(torch.stack([torch.cat([source, target]), torch.cat([target, source])]))
        return result

    def _kept(self, mask: Mask) -> Tensor:
        """1 or 0 for each edge, (edges,)."""
        layout = self._layout
        kept = torch.ones(len(layout.source), dtype=self.dtype, device=layout.source.device)
        if mask.cold is not None:
            warm = (~mask.cold).to(self.dtype)
            for span in layout.spans:
                if span.event is not None:
                    item = layout.source if span.event == "source" else layout.target
                    kept[span.edges] = warm.index_select(0, item[span.edges])
        if mask.edges is not None:
            kept.index_fill_(0, mask.edges + layout.spans[self.interaction].edges.start, 0)
        return kept


def inner_sums(hop: Hop, base: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """The inner sums of Horner's rule for Z = sum_l alpha_l A^l E = alpha_0 E + A h, with h = alpha_1 E + A g.

    Args:
        hop: A.
        base: E, (nodes, dim).
        alphas: layer weights, (layers + 1,), of at least one layer.

    Returns:
        h and g, each (nodes, dim); g is zero with a single layer.
    """
    sums = [alphas[-1] * base]
    for alpha in reversed(alphas[1:-1].unbind()):
        sums.append(torch.addcmul(hop(sums[-1]), base, alpha))
    return sums[-1], sums[-2] if len(sums) > 1 else torch.zeros_like(base)


def horner(operator: Operator, base: Tensor, weights: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Z = sum_l alpha_l A^l E, with the two inner sums that fold-in and explanations need.

    Args:
        operator: A.
        base: E, (nodes, dim).
        weights: w_r, (relations,).
        alphas: layer weights, (layers + 1,), of at least one layer.

    Returns:
        Z, h and g of `inner_sums`, each (nodes, dim).
    """
    hop = operator.bind(weights)
    h, g = inner_sums(hop, base, alphas)
    return torch.addcmul(hop(h), base, alphas[0]), h, g
