"""Where items stand that nobody has touched: predicted from texts and knowledge, after training and beside it.

The model is trained on interactions alone, which texts and knowledge do not help where there are any. A ridge
regression then predicts the vectors that touched items are served with from what an untouched item has too. Touched
items keep their vectors to the bit, and the result is linear as before: a text is one more layer-0 vector, and an
attribute hands its vector to the untouched items that have it (gnn.graph.embeddings.LinearParts.placing). A prediction
that is not sure is short, so that lengths tell how well an item may be liked, and one factor for all of them, chosen on
validation, says how loudly they speak among the others.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, diags

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import score_blocks
from gnn.evaluation.top_k import top_k
from gnn.evaluation.validation import VALIDATION_K, Validation
from gnn.graph.embeddings import Embeddings, FloatArray
from gnn.graph.layer0 import TextVectors
from gnn.settings import TrainingConfig
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering

MAX_ITERATIONS = 200
TOLERANCE = 1e-3
SCALES = 2.0 ** (np.arange(-32, 65) / 16)


def untouched_items(graph: KnowledgeGraph) -> npt.NDArray[np.bool_]:
    """Items without a trace of any user, bool (items,): rated badly is touched."""
    touched = np.zeros(len(graph.items), dtype=bool)
    for key in graph.edges:
        if (columns := graph.event_columns(key)) is not None:
            touched[columns[1]] = True
    return ~touched


def place_cold_items(
    found: Embeddings,
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
    relations of sqrt(d_k) / sqrt(d_r(i) d_r(k)). It is solved by conjugate gradients (Hestenes and Stiefel 1952), so
    that time and memory are linear in the edges.

    Args:
        found: a linear model of the interactions alone, without texts.
        graph: what it was trained on.
        training: `cold_ridge`, `cold_attributes`, `cold_reliability`, `cold_cost`.
        relations: where attributes come from: those that are no events and join the items with another type.
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
    linear = found.linear
    if linear is None or len(linear.relations) != 1 or linear.text_projection is not None:
        raise ConfigError("cold items are placed beside a linear model of the interactions alone, without texts")
    items = found.numbering.span(found.item_type)
    attributes, degree, placing = _attributes(graph, found.numbering, relations)
    texts, rows = _texts(features, items)
    untouched = untouched_items(graph)
    counts = np.bincount(graph.interactions.item, minlength=len(untouched))
    known = np.flatnonzero(~untouched)
    weight = np.maximum(counts[known], 1.0) ** training.cold_reliability
    weight /= weight.mean() if len(known) else 1.0
    reach = np.sqrt(degree * training.cold_attributes)
    spread = attributes @ diags(reach)
    solution = _ridge(texts, rows, spread, known, found.scaled_items[known], weight, training.cold_ridge)
    width = texts.shape[1]
    alphas = np.zeros(5)
    alphas[: len(linear.alphas)] = linear.alphas
    projection = solution[:width] / alphas[0]
    vectors = (reach[:, None] * solution[width:]) / alphas[1] if placing else np.zeros((len(reach), found.dim))

    own, received = np.zeros((len(untouched), found.dim)), attributes @ vectors
    own[rows] = texts @ projection
    placed = untouched & ((alphas[0] * own + alphas[1] * received) != 0).any(axis=1)
    base, tail, tail2, final = (array.copy() for array in (linear.base, linear.tail, linear.tail2, found.final))
    nodes, at = np.flatnonzero(degree), items.start + np.flatnonzero(placed)
    base[nodes], base[at] = vectors[nodes], own[placed]
    # Attributes receive nothing: a walk that begins at one ends at its items.
    for layer, table in enumerate((final, tail, tail2)):
        table[nodes] = alphas[layer] * vectors[nodes]
        table[at] = alphas[layer] * own[placed] + alphas[layer + 1] * received[placed]
    linear = replace(
        linear,
        base=base,
        tail=tail,
        tail2=tail2,
        relations=(*linear.relations, *placing),
        weights=np.concatenate([linear.weights, np.ones(len(placing), dtype=np.float32)]),
        text_projection=projection.astype(np.float32) if width else None,
        placing=placing,
        placed=_marked(len(base), at),
    )
    result = replace(found, final=final, cold=placed, linear=linear)
    facts: dict[str, Any] = {"placed": int(placed.sum())}
    if validation is not None and placed.any():
        scale, with_them, without = choose_scale(result, validation, training)
        facts |= {"recall@20": with_them, "recall@20 without them": without}
    result = result.with_cold_scale(1.0 if scale is None else scale)
    facts |= {"scale": result.cold_scale, "seconds": round(time.perf_counter() - started, 3)}
    return replace(result, facts={**found.facts, "cold_items": facts})


def choose_scale(
    embeddings: Embeddings, validation: Validation, training: TrainingConfig
) -> tuple[float, float, float]:
    """The largest factor of placed items that costs at most `cold_cost` of recall@20 on validation.

    The smallest of `SCALES` where even that costs more.

    Args:
        embeddings: with cold items, of whatever factor.
        validation: who asks, all items ranked.
        training: `cold_cost`, `validation_users`.

    Returns:
        The factor, recall@20 with it, and recall@20 without the placed items.
    """
    cold = embeddings.cold
    assert cold is not None  # noqa: S101 (place_cold_items has just set it)
    asked = np.flatnonzero(validation.truth.counts)
    if len(asked) > training.validation_users:
        asked = asked[np.linspace(0, len(asked) - 1, training.validation_users).astype(np.int64)]
    truth, seen = validation.truth.take(asked), validation.seen.take(asked)
    vectors = torch.from_numpy(embeddings.with_cold_scale(1.0).index_vectors)
    queries = torch.from_numpy(embeddings.query_vectors(embeddings.users[asked]))
    # A list under any factor is a merger of two: the best of the others, and the best of these.
    lists: list[tuple[IntArray, FloatArray]] = []
    for chosen in (~cold, cold):
        mask = torch.from_numpy(~chosen)
        places, values = [], []
        for _, scores in score_blocks(queries, vectors, seen=seen):
            scores[:, mask] = -torch.inf
            best, kept = top_k(scores.numpy(), VALIDATION_K)
            places.append(best)
            values.append(kept.astype(np.float32, copy=False))
        lists.append((np.concatenate(places), np.concatenate(values)))
    (others, other_scores), (these, cold_scores) = lists
    joined = np.concatenate([others, these], axis=1)

    def recall(factor: float) -> float:
        values = np.concatenate([other_scores, cold_scores * np.float32(factor)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :VALIDATION_K]
        return float(per_user_metrics(np.take_along_axis(joined, order, axis=1), truth, VALIDATION_K)["recall"].mean())

    without = float(per_user_metrics(others, truth, VALIDATION_K)["recall"].mean())
    largest = float(SCALES[0])
    reached = recall(largest)
    for factor in SCALES[1:].tolist():
        if (value := recall(factor)) >= (1 - training.cold_cost) * without:
            largest, reached = factor, value
    return largest, reached, without


def _attributes(
    graph: KnowledgeGraph, numbering: Numbering, relations: tuple[RelationKey, ...]
) -> tuple[Any, npt.NDArray[np.float64], tuple[RelationKey, ...]]:
    """A of the relations that place items, (items, nodes), the edges of each node under them, and those relations."""
    item_type, nodes = graph.schema.item_type, len(numbering)
    total, degree = csr_matrix((len(graph.items), nodes)), np.zeros(nodes)
    placing = []
    for key in relations:
        # A relation among items would give an item two vectors, one to be found by and one to hand on.
        if graph.schema.relations[key].event is not None or (key.source == item_type) == (key.target == item_type):
            continue
        source, target = graph.positive_edges(key)
        if not len(source):
            continue
        item, other, kind = (source, target, key.target) if key.source == item_type else (target, source, key.source)
        node = other + numbering.span(kind).start
        ours, theirs = np.bincount(item, minlength=len(graph.items)), np.bincount(node, minlength=nodes)
        total += csr_matrix((1 / np.sqrt(ours[item] * theirs[node]), (item, node)), shape=total.shape)
        degree += theirs
        placing.append(key)
    return total.tocsr(), degree, tuple(placing)


def _texts(features: TextVectors | None, items: slice) -> tuple[FloatArray, IntArray]:
    """Text vectors of items, (n, text dim), and their positions, (n,)."""
    if features is None or not len(features.nodes):
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
    of_items = np.flatnonzero((features.nodes >= items.start) & (features.nodes < items.stop))
    return features.vectors[of_items], features.nodes[of_items] - items.start


def _ridge(
    texts: FloatArray,
    rows: IntArray,
    attributes: Any,
    known: IntArray,
    targets: FloatArray,
    weight: npt.NDArray[np.float64],
    penalty: float,
) -> npt.NDArray[np.float64]:
    """Coefficients of texts and attributes, (text dim + nodes, dim), by conjugate gradients, all columns at once."""
    place = np.full(attributes.shape[0], -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    given = np.flatnonzero(place[known] >= 0)
    dense = np.zeros((len(known), texts.shape[1]), dtype=np.float32)
    dense[given] = texts[place[known[given]]]
    sparse = attributes[known].astype(np.float32)
    # Attributes that no known item has stay at zero.
    used = np.unique(sparse.indices)
    sparse = sparse[:, used].tocsr()
    across = sparse.T.tocsr()
    width = dense.shape[1]
    count = weight.astype(np.float32)[:, None]

    def product(x: FloatArray) -> FloatArray:
        predicted = count * (dense @ x[:width] + sparse @ x[width:])
        result: FloatArray = np.concatenate([dense.T @ predicted, across @ predicted]) + np.float32(penalty) * x
        return result

    # The texts' own block is dense and small: solved as it is, it leaves little to iterate for.
    block = cho_factor((dense.T @ (count * dense)).astype(np.float64) + penalty * np.eye(width)) if width else None
    diagonal = np.asarray(across.multiply(across) @ weight).astype(np.float32) + np.float32(penalty)

    def precondition(x: FloatArray) -> FloatArray:
        first = cho_solve(block, x[:width]).astype(np.float32) if block is not None else x[:0]
        result: FloatArray = np.concatenate([first, x[width:] / diagonal[:, None]])
        return result

    weighted = count * targets
    right: FloatArray = np.concatenate([dense.T @ weighted, across @ weighted])
    x, residual = np.zeros_like(right), right
    direction = shifted = precondition(residual)
    size = _dots(residual, shifted)
    enough = TOLERANCE**2 * _dots(right, right)
    for _ in range(MAX_ITERATIONS):
        if (_dots(residual, residual) <= enough).all():
            break
        moved = product(direction)
        step = np.divide(size, _dots(direction, moved), out=np.zeros_like(size), where=size > 0).astype(np.float32)
        x, residual = x + step * direction, residual - step * moved
        shifted = precondition(residual)
        before, size = size, _dots(residual, shifted)
        more = np.divide(size, before, out=np.zeros_like(size), where=before > 0).astype(np.float32)
        direction = shifted + more * direction
    result = np.zeros((width + attributes.shape[1], targets.shape[1]))
    result[:width], result[width + used] = x[:width], x[width:]
    return result


def _dots(left: FloatArray, right: FloatArray) -> npt.NDArray[np.float64]:
    """Inner products by column, summed in float64."""
    result: npt.NDArray[np.float64] = np.einsum("nd,nd->d", left, right, dtype=np.float64)
    return result


def _marked(count: int, at: IntArray) -> npt.NDArray[np.bool_]:
    result = np.zeros(count, dtype=bool)
    result[at] = True
    return result
