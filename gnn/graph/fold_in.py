"""Vectors for users and items that training did not have, without training again.

The vectors h of the trained nodes stay as they are, and so do their degrees; a new node has no free embedding and
receives from its neighbours only: z_v = alpha_0 E_v + sum_k A_vk h_k, with A_vk = w_r / sqrt(deg_r(v) deg_r(k))
(gnn.graph.embeddings). This approximates a new training: a new edge would also change the degrees and vectors of its
other end. It is exact for a node whose edges were all there in training and whose layer-0 vector is projected text
alone.

Degrees: that of a new node is the number of its edges in the request, by relation. That of a trained node is that of
training, and at least 1: an item that nobody has touched counts as touched by the new user.

A model that is not linear (GCN) has no such parts. There a new user is the mean of the vectors of the liked items;
text, attributes and new items need a new training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from gnn.graph.embeddings import Embeddings, FloatArray, LinearParts
from gnn.graph.shares import (
    Half,
    Halves,
    NoShares,
    Shares,
    check_numbering,
    combine,
    relation_weights,
    unsplit,
)
from kg.arrays import IntArray, RaggedArray
from kg.errors import ConfigError, InvalidDataError
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency

Attributes = Sequence[Mapping[RelationKey, IntArray]]


def fold_in_users(
    embeddings: Embeddings,
    adjacency: Adjacency,
    *,
    histories: RaggedArray,
    text: FloatArray | None = None,
    attributes: Attributes | None = None,
    interaction: RelationKey | None = None,
    against: RaggedArray | None = None,
    against_weight: float = -1.0,
) -> FloatArray:
    """Vectors of users that training did not have.

    Linear model: z_v = sum_j A_vj h_j over the history. Text and attributes act together as one more liked item p, with
    h_p = alpha_1 E_p + sum_k A_pk g_k (g is `LinearParts.tail2`, E_p the projected text). p counts as much as a liked
    item does on average over all interactions of training: its degree d is set so that d^-1/2 is the mean of
    deg(j)^-1/2 over the interaction edges. With its true degree, 1, one sentence would outweigh ten popular items.

    Other models: the mean of the vectors of the liked items.

    Args:
        embeddings: a trained model.
        adjacency: of the graph it was trained on.
        histories: liked items by position, (n,) lists, which may be empty.
        text: text vectors in the model's text space, float32 (n, text dim); a row of zeros is no text.
        attributes: for each row relation of the item type -> positions of its other ends, (n,). Relations of the graph
            that the model does not propagate along add nothing.
        interaction: the relation that the history stands for; None: the model's only one from users to items.
        against: disliked items by position, (n,) lists, which act as a history of their own times a weight.
        against_weight: that weight, below 0.

    Returns:
        Vectors like those of `embeddings.users`, float32 (n, dim); zero for a row without any evidence.

    Raises:
        ConfigError: text or attributes for a model that is not linear, or the interaction relation is not clear.
        InvalidDataError: lengths, positions, relations or the text do not fit the model.
        ArtifactError: embeddings and adjacency are of different graphs.
    """
    if embeddings.linear is None:
        if text is not None or attributes is not None:
            raise ConfigError("this model is not linear, so text and attributes place nobody: give a history")
        _check_histories(embeddings, histories)
        mean = _mean_of_items(embeddings, histories)
        if against is not None:
            _check_histories(embeddings, against)
            mean += np.float32(against_weight) * _mean_of_items(embeddings, against)
        return mean
    terms = _terms(embeddings, adjacency, embeddings.linear, histories, text, attributes, interaction)
    if against is not None:
        terms = terms.beside(
            _terms(embeddings, adjacency, embeddings.linear, against, None, None, interaction), against_weight
        )
    result = _receive(terms.row, terms.node, terms.coefficient, embeddings.linear.tail, len(histories))
    result[terms.described] += terms.description
    return result.astype(np.float32)


def split_fold_in(
    embeddings: Embeddings,
    adjacency: Adjacency,
    items: IntArray,
    *,
    histories: RaggedArray,
    text: FloatArray | None = None,
    attributes: Attributes | None = None,
    interaction: RelationKey | None = None,
    against: RaggedArray | None = None,
    against_weight: float = -1.0,
) -> list[Shares | NoShares]:
    """Split the scores of users that training did not have, over their histories and the first hops of the items.

    What text and attributes add is the user's `own`; see `fold_in_users` for the vectors, and `gnn.graph.shares`.

    Args:
        embeddings: a trained model.
        adjacency: of the graph it was trained on.
        items: the item for each user by position, int64 (n,).
        histories: as for `fold_in_users`.
        text: as for `fold_in_users`.
        attributes: as for `fold_in_users`.
        interaction: as for `fold_in_users`.
        against: as for `fold_in_users`.
        against_weight: as for `fold_in_users`.

    Returns:
        One split for each user; `NoShares` for a model that is not linear.

    Raises:
        ConfigError, InvalidDataError, ArtifactError: as `fold_in_users`.
    """
    given: dict[str, Any] = {"text": text, "attributes": attributes, "interaction": interaction}
    if embeddings.linear is None:
        disliked: dict[str, Any] = {"against": against, "against_weight": against_weight}
        vectors = fold_in_users(embeddings, adjacency, histories=histories, **given, **disliked)
        return [unsplit(embeddings, vector, item) for vector, item in zip(vectors, items.tolist(), strict=True)]
    linear = embeddings.linear
    terms = _terms(embeddings, adjacency, linear, histories, **given)
    if against is not None:
        terms = terms.beside(_terms(embeddings, adjacency, linear, against, None, None, interaction), against_weight)
    starts = np.searchsorted(terms.row, np.arange(len(histories) + 1)).tolist()
    owns = np.zeros((len(histories), embeddings.dim))
    owns[terms.described] = terms.description
    halves = Halves(embeddings, adjacency)
    result: list[Shares | NoShares] = []
    for row, item in enumerate(items.tolist()):
        at = slice(starts[row], starts[row + 1])
        node = terms.node[at]
        hops = terms.coefficient[at, None] * linear.tail[node].astype(np.float64)
        user = Half(owns[row], hops, node, [terms.relation] * len(node))
        result.append(combine(embeddings, user, halves, item))
    return result


class _Terms(NamedTuple):
    """The vectors of new users in their terms.

    Attributes:
        row, node, coefficient: user, global item number and A_vj of each item of the histories, by user, (total,) each.
        relation: that the histories stand for.
        described: users whom text or attributes describe, (m,).
        description: what these add to their vectors, (m, dim).
    """

    row: IntArray
    node: IntArray
    coefficient: npt.NDArray[np.float64]
    relation: RelationKey
    described: IntArray
    description: npt.NDArray[np.float64]

    def beside(self, others: _Terms, weight: float) -> _Terms:
        """With the items of the others, times a weight."""
        row = np.concatenate([self.row, others.row])
        order = np.argsort(row, kind="stable")
        return self._replace(
            row=row[order],
            node=np.concatenate([self.node, others.node])[order],
            coefficient=np.concatenate([self.coefficient, weight * others.coefficient])[order],
        )


def _terms(
    embeddings: Embeddings,
    adjacency: Adjacency,
    linear: LinearParts,
    histories: RaggedArray,
    text: FloatArray | None,
    attributes: Attributes | None,
    interaction: RelationKey | None,
) -> _Terms:
    _check_histories(embeddings, histories)
    check_numbering(embeddings, adjacency)
    items = embeddings.numbering.span(embeddings.item_type)
    rows = len(histories)
    key = _interaction(embeddings, linear, interaction)
    relation = adjacency.relations.index(key)
    weight = relation_weights(linear, adjacency)[relation]
    projected = _project(linear, text, rows)
    described, virtual = _virtual_items(embeddings, adjacency, linear, projected, attributes, rows)

    degree = histories.counts + np.bincount(described, minlength=rows)
    row, node = histories.rows(), histories.values + items.start
    coefficient = weight / np.sqrt(degree[row] * np.maximum(adjacency.degree[relation, node], 1))
    degrees = adjacency.degree[relation, items]
    mean_coefficient = np.sqrt(degrees).sum() / degrees.sum() if degrees.any() else 1.0
    description = (weight * mean_coefficient / np.sqrt(degree[described]))[:, None] * virtual
    return _Terms(row, node, coefficient, key, described, description)


def _check_histories(embeddings: Embeddings, histories: RaggedArray) -> None:
    items = embeddings.numbering.span(embeddings.item_type)
    _check_positions(histories.values, items.stop - items.start, "the histories name", embeddings.item_type)


def _mean_of_items(embeddings: Embeddings, histories: RaggedArray) -> FloatArray:
    """The mean vector of each row's items, zero for an empty row, (n, dim)."""
    row = histories.rows()
    mean = _receive(row, histories.values, 1 / histories.counts[row], embeddings.items, len(histories))
    return mean.astype(np.float32)


