"""What is known of the items, beside who liked them: texts, and the nodes that they are joined to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn.sequence.settings import SequenceConfig
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering


@dataclass(frozen=True, kw_only=True)
class ItemData:
    """What vectors of items are made of.

    Attributes:
        touched: items that somebody likes in the training, which therefore have an embedding, bool (items,).
        text_row: row of each item in `texts`, -1 for none, int64 (items,); None: texts are not read.
        texts: float32 (texts, text dim).
        nodes: the nodes that items are joined to, global numbers (kg.topology.adjacency.Numbering), ascending, int64
            (nodes,).
        joined: for each item the rows of its nodes in `nodes`, (items,) lists; None: knowledge is not read.
    """

    touched: npt.NDArray[np.bool_]
    text_row: IntArray | None
    texts: npt.NDArray[np.float32]
    nodes: IntArray
    joined: RaggedArray | None

    @classmethod
    def of(
        cls,
        graph: KnowledgeGraph,
        config: SequenceConfig,
        features: TextFeatures | None,
        touched: npt.NDArray[np.bool_],
    ) -> ItemData:
        """What the parts of a configuration read of a graph.

        Args:
            graph: to train on.
            config: names the parts.
            features: text vectors of the nodes; None: there are none.
            touched: see the class.

        Raises:
            ConfigError: none of the parts is there, or a relation is not.
        """
        numbering, count = Numbering.of(graph), len(graph.items)
        text_row, texts = None, np.zeros((0, 0), dtype=np.float32)
        if "text" in config.item_parts and features is not None:
            rows, texts = features.of(numbering, graph.schema.item_type)
            if len(rows):
                text_row = np.full(count, -1, dtype=np.int64)
                text_row[rows] = np.arange(len(rows))
        joined, nodes = None, np.zeros(0, dtype=np.int64)
        if "knowledge" in config.item_parts:
            item, node = _edges(graph, _chosen(graph, config.relations), numbering)
            if len(item):
                nodes, row = np.unique(node, return_inverse=True)
                joined = RaggedArray.from_pairs(item, row, num_rows=count)
        if "id" not in config.item_parts:
            if text_row is None and joined is None:
                raise ConfigError(
                    f"item_parts = {list(config.item_parts)}: the items of this graph have nothing of it; add 'id'"
                )
            touched = np.zeros(count, dtype=bool)
        return cls(touched=touched, text_row=text_row, texts=texts, nodes=nodes, joined=joined)

    @property
    def described(self) -> npt.NDArray[np.bool_]:
        """Items that have a vector, bool (items,)."""
        result = self.touched.copy()
        if self.text_row is not None:
            result |= self.text_row >= 0
        if self.joined is not None:
            result |= self.joined.counts > 0
        return result


def _chosen(graph: KnowledgeGraph, names: tuple[str, ...] | None) -> list[RelationKey]:
    """Relations of knowledge between items and nodes that are neither items nor users."""
    schema = graph.schema
    keys = [
        key
        for key in graph.edges
        if (key.source == schema.item_type) != (key.target == schema.item_type)
        and schema.user_type not in (key.source, key.target)
        and schema.relations[key].event is None
    ]
    if names is None:
        return keys
    if unknown := [name for name in names if name not in {key.name for key in keys}]:
        possible = ", ".join(sorted(key.name for key in keys)) or "none"
        raise ConfigError(f"relations names {', '.join(map(repr, unknown))}; those of the items are {possible}")
    return [key for key in keys if key.name in names]


def _edges(graph: KnowledgeGraph, keys: list[RelationKey], numbering: Numbering) -> tuple[IntArray, IntArray]:
    """Positions of items, and global numbers of the nodes that they are joined to, (edges,) each."""
    items, nodes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for key in keys:
        source, target = graph.positive_edges(key)
        is_source = key.source == graph.schema.item_type
        item, other = (source, target) if is_source else (target, source)
        items.append(item)
        nodes.append(other + numbering.span(key.target if is_source else key.source).start)
    return np.concatenate(items), np.concatenate(nodes)
