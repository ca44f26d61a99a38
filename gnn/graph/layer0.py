"""Layer 0 of every graph model: free embeddings of the nodes that training can learn, plus projected texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gnn.sampling import Stream, normal
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import InvalidDataError
from kg.topology.adjacency import Numbering

EVERY = slice(None)
BLOCK = 1 << 13


class TextVectors(Protocol):
    """Text features as the models read them (gnn.text.features.TextFeatures).

    Attributes:
        nodes: global node numbers, int64 (texts,), unique.
        vectors: float32 (texts, text dim).
    """

    @property
    def nodes(self) -> IntArray:
        """Global node numbers."""

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Text vectors, a row a node."""


class LayerZeroConfig(Protocol):
    """The hyper-parameters of layer 0, which the configs of all graph models have; see `LightGCNConfig`."""

    @property
    def dim(self) -> int:
        """Columns of every vector."""

    @property
    def init_scale(self) -> float:
        """Standard deviation of the start."""

    @property
    def user_embedding(self) -> bool:
        """Whether users have a free embedding."""

    @property
    def knowledge_degree(self) -> int:
        """Edges from which on a node that is neither user nor item has a free embedding."""

    @property
    def text(self) -> bool:
        """Whether texts are used, where there are any."""

    @property
    def text_scale(self) -> float:
        """Factor of the projected texts."""


class LayerZero(nn.Module):
    """E = free embedding + text vector times projection.

    A node has a free embedding only if training can learn it: the node has an edge, and an item was touched by a user
    (an item that nobody touched would only be trained as a negative). A cold item of the step has none either.

    With several ranks each holds some columns, of the free embeddings and of the projection.

    Attributes:
        free: (nodes, held columns), rows by global node number.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        *,
        config: LayerZeroConfig,
        relations: Iterable[RelationKey],
        features: TextVectors | None,
        seed: int,
        dtype: torch.dtype,
        columns: slice = EVERY,
    ) -> None:
        super().__init__()
        if not config.text:
            features = None
        numbering = Numbering.of(graph)
        nodes = len(numbering)
        self._items = numbering.span(graph.schema.item_type)
        held = torch.arange(config.dim)[columns]
        start = torch.empty((nodes, len(held)), dtype=dtype)
        for rows in torch.arange(nodes).split(BLOCK):  # type: ignore[no-untyped-call]
            start[rows] = normal(rows, held, seed=seed, stream=Stream.START).to(dtype) * config.init_scale
        # Attributes start at zero: one with a single item would otherwise add noise to that item for ever. Users and
        # items start at random, because equal starts would stay equal.
        for name in numbering.names:
            if name not in (graph.schema.user_type, graph.schema.item_type):
                start[numbering.span(name)] = 0
        self.free = nn.Parameter(start)
        owns = torch.from_numpy(
            _reach(graph, numbering, tuple(relations), config.user_embedding, config.knowledge_degree)
        ).to(dtype)
        self.register_buffer("owns", owns[:, None], persistent=False)
        self._weights: nn.Parameter | None = None
        self._text_scale = config.text_scale
        if features is not None:
            if len(features.nodes) != len(features.vectors):
                raise InvalidDataError(f"{len(features.nodes)} nodes have {len(features.vectors)} text vectors")
            if len(features.nodes) and (features.nodes.min() < 0 or features.nodes.max() >= nodes):
                raise InvalidDataError(f"a text vector belongs to no node: the graph has {nodes} nodes")
        # Without any text the projection would stay random, and fold-in would use it.
        if features is not None and len(features.nodes):
            width = features.vectors.shape[1]
            draw = normal(torch.arange(width), held, seed=seed, stream=Stream.TEXT_START)
            self._weights = nn.Parameter(draw.to(dtype) * config.init_scale)
            self.register_buffer("text_nodes", torch.from_numpy(features.nodes.astype(np.int64)), persistent=False)
            self.register_buffer("texts", torch.from_numpy(features.vectors).to(dtype), persistent=False)

    @property
    def trained(self) -> npt.NDArray[np.bool_]:
        """Nodes with a free embedding, bool (nodes,)."""
        result: npt.NDArray[np.bool_] = self.get_buffer("owns")[:, 0].cpu().numpy() > 0
        return result

    @property
    def projection(self) -> Tensor | None:
        """From a text vector to E, (text dim, dim), or None without texts."""
        return None if self._weights is None else self._weights * self._text_scale

    def forward(self, cold: Tensor | None = None, dropped: Tensor | None = None) -> Tensor:
        """E with the cold items' free embeddings at zero.

        Args:
            cold: bool (items,), or None.
            dropped: multiplied into the free embeddings, (nodes, 1) or (nodes, dim), or None.

        Returns:
            (nodes, dim).
        """
        owns: Tensor = self.get_buffer("owns")
        if cold is not None:
            owns = owns.clone()
            owns[self._items].masked_fill_(cold[:, None], 0)
        base = self.free * (owns if dropped is None else owns * dropped)
        projection = self.projection
        if projection is not None:
            base = base.index_add(0, self.get_buffer("text_nodes"), self.get_buffer("texts") @ projection)
        return base


def _reach(
    graph: KnowledgeGraph,
    numbering: Numbering,
    relations: tuple[RelationKey, ...],
    user_embedding: bool,
    knowledge_degree: int,
) -> npt.NDArray[np.float64]:
    """The factor of each free embedding, (nodes,): 0 for a node that has none, 1 for users and items.

    For other nodes it is the square root of the degree, because A divides an edge by it: a genre of 4,000 films would
    otherwise move a film sixty times less than an actor with one film does, however long it trains.
    """
    degree = np.zeros(len(numbering))
    touched = np.zeros(graph.num_nodes(graph.schema.item_type), dtype=bool)
    for key in relations:
        source, target = graph.positive_edges(key)
        for node_type, ends in ((key.source, source), (key.target, target)):
            degree[numbering.span(node_type)] += np.bincount(ends, minlength=graph.num_nodes(node_type))
        if key == graph.schema.interaction:
            touched[target] = True
        elif (columns := graph.event_columns(key)) is not None:
            touched[columns[1]] = True
    reach = np.where(degree >= knowledge_degree, np.sqrt(degree), 0.0)
    users, items = numbering.span(graph.schema.user_type), numbering.span(graph.schema.item_type)
    reach[users] = (degree[users] > 0) & user_embedding
    reach[items] = touched
    return reach