def fold_in_items(
    embeddings: Embeddings,
    adjacency: Adjacency,
    *,
    text: FloatArray | None = None,
    attributes: Attributes | None = None,
) -> FloatArray:
    """Vectors of items that training did not have.

    z_i = alpha_0 E_i + sum_k A_ik h_k, E_i being the projected text. The interaction relation is allowed among the
    attributes: its other ends are the users who liked the item.

    Args:
        embeddings: a trained linear model.
        adjacency: of the graph it was trained on.
        text: text vectors in the model's text space, float32 (n, text dim); a row of zeros is no text.
        attributes: for each row relation of the item type -> positions of its other ends, (n,).

    Returns:
        Vectors like those of `embeddings.items`, without an item scale, float32 (n, dim).

    Raises:
        ConfigError: the model is not linear.
        InvalidDataError: lengths, positions, relations or the text do not fit the model, or there is neither.
        ArtifactError: embeddings and adjacency are of different graphs.
    """
    linear = embeddings.linear
    if linear is None:
        raise ConfigError("only a linear model (LightGCN) can place new items; this one has to be trained again")
    check_numbering(embeddings, adjacency)
    if text is None and attributes is None:
        raise InvalidDataError("a new item needs a text or attributes to be placed")
    rows = len(attributes) if attributes is not None else len(text)  # type: ignore[arg-type]
    projected = _project(linear, text, rows)
    row, node, coefficient = _attribute_edges(embeddings, adjacency, linear, attributes, rows)
    result = _receive(row, node, coefficient, linear.tail, rows)
    if projected is not None:
        result += float(linear.alphas[0]) * projected
    return result.astype(np.float32)


