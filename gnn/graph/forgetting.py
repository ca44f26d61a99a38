"""Trained vectors without some nodes, such as forgotten users.

A linear model is E and a few weights; everything else follows from the graph. So the rows of the removed nodes go, and
Z, h and g are propagated again on the remaining graph: no vector of a removed user, and no hop from one, is part of any
other vector. What remains is what the gradients of their interactions did to E and to the weights; only a training
without them removes that. A model that is not linear keeps the other vectors as they are.
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
    """Text vectors of the nodes that stay, under their new numbers.

    Args:
        features: of all nodes.
        rows: which global node numbers stay; see `kept_rows`.
    """
    stays = rows[features.nodes]
    number = np.cumsum(rows) - 1
    return replace(features, nodes=number[features.nodes[stays]], vectors=features.vectors[stays])


def forget_in_parameters(
    parameters: Parameters, before: KnowledgeGraph, after: KnowledgeGraph, kept: Mapping[str, Mask]
) -> Parameters:
    """The weights that a later training can start from, without the free embeddings of removed nodes.

    An item that only removed users had touched loses its own, too.

    Args:
        parameters: trained on `before`.
        before: a graph or a view of it.
        after: the same without some nodes, none of them an item.
        kept: which ones stay; see `kept_rows`.
    """
    rows = kept_rows(before, kept)
    trained = parameters.trained[rows]
    trained[Numbering.of(after).span(after.schema.item_type)] &= ~untouched_items(after)
    tensors = dict(parameters.tensors)
    if FREE in tensors:
        tensors[FREE] = tensors[FREE][rows] * trained[:, None]
    nodes = {name: after.vocabulary(name) for name in after.nodes}
    return replace(parameters, tensors=tensors, trained=trained, nodes=nodes)


def forget_in_embeddings(
    embeddings: Embeddings,
    before: KnowledgeGraph,
    after: KnowledgeGraph,
    kept: Mapping[str, Mask],
    *,
    features: TextFeatures | None = None,
) -> Embeddings:
    """Vectors of the nodes that stay.

    Args:
        embeddings: trained on `before`.
        before: a graph or a view of it.
        after: the same without some nodes, none of them an item.
        kept: which ones stay; see `kept_rows`.
        features: text vectors of `after`; they place an item that only removed users had touched.

    Returns:
        Vectors that fit `after`.
    """
    rows, numbering = kept_rows(before, kept), Numbering.of(after)
    newly_untouched = untouched_items(after) & ~untouched_items(before)
    likes = np.bincount(after.positive_edges(after.schema.interaction_key)[1], minlength=len(after.items))
    result = replace(
        embeddings,
        numbering=numbering,
        fingerprints={name: after.vocabulary(name).fingerprint for name in after.nodes},
        final=embeddings.final[rows],
        item_prior=item_prior(likes, embeddings.prior),
        parameters=None,
    )
    linear = embeddings.linear
    if linear is not None:
        result = _propagated(result, linear, after, rows, newly_untouched, features)
    if result.cold is not None and (linear is None or linear.placed is None):
        result = replace(result, cold=likes == 0)
    return result.with_cold_scale(result.cold_scale)


def _propagated(
    embeddings: Embeddings,
    linear: LinearParts,
    graph: KnowledgeGraph,
    rows: Mask,
    newly_untouched: Mask,
    features: TextFeatures | None,
) -> Embeddings:
    """The vectors, propagated on the remaining graph.

    Args:
        embeddings: already without the removed nodes.
        linear: parts of the model, of all nodes.
        graph: what remains.
        rows: which nodes stay.
        newly_untouched: items that only removed users had touched, bool (items,).
        features: text vectors of `graph`.
    """
    items = embeddings.numbering.span(embeddings.item_type)
    base = linear.base[rows]
    base[items][newly_untouched] = _projected_texts(linear, features, embeddings)[newly_untouched]
    trained = len(linear.relations) - len(linear.placing)
    tables = _layers(graph, linear, slice(0, trained), base)
    placed, cold = linear.placed, embeddings.cold
    if placed is not None and cold is not None:
        # The vectors of placed items come from attributes and texts alone, so they do not depend on users.
        placed, cold = placed[rows], cold | newly_untouched
        old = np.flatnonzero(placed)
        for table, before in zip(tables, (embeddings.final, linear.tail[rows], linear.tail2[rows]), strict=True):
            table[old] = before[old]
        new = items.start + np.flatnonzero(newly_untouched)
        placed[new] = True
        alphas = np.zeros(len(tables) + 1, dtype=np.float32)
        alphas[: min(len(linear.alphas), len(alphas))] = linear.alphas[: len(alphas)]
        received = _received(graph, linear, base)
        for layer, table in enumerate(tables):
            table[new] = alphas[layer] * base[new] + alphas[layer + 1] * received[new]
    final, tail, tail2 = tables
    parts = replace(linear, base=base, tail=tail, tail2=tail2, placed=placed)
    return replace(embeddings, final=final, linear=parts, cold=cold)


def _projected_texts(linear: LinearParts, features: TextFeatures | None, embeddings: Embeddings) -> FloatArray:
    """The projected text of each item, zero where it has none, (items, dim)."""
    projected = np.zeros((len(embeddings.item_scale), embeddings.dim), dtype=np.float32)
    if features is not None and linear.text_projection is not None:
        positions, vectors = features.of(embeddings.numbering, embeddings.item_type)
        projected[positions] = vectors @ linear.text_projection
    return projected


@torch.no_grad()
def _layers(graph: KnowledgeGraph, linear: LinearParts, chosen: slice, base: FloatArray) -> tuple[FloatArray, ...]:
    """Z, h and g along some of the relations."""
    operator = Propagation.of(graph, linear.relations[chosen]).operator()
    weights, alphas = torch.from_numpy(linear.weights[chosen].copy()), torch.from_numpy(linear.alphas)
    tables = horner(operator, torch.from_numpy(base), weights, alphas)
    return tuple(np.array(table.numpy(), dtype=np.float32) for table in tables)


@torch.no_grad()
def _received(graph: KnowledgeGraph, linear: LinearParts, base: FloatArray) -> FloatArray:
    """The sum over one hop along the placing relations, (nodes, dim)."""
    if not linear.placing:
        return np.zeros_like(base)
    propagation = Propagation.of(graph, linear.relations)
    weights = linear.weights.copy()
    weights[: len(linear.relations) - len(linear.placing)] = 0  # the relations of the training
    hop = propagation.operator().bind(torch.from_numpy(weights))
    received: FloatArray = hop(torch.from_numpy(base)).numpy()
    return received
