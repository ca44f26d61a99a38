"""The graph as PyTorch Geometric's `HeteroData`, for models of that library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch_geometric.data import HeteroData

from gnn.text.features import TextFeatures
from kg.errors import ArtifactError
from kg.graph import KnowledgeGraph, column
from kg.interactions import NO_TIME
from kg.topology.adjacency import Numbering


def to_hetero_data(graph: KnowledgeGraph, features: TextFeatures | None = None) -> HeteroData:
    """Convert a graph.

    `node_ids` of the whole holds the external ids of each node type, lists of strings; each node type has `n_id`, the
    positions in that list (a subgraph keeps the right ones), `num_nodes` and, when at least one of its nodes has a text
    vector, `x`, float32 (nodes, dim), zero rows where a node has none.

    Each relation has `edge_index`, int64 (2, edges), from source to target as in the graph: one direction
    (`torch_geometric.transforms.ToUndirected` adds the other), all edges, parallel ones too, negative interactions too.
    Beside it `time` (the timestamp, UTC seconds, int64, the lowest int64 where unknown) and every other numeric column
    under its own name (floats as float32 with NaN where unknown). The interaction relation has `positive`, bool
    (edges,): which edges the schema's rule counts as liked, and the only ones that our own models propagate along.

    Held-out interactions must be out of `graph` already: pass `Split.view(graph, "train")`.

    Args:
        graph: the graph or a view of it.
        features: text vectors of the same nodes, or None.

    Raises:
        ArtifactError: the features number nodes that the graph does not have.
    """
    numbering = Numbering.of(graph)
    if features is not None and len(features) and int(features.nodes[-1]) >= len(numbering):
        raise ArtifactError(
            f"the text features number nodes up to {int(features.nodes[-1])}, the graph has {len(numbering)}: "
            "encode the texts of this graph"
        )
    data = HeteroData()
    # Not beside the nodes: PyG indexes every node attribute with tensors, and lists of strings cannot follow.
    data.node_ids = {name: graph.vocabulary(name).ids.to_pylist() for name in graph.nodes}
    for name in graph.nodes:
        store = data[name]
        store.num_nodes = graph.num_nodes(name)
        store.n_id = torch.arange(graph.num_nodes(name))
        if features is not None:
            rows, vectors = features.of(numbering, name)
            if len(rows):
                x = np.zeros((graph.num_nodes(name), features.dim), dtype=np.float32)
                x[rows] = vectors
                store.x = torch.from_numpy(x)
    for key, table in graph.edges.items():
        store = data[tuple(key)]
        store.edge_index = torch.from_numpy(np.stack([column(table, "src"), column(table, "dst")]))
        for name in table.column_names:
            if name not in ("src", "dst") and (values := _numbers(table[name], whole=name == "timestamp")) is not None:
                store["time" if name == "timestamp" else name] = values
        if key == graph.schema.interaction:
            store.positive = torch.from_numpy(np.array(graph.schema.positive.mask(table)))
    data.validate()
    return data


def _numbers(values: Any, *, whole: bool) -> torch.Tensor | None:
    """A numeric Arrow column as a tensor, (edges,); None for strings, lists and the like."""
    kind = values.type
    if whole and pa.types.is_integer(kind):
        return torch.from_numpy(np.array(values.fill_null(NO_TIME).to_numpy(), dtype=np.int64))
    if pa.types.is_boolean(kind) and not values.null_count:
        return torch.from_numpy(np.array(values.to_numpy(), dtype=bool))
    if pa.types.is_integer(kind) and not values.null_count:
        return torch.from_numpy(np.array(values.to_numpy(), dtype=np.int64))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        floats = (
            values.cast(pa.float64()) if not pa.types.is_boolean(kind) else values.cast(pa.int8()).cast(pa.float64())
        )
        return torch.from_numpy(np.array(floats.fill_null(np.nan).to_numpy(), dtype=np.float32))
    return None
