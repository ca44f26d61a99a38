"""Text vectors as the channels compare them: of length 1, less their mean."""

from __future__ import annotations

import numpy as np

from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.topology.adjacency import Numbering
from recall.channels.base import unit_rows
from recall.channels.scores import FloatArray


def unit_item_texts(
    graph: KnowledgeGraph, features: TextFeatures, *, centre: bool = True
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Unit vectors of the items that have a text.

    Args:
        graph: with the items.
        features: text vectors of its nodes.
        centre: subtract the mean vector first: sentence vectors share a common direction that makes all texts look
            alike (Mu and Viswanath, "All-but-the-Top", ICLR 2018).

    Returns:
        Positions of these items, ascending, int64 (texts,); their vectors, float32 (texts, dim); what was subtracted,
        float32 (dim,).
    """
    items, vectors = features.of(Numbering.of(graph), graph.schema.item_type)
    filled = np.linalg.norm(vectors, axis=1) > 0
    items, vectors = items[filled], vectors[filled]
    mean = np.zeros(features.dim, dtype=np.float32)
    if centre and len(items):
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return items, unit_rows(vectors - mean), mean


def unit_texts(encoded: FloatArray, mean: FloatArray) -> FloatArray:
    """Unit vectors of encoded texts (m, dim) less the mean of `unit_item_texts`; a zero row is no text, and stays."""
    unit: FloatArray = np.where(encoded.any(axis=1, keepdims=True), unit_rows(encoded - mean), 0)
    return unit
