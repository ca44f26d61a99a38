"""Trained vectors without some nodes: what was learned stays, what was propagated is propagated again without them.

A linear model is E and a handful of weights; all else follows from the graph. So the rows of the nodes go, and Z, h and
g are made anew on the graph that is left: no user's vector, and no hop from one, is in anybody else's any more. What
stays is what the gradients of their interactions did to E and to the weights; only a training without them removes it.
A model that is not linear keeps the vectors of the others as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from gnn.graph.cold_start import untouched_items
from gnn.graph.embeddings import Embeddings, FloatArray, LinearParts, item_prior
from gnn.graph.propagation import Propagation, horner
from gnn.graph.warm_start import FREE, Parameters
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.topology.adjacency import Numbering

Mask = npt.NDArray[np.bool_]


def kept_rows(before: KnowledgeGraph, kept: Mapping[str, Mask]) -> Mask:
    """Which global node numbers stay, bool (nodes,).

    Args:
        before: all nodes.
        kept: node type -> bool (nodes,), for the types that lose any; never the items.
    """
    every = [kept.get(name, np.ones(before.num_nodes(name), dtype=bool)) for name in before.nodes]
    return np.concatenate(every) if every else np.zeros(0, dtype=bool)


def forget_in_features(features: TextFeatures, rows: Mask) -> TextFeatures:
    """Text vectors of the nodes that stay, under their new numbers."""
    stays = rows[features.nodes]
    number = np.cumsum(rows) - 1
    return replace(features, nodes=number[features.nodes[stays]], vectors=features.vectors[stays])


def forget_in_parameters(
    parameters: Parameters, before: KnowledgeGraph, after: KnowledgeGraph, kept: Mapping[str, Mask]
) -> Parameters:
    """What a later training can go on from, without the free embeddings of nodes that go.

    An item that nobody else had touched loses its own, too.
    """
    rows = kept_rows(before, kept)
    taught = parameters.taught[rows]
    taught[Numbering.of(after).span(after.schema.item_type)] &= ~untouched_items(after)
    tensors = dict(parameters.tensors)
    if FREE in tensors:
        tensors[FREE] = tensors[FREE][rows] * taught[:, None]
    nodes = {name: after.vocabulary(name) for name in after.nodes}
    return replace(parameters, tensors=tensors, taught=taught, nodes=nodes)


def forget_in_embeddings(
    found: Embeddings,
    before: KnowledgeGraph,
    after: KnowledgeGraph,
    kept: Mapping[str, Mask],
    *,
    features: TextFeatures | None = None,
) -> Embeddings:
    """Vectors of the nodes that stay.

    Args:
        found: trained on `before`.
        before: a graph or a view of it.
        after: the same without some nodes, none of them an item.
        kept: which ones stay; see `kept_rows`.
        features: text vectors of `after`; an item that nobody else had touched is placed by its own.

    Returns:
        Vectors that fit `after`.
    """
    rows, numbering = kept_rows(before, kept), Numbering.of(after)
    lonely = untouched_items(after) & ~untouched_items(before)
    likes = np.bincount(after.positive_edges(after.schema.interaction_key)[1], minlength=len(after.items))
    result = replace(
        found,
        numbering=numbering,
        fingerprints={name: after.vocabulary(name).fingerprint for name in after.nodes},
        final=found.final[rows],
        item_prior=item_prior(likes, found.prior),
        parameters=None,
    )
    linear = found.linear
    if linear is not None:
        result = _propagated(result, linear, after, rows, lonely, features)
    if result.cold is not None and (linear is None or linear.placed is None):
        result = replace(result, cold=likes == 0)
    return result.with_cold_scale(result.cold_scale)


def _propagated(
    found: Embeddings,
    linear: LinearParts,
    graph: KnowledgeGraph,
    rows: Mask,
    lonely: Mask,
    features: TextFeatures | None,
) -> Embeddings:
    items = found.numbering.span(found.item_type)
    base = linear.base[rows]
    base[items][lonely] = _own_texts(linear, features, found)[lonely]
    learned = len(linear.relations) - len(linear.placing)
    tables = _layers(graph, linear, slice(0, learned), base)
    placed, cold = linear.placed, found.cold
    if placed is not None and cold is not None:
        # Whom nothing but attributes and texts place: what they were handed does not depend on users.
        placed, cold = placed[rows], cold | lonely
        old = np.flatnonzero(placed)
        for table, before in zip(tables, (found.final, linear.tail[rows], linear.tail2[rows]), strict=True):
            table[old] = before[old]
        new = items.start + np.flatnonzero(lonely)
        placed[new] = True
        alphas = np.zeros(len(tables) + 1, dtype=np.float32)
        alphas[: min(len(linear.alphas), len(alphas))] = linear.alphas[: len(alphas)]
        received = _received(graph, linear, base)
        for layer, table in enumerate(tables):
            table[new] = alphas[layer] * base[new] + alphas[layer + 1] * received[new]
    final, tail, tail2 = tables
    parts = replace(linear, base=base, tail=tail, tail2=tail2, placed=placed)
    return replace(found, final=final, linear=parts, cold=cold)


def _own_texts(linear: LinearParts, features: TextFeatures | None, found: Embeddings) -> FloatArray:
    """What the text of each item gives it, zero where it has none, (items, dim)."""
    own = np.zeros((len(found.item_scale), found.dim), dtype=np.float32)
    if features is not None and linear.text_projection is not None:
        at, vectors = features.of(found.numbering, found.item_type)
        own[at] = vectors @ linear.text_projection
    return own


@torch.no_grad()
def _layers(graph: KnowledgeGraph, linear: LinearParts, chosen: slice, base: FloatArray) -> tuple[FloatArray, ...]:
    """Z, h and g along some of the relations."""
    operator = Propagation.of(graph, linear.relations[chosen]).operator()
    weights, alphas = torch.from_numpy(linear.weights[chosen].copy()), torch.from_numpy(linear.alphas)
    found = horner(operator, torch.from_numpy(base), weights, alphas)
    return tuple(np.array(table.numpy(), dtype=np.float32) for table in found)


@torch.no_grad()
def _received(graph: KnowledgeGraph, linear: LinearParts, base: FloatArray) -> FloatArray:
    """What one hop along the placing relations brings, (nodes, dim)."""
    if not linear.placing:
        return np.zeros_like(base)
    propagation = Propagation.of(graph, linear.relations)
    weights = linear.weights.copy()
    weights[: len(linear.relations) - len(linear.placing)] = 0  # the relations that were trained along
    hop = propagation.operator().bind(torch.from_numpy(weights))
    received: FloatArray = hop(torch.from_numpy(base)).numpy()
    return received
