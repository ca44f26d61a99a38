"""Vectors of items that nobody has touched, predicted from texts and attributes after training.

The model is trained on interactions alone: where there are any, texts and attributes do not help. A ridge regression
then predicts the vectors that touched items are served with from what untouched items have too. Touched items keep
their vectors to the bit, and the result stays linear: a text is a layer-0 vector, and an attribute passes its vector to
the untouched items that have it (gnn.graph.embeddings.LinearParts.placing). An uncertain prediction is short, so the
length of a vector says how much the item may be liked; one factor for all placed items, chosen on validation, sets how
they compete with the others.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix, diags

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import score_blocks
from gnn.evaluation.top_k import top_k
from gnn.evaluation.validation import VALIDATION_K, Validation, largest_factor
from gnn.graph.embeddings import Embeddings, FloatArray
from gnn.graph.layer0 import TextVectors
from gnn.graph.ridge import ridge
from gnn.settings import TrainingConfig
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering

SCALES = 2.0 ** (np.arange(-32, 65) / 16)


def untouched_items(graph: KnowledgeGraph) -> npt.NDArray[np.bool_]:
    """Items without any event of a user, bool (items,); a bad rating is an event, too."""
    touched = np.zeros(len(graph.items), dtype=bool)
    for key in graph.edges:
        if (columns := graph.event_columns(key)) is not None:
            touched[columns[1]] = True
    return ~touched


def place_cold_items(
    embeddings: Embeddings,
    graph: KnowledgeGraph,
    training: TrainingConfig,
    *,
    relations: tuple[RelationKey, ...],
    features: TextVectors | None = None,
    validation: Validation | None = None,
    scale: float | None = None,
) -> Embeddings:
    """Give untouched items a vector, from their texts and their attributes; all others stay as they are.

    min over P, C of sum_i w_i |t_i - x_i P - sum_k a_ik c_k|^2 + cold_ridge (|P|^2 + |C|^2 / cold_attributes), over the
    touched items i, with t_i the vector that i is served with (zero for an item that was rated, and liked by nobody),
    w_i its interactions to the power `cold_reliability`, with mean 1, x_i its text vector and a_ik the sum over
    relations of sqrt(d_k) / sqrt(d_r(i) d_r(k)). Time and memory of the solver (gnn.graph.ridge) are linear in the
    edges.

    Args:
        embeddings: a linear model of the interactions alone, without texts.
        graph: what it was trained on.
        training: `cold_ridge`, `cold_attributes`, `cold_reliability`, `cold_cost`.
        relations: where attributes come from: those that are no events and connect the items with another type.
        features: text vectors; those of items are used.
        validation: to choose the factor of the placed items on: the largest that costs at most `cold_cost` of
            recall@20.
        scale: the factor, when nothing validates it; None: 1, the prediction as it is.

    Returns:
        The vectors with `cold` and `cold_scale` of the placed items, and what placed them in `linear`.

    Raises:
        ConfigError: the model is not linear, or was trained with texts or other relations.
    """
    started = time.perf_counter()
    linear = embeddings.linear
    if linear is None or len(linear.relations) != 1 or linear.text_projection is not None:
        raise ConfigError("cold items are placed by a linear model of the interactions alone, without texts")
    items = embeddings.numbering.span(embeddings.item_type)
    attributes, degree, placing = _attributes(graph, embeddings.numbering, relations)
    texts, rows = _texts(features, items)
    untouched = untouched_items(graph)
    counts = np.bincount(graph.interactions.item, minlength=len(untouched))
    touched = np.flatnonzero(~untouched)
    weight = np.maximum(counts[touched], 1.0) ** training.cold_reliability
    weight /= weight.mean() if len(touched) else 1.0
    reach = np.sqrt(degree * training.cold_attributes)
    row_of = np.full(len(untouched), -1, dtype=np.int64)
    row_of[touched] = np.arange(len(touched))
    with_text = row_of[rows] >= 0
    dense = np.zeros((len(touched), texts.shape[1]), dtype=np.float32)
    dense[row_of[rows[with_text]]] = texts[with_text]
    sparse = (attributes @ diags(reach))[touched].astype(np.float32)
    solution = ridge(dense, sparse, embeddings.scaled_items[touched], weight, training.cold_ridge)
    width = texts.shape[1]
    alphas = np.zeros(5)
    alphas[: len(linear.alphas)] = linear.alphas
    projection = solution[:width] / alphas[0]
    vectors = (reach[:, None] * solution[width:]) / alphas[1] if placing else np.zeros((len(reach), embeddings.dim))

    own, received = np.zeros((len(untouched), embeddings.dim)), attributes @ vectors
    own[rows] = texts @ projection
    placed = untouched & ((alphas[0] * own + alphas[1] * received) != 0).any(axis=1)
    base, tail, tail2, final = (part.copy() for part in (linear.base, linear.tail, linear.tail2, embeddings.final))
    nodes, places = np.flatnonzero(degree), items.start + np.flatnonzero(placed)
    base[nodes], base[places] = vectors[nodes], own[placed]
    # Attributes receive nothing: a walk that begins at one ends at its items.
    for layer, table in enumerate((final, tail, tail2)):
        table[nodes] = alphas[layer] * vectors[nodes]
        table[places] = alphas[layer] * own[placed] + alphas[layer + 1] * received[placed]
    is_placed = np.zeros(len(base), dtype=bool)
    is_placed[places] = True
    linear = replace(
        linear,
        base=base,
        tail=tail,
        tail2=tail2,
        relations=(*linear.relations, *placing),
        weights=np.concatenate([linear.weights, np.ones(len(placing), dtype=np.float32)]),
        text_projection=projection.astype(np.float32) if width else None,
        placing=placing,
        placed=is_placed,
    )
    result = replace(embeddings, final=final, cold=placed, linear=linear)
    facts: dict[str, Any] = {"placed": int(placed.sum())}
    if validation is not None and placed.any():
        scale, with_them, without = choose_scale(result, validation, training)
        facts |= {"recall@20": with_them, "recall@20 without them": without}
    result = result.with_cold_scale(1.0 if scale is None else scale)
    facts |= {"scale": result.cold_scale, "seconds": round(time.perf_counter() - started, 3)}
    return replace(result, facts={**embeddings.facts, "cold_items": facts})


def choose_scale(
    embeddings: Embeddings, validation: Validation, training: TrainingConfig
) -> tuple[float, float, float]:
    """The largest factor of placed items that costs at most `cold_cost` of recall@20 on validation.

    The smallest of `SCALES` where even that costs more.

    Args:
        embeddings: with cold items; their present factor does not matter.
        validation: the users to rank all items for.
        training: `cold_cost`, `validation_users`.

    Returns:
        The factor, recall@20 with it, and recall@20 without the placed items.
    """
    cold = embeddings.cold
    assert cold is not None  # noqa: S101 (place_cold_items has just set it)
    users = np.flatnonzero(validation.truth.counts)
    if len(users) > training.validation_users:
        users = users[np.linspace(0, len(users) - 1, training.validation_users).astype(np.int64)]
    truth, seen = validation.truth.take(users), validation.seen.take(users)
    vectors = torch.from_numpy(embeddings.with_cold_scale(1.0).index_vectors)
    queries = torch.from_numpy(embeddings.query_vectors(embeddings.users[users]))
    # A list under any factor is a merger of two: the best warm items, and the best cold ones.
    lists: list[tuple[IntArray, FloatArray]] = []
    for left_out in (cold, ~cold):
        mask = torch.from_numpy(left_out)
        positions, values = [], []
        for _, scores in score_blocks(queries, vectors, seen=seen):
            scores[:, mask] = -torch.inf
            best, best_scores = top_k(scores.numpy(), VALIDATION_K)
            positions.append(best)
            values.append(best_scores.astype(np.float32, copy=False))
        lists.append((np.concatenate(positions), np.concatenate(values)))
    (warm_items, warm_scores), (cold_items, cold_scores) = lists
    both = np.concatenate([warm_items, cold_items], axis=1)

    def recall(factor: float) -> float:
        values = np.concatenate([warm_scores, cold_scores * np.float32(factor)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :VALIDATION_K]
        return float(per_user_metrics(np.take_along_axis(both, order, axis=1), truth, VALIDATION_K)["recall"].mean())

    without = float(per_user_metrics(warm_items, truth, VALIDATION_K)["recall"].mean())
    return *largest_factor(recall, SCALES.tolist(), without=without, cost=training.cold_cost), without


def _attributes(
    graph: KnowledgeGraph, numbering: Numbering, relations: tuple[RelationKey, ...]
) -> tuple[Any, npt.NDArray[np.float64], tuple[RelationKey, ...]]:
    """A of the relations that place items, (items, nodes), each node's number of edges in them, and those relations."""
    item_type, nodes = graph.schema.item_type, len(numbering)
    total, degree = csr_matrix((len(graph.items), nodes)), np.zeros(nodes)
    placing = []
    for key in relations:
        # A relation among items would give an item two vectors, one of its own and one to pass on.
        if graph.schema.relations[key].event is not None or (key.source == item_type) == (key.target == item_type):
            continue
        source, target = graph.positive_edges(key)
        if not len(source):
            continue
        item, other, kind = (source, target, key.target) if key.source == item_type else (target, source, key.source)
        node = other + numbering.span(kind).start
        item_degree, node_degree = np.bincount(item, minlength=len(graph.items)), np.bincount(node, minlength=nodes)
        total += csr_matrix((1 / np.sqrt(item_degree[item] * node_degree[node]), (item, node)), shape=total.shape)
        degree += node_degree
        placing.append(key)
    return total.tocsr(), degree, tuple(placing)


def _texts(features: TextVectors | None, items: slice) -> tuple[FloatArray, IntArray]:
    """Text vectors of items, (n, text dim), and their positions, (n,)."""
    if features is None or not len(features.nodes):
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
    of_items = np.flatnonzero((features.nodes >= items.start) & (features.nodes < items.stop))
    return features.vectors[of_items], features.nodes[of_items] - items.start