def _interaction(embeddings: Embeddings, linear: LinearParts, chosen: RelationKey | None) -> RelationKey:
    possible = [
        key for key in linear.relations if (key.source, key.target) == (embeddings.user_type, embeddings.item_type)
    ]
    if chosen is None and len(possible) != 1:
        raise ConfigError(
            f"the model has {len(possible)} relations from {embeddings.user_type} to {embeddings.item_type}: name the "
            "one that the histories stand for as `interaction`"
        )
    key = possible[0] if chosen is None else RelationKey(*chosen)
    if key not in possible:
        raise ConfigError(
            f"interaction = {key} is no relation of the model from users to items; there are "
            f"{', '.join(map(str, possible)) or 'none'}"
        )
    return key


def _project(linear: LinearParts, text: FloatArray | None, rows: int) -> npt.NDArray[np.float64] | None:
    """Layer-0 vectors of texts, (n, dim)."""
    if text is None:
        return None
    if linear.text_projection is None:
        raise InvalidDataError("there is a text, but the model was trained without text features")
    expected = (rows, linear.text_projection.shape[0])
    if text.shape != expected:
        raise InvalidDataError(f"the text vectors have shape {text.shape}, the model needs {expected}")
    if not np.isfinite(text).all():
        raise InvalidDataError("the text vectors hold values that are not finite")
    return text.astype(np.float64) @ linear.text_projection.astype(np.float64)


