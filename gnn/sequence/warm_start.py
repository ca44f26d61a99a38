"""The weights that a training leaves, as the start of a later one on another graph.

Items and the nodes that they are joined to are matched by their external ids, never by position; what is new starts as
in a training from the beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn.sequence.item_data import ItemData
from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering
from kg.vocabulary import Vocabulary

IDS, NODES = "items.ids", "items.nodes"  # tensors with a row an item, and a row a node

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SequenceWeights:
    """What a training learned.

    Attributes:
        tensors: float32, by the name that they have in training.
        touched: items that have a trained embedding, bool (items,).
        nodes: global number of each row of `NODES`, int64 (nodes,).
        vocabularies: node type -> its ids, in the order of the global numbering.
    """

    tensors: Mapping[str, FloatArray]
    touched: npt.NDArray[np.bool_]
    nodes: IntArray
    vocabularies: Mapping[str, Vocabulary]

    @property
    def fingerprint(self) -> str:
        """Digest of all of it, 64 hexadecimal digits."""
        digest = hashlib.sha256(self.touched.tobytes() + self.nodes.tobytes())
        for name in sorted(self.tensors):
            digest.update(name.encode() + np.ascontiguousarray(self.tensors[name]).tobytes())
        for name, vocabulary in self.vocabularies.items():
            digest.update(name.encode() + vocabulary.fingerprint.encode())
        return digest.hexdigest()

    def starts(self, graph: KnowledgeGraph, data: ItemData, fresh: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The values that a training on another graph starts with.

        Args:
            graph: to train on.
            data: of its items.
            fresh: the values of a training from the beginning, by name.

        Raises:
            ConfigError: the earlier training had other weights than this one.
        """
        row_of = {IDS: self._items(graph), NODES: self._nodes(graph, data)}
        result = {}
        for name, value in fresh.items():
            before = self.tensors.get(name)
            if before is None or before.shape[1:] != value.shape[1:]:
                raise ConfigError(
                    f"the training to go on from has no {name} of {value.shape[1:]}: it had other hyper-parameters"
                )
            if name in row_of:
                row = row_of[name]
                result[name] = np.where(row[:, None] >= 0, before[row], value)
            else:
                result[name] = before
        return result

    def _items(self, graph: KnowledgeGraph) -> IntArray:
        """The row that each item has here, -1 for one without a trained embedding, int64 (items,)."""
        name = graph.schema.item_type
        row = self.vocabularies[name].index(graph.items.ids, missing="negative")
        return np.where((row >= 0) & self.touched[row], row, -1)

    def _nodes(self, graph: KnowledgeGraph, data: ItemData) -> IntArray:
        """The row that each of the nodes has here, -1 for none, int64 (nodes,)."""
        numbering = Numbering.of(graph)
        result = np.full(len(data.nodes), -1, dtype=np.int64)
        first = 0
        for name, vocabulary in self.vocabularies.items():
            if name in graph.nodes:
                span = numbering.span(name)
                here = np.flatnonzero((data.nodes >= span.start) & (data.nodes < span.stop))
                ids = graph.vocabulary(name).take(data.nodes[here] - span.start)
                before = vocabulary.index(ids, missing="negative")
                place = np.searchsorted(self.nodes, before + first).clip(max=max(len(self.nodes) - 1, 0))
                there = before >= 0
                if len(self.nodes):
                    there &= self.nodes[place] == before + first
                    result[here] = np.where(there, place, -1)
            first += len(vocabulary)
        return result
