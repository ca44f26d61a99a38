"""What is taken from a graph to see what it was worth."""

from __future__ import annotations

import numpy as np

from kg import KnowledgeGraph


def shuffled(graph: KnowledgeGraph, seed: int) -> KnowledgeGraph:
    """Every knowledge relation rewired: targets permuted among the edges, so that all degrees stay as they are."""
    random = np.random.default_rng(seed)
    edges = dict(graph.edges)
    for key, table in graph.edges.items():
        if graph.schema.relations[key].event is None:
            place = table.column_names.index("dst")
            edges[key] = table.set_column(place, "dst", table["dst"].take(random.permutation(table.num_rows)))
    return KnowledgeGraph(graph.schema, graph.nodes, edges)