def _virtual_items(
    embeddings: Embeddings,
    adjacency: Adjacency,
    linear: LinearParts,
    projected: npt.NDArray[np.float64] | None,
    attributes: Attributes | None,
    rows: int,
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """The rows that text or attributes describe, (m,), and h_p of the item that stands for each, (m, dim)."""
    if projected is None and attributes is None:
        return np.zeros(0, dtype=np.int64), np.zeros((0, embeddings.dim))
    row, node, coefficient = _attribute_edges(embeddings, adjacency, linear, attributes, rows)
    described = np.bincount(row, minlength=rows) > 0
    tail = _receive(row, node, coefficient, linear.tail2, rows)
    if projected is not None:
        described |= projected.any(axis=1)
        tail += (float(linear.alphas[1]) if len(linear.alphas) > 1 else 0.0) * projected
    chosen = np.flatnonzero(described)
    return chosen, tail[chosen]


def _attribute_edges(
    embeddings: Embeddings, adjacency: Adjacency, linear: LinearParts, attributes: Attributes | None, rows: int
) -> tuple[IntArray, IntArray, npt.NDArray[np.float64]]:
    """Row, global number of the other end, and A of every edge of the new nodes, (edges,) each."""
    weights = relation_weights(linear, adjacency)
    none = np.zeros(0, dtype=np.int64)
    if attributes is None:
        return none, none, np.zeros(0)
    if len(attributes) != rows:
        raise InvalidDataError(f"there are attributes for {len(attributes)} rows, the batch has {rows}")
    gathered: dict[RelationKey, list[tuple[int, IntArray]]] = {}
    for number, relations in enumerate(attributes):
        for key, positions in relations.items():
            gathered.setdefault(RelationKey(*key), []).append((number, np.asarray(positions, dtype=np.int64)))
    parts: list[tuple[IntArray, IntArray, npt.NDArray[np.float64]]] = [(none, none, np.zeros(0))]
    for key, entries in gathered.items():
        relation, other = _other_end(key, adjacency, embeddings.item_type)
        row = np.repeat([number for number, _ in entries], [len(positions) for _, positions in entries])
        span = embeddings.numbering.span(other)
        positions = np.concatenate([positions for _, positions in entries])
        _check_positions(positions, span.stop - span.start, f"the attributes under {key} name", other)
        if weights[relation] == 0:
            continue
        lists = RaggedArray.from_pairs(row.astype(np.int64), positions, num_rows=rows)
        row, node = lists.rows(), lists.values + span.start
        degrees = lists.counts[row] * np.maximum(adjacency.degree[relation, node], 1)
        parts.append((row, node, weights[relation] / np.sqrt(degrees)))
    row, node, coefficient = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row, node, coefficient


def _other_end(key: RelationKey, adjacency: Adjacency, item_type: str) -> tuple[int, str]:
    if key not in adjacency.relations or item_type not in (key.source, key.target):
        possible = [str(k) for k in adjacency.relations if item_type in (k.source, k.target)]
        raise InvalidDataError(
            f"there are attributes under {key}, which is no relation of {item_type!r} here; the relations are "
            f"{', '.join(possible)}"
        )
    return adjacency.relations.index(key), key.target if key.source == item_type else key.source


def _check_positions(positions: IntArray, count: int, who: str, node_type: str) -> None:
    if len(positions) and (positions.min() < 0 or positions.max() >= count):
        worst = int(positions.max()) if positions.max() >= count else int(positions.min())
        raise InvalidDataError(f"{who} the position {worst}, there are {count} nodes of {node_type!r}")


def _receive(
    row: IntArray, node: IntArray, coefficient: npt.NDArray[Any], vectors: FloatArray, rows: int
) -> npt.NDArray[np.float64]:
    """Sum of coefficient times vector by row, (rows, dim)."""
    # only the nodes that are named become float64: the whole table may be large
    named, place = np.unique(node, return_inverse=True)
    matrix = csr_matrix((coefficient, (row, place)), shape=(rows, len(named)))
    result: npt.NDArray[np.float64] = matrix @ vectors[named].astype(np.float64)
    return result
