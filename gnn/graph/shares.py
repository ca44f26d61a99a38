"""Exact shares of a linear model's score: one for each first hop of the user, of the item, and of both.

The propagation is linear (gnn.graph.embeddings.LinearParts), so z_u = alpha_0 e_u + sum_j A_uj h_j over the first hops
j of the user, and the same for the item over its first hops k. The score z_u . z_i * s_i is then a plain double sum,
and every share is one group of its terms; what the item's popularity adds (gnn.graph.embeddings) is a share of its own.
A share is a part of the score; it is not the effect of deleting an edge, which would also change degrees and h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gnn.graph.embeddings import Embeddings, LinearParts
from kg.arrays import IntArray
from kg.errors import ArtifactError, UnknownIdError
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency


class Share(NamedTuple):
    """The part of a score that belongs to one first hop.

    Attributes:
        node: global node number (kg.topology.adjacency.Numbering) of the history item, or of the item's neighbour.
        relation: relation of the hop.
        value: in the unit of the score; the parts add up to it.
    """

    node: int
    relation: RelationKey
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A score split exactly.

    `own + sum(history) + prior == score` and `item_own + sum(neighbours) + prior == score`, each within 1e-9 of the sum
    of absolute shares in float64. `pairs` holds one value for each (history, neighbour): with the cross terms and the
    prior they add up to the score again; nothing is obtained by subtraction.

    Attributes:
        score: what `recommend` returns for the pair, here computed in float64 from the same stored parts: the two
            agree within 1e-4 of the sum of absolute shares.
        own: share of the user's own embedding.
        history: one share for each first hop of the user; a neighbour under two relations has two.
        item_own: share of the item's own embedding.
        neighbours: one share for each first hop of the item.
        pairs: float64 (history, neighbours), pair (j, k) is `pairs[j, k]`; an array, or a SciPy CSR array where most of
            them are 0.
        cross: the terms with an own embedding on one side or both: user own with item own, user own with the item's
            neighbours, history with item own.
        prior: share of the item's popularity, whatever the user's history.
    """

    score: float
    own: float
    history: tuple[Share, ...]
    item_own: float
    neighbours: tuple[Share, ...]
    pairs: Any
    cross: tuple[float, float, float]
    prior: float = 0.0


@dataclass(frozen=True, slots=True)
class NoShares:
    """The answer of a channel that cannot split its score, with the reason in English."""

    score: float
    reason: str


def relation_weights(linear: LinearParts, adjacency: Adjacency) -> npt.NDArray[np.float64]:
    """w_r for each relation of an adjacency, 0 for those that the model does not propagate along, (relations,).

    Raises:
        ArtifactError: the model propagates along a relation that the adjacency lacks.
    """
    weights = dict(zip(linear.relations, linear.weights.astype(np.float64), strict=True))
    missing = [str(key) for key in linear.relations if key not in adjacency.relations]
    if missing:
        raise ArtifactError(
            f"the model propagates along {', '.join(missing)}, which this graph's adjacency lacks: build it from the "
            "graph that the model was trained on, with all its relations"
        )
    return np.array([weights.get(key, 0.0) for key in adjacency.relations], dtype=np.float64)


def check_numbering(embeddings: Embeddings, adjacency: Adjacency) -> None:
    """Make sure that embeddings and adjacency number the same nodes in the same order.

    Raises:
        ArtifactError: they number other nodes.
    """
    model, graph = embeddings.numbering, adjacency.numbering
    if model.names != graph.names or not np.array_equal(model.starts, graph.starts):
        raise ArtifactError(
            f"the embeddings have {len(model)} nodes of {', '.join(model.names)}, the adjacency {len(graph)} nodes of "
            f"{', '.join(graph.names)}: use the graph that the model was trained on"
        )


def split_scores(
    embeddings: Embeddings,
    adjacency: Adjacency,
    pairs: Sequence[tuple[int, int]],
    *,
    dtype: npt.DTypeLike = np.float64,
) -> list[Shares | NoShares]:
    """Split the scores of (user, item) pairs over the first hops of both ends.

    score = s_i * (alpha_0 e_u . z_i + sum_j A_uj h_j . z_i) + |z_u| p_i, over all neighbours j of the user under all
    relations of the model, with A_uj = w_r / sqrt(deg_r(u) deg_r(j)), h = `LinearParts.tail` and p = `item_prior`;
    likewise on the item's side.

    Args:
        embeddings: a trained model.
        adjacency: of the graph it was propagated on; relations beyond the model's are left out.
        pairs: positions of user and item in their tables, (pairs,).
        dtype: of the arithmetic. The stored parts are float32; in float64 the sums agree within 1e-9 of the sum of
            absolute shares.

    Returns:
        One split for each pair, in order; `NoShares` for a model that is not linear.

    Raises:
        ArtifactError: embeddings and adjacency are of different graphs.
        UnknownIdError: a position outside the tables.
    """
    halves = Halves(embeddings, adjacency, dtype=dtype)
    users, items = (embeddings.numbering.span(name) for name in (embeddings.user_type, embeddings.item_type))
    for user, item in pairs:
        if not (0 <= user < users.stop - users.start and 0 <= item < items.stop - items.start):
            raise UnknownIdError(f"the pair ({user}, {item}) points outside the tables of users and items")
    if embeddings.linear is None:
        return [unsplit(embeddings, embeddings.final[users.start + user], item) for user, item in pairs]
    return [combine(embeddings, halves.of(users.start + int(user)), halves, int(item)) for user, item in pairs]


@dataclass(frozen=True, slots=True)
class Half:
    """A vector z_v of a linear model in its terms.

    Attributes:
        own: alpha_0 e_v, or what else belongs to no first hop, (dim,).
        hops: A_vj h_j of each first hop, (hops, dim).
        nodes: global node numbers of the first hops, int64 (hops,).
        relations: of the first hops, (hops,).
    """

    own: npt.NDArray[Any]
    hops: npt.NDArray[Any]
    nodes: IntArray
    relations: list[RelationKey]

    @property
    def total(self) -> npt.NDArray[Any]:
        """z_v, (dim,)."""
        vector: npt.NDArray[Any] = self.own + self.hops.sum(axis=0)
        return vector


class Halves:
    """The vectors of a linear model's nodes in their terms; a batch often repeats its nodes."""

    def __init__(self, embeddings: Embeddings, adjacency: Adjacency, *, dtype: npt.DTypeLike = np.float64) -> None:
        """Check that both number the same nodes; see `split_scores`."""
        check_numbering(embeddings, adjacency)
        self._items = embeddings.numbering.span(embeddings.item_type)
        self._adjacency = adjacency
        self._dtype = dtype
        self._made: dict[int, Half] = {}
        if embeddings.linear is not None:
            linear = self._linear = embeddings.linear
            self._all_weights = relation_weights(linear, adjacency)
            # A node that was not placed receives nothing along the relations that place.
            self._trained_weights = np.where(
                [key in linear.placing for key in adjacency.relations], 0.0, self._all_weights
            )

    def of(self, node: int) -> Half:
        """A node by its global number."""
        if node not in self._made:
            self._made[node] = self._make(node)
        return self._made[node]

    def of_item(self, item: int) -> Half:
        """An item by its position."""
        return self.of(self._items.start + item)

    def _make(self, node: int) -> Half:
        linear, adjacency, dtype = self._linear, self._adjacency, self._dtype
        weights = self._all_weights if linear.placed is None or linear.placed[node] else self._trained_weights
        listed = adjacency.at(node)
        kind = adjacency.relation[listed]
        kept = weights[kind] != 0
        nodes, kind = adjacency.neighbour[listed][kept], kind[kept]
        degrees = adjacency.degree[kind, node] * adjacency.degree[kind, nodes]
        coefficient = (weights[kind] / np.sqrt(degrees)).astype(dtype)
        own = linear.alphas[0].astype(dtype) * linear.base[node].astype(dtype)
        hops = coefficient[:, None] * linear.tail[nodes].astype(dtype)
        return Half(own, hops, nodes, [adjacency.relations[r] for r in kind])


def combine(embeddings: Embeddings, user: Half, halves: Halves, item: int) -> Shares:
    """The split of a linear model's score of an item, by its position, for a user in terms."""
    scale, prior = float(embeddings.item_scale[item]), float(embeddings.item_prior[item])
    return _combined(user, halves.of_item(item), scale, prior)


def unsplit(embeddings: Embeddings, vector: npt.NDArray[np.float32], item: int) -> NoShares:
    """The answer of a model that is not linear, for a user's vector (dim,) and an item's position."""
    popularity = np.linalg.norm(vector) * embeddings.item_prior[item]
    score = float(vector @ embeddings.items[item] * embeddings.item_scale[item] + popularity)
    return NoShares(score, "the model is not linear, so its score does not split over the neighbours")


def _combined(user: Half, item: Half, scale: float, prior: float) -> Shares:
    def shares(half: Half, other: npt.NDArray[Any]) -> tuple[Share, ...]:
        values = (half.hops @ other) * scale
        return tuple(map(Share._make, zip(half.nodes.tolist(), half.relations, values.tolist(), strict=True)))

    whole_user, whole_item = user.total, item.total
    popularity = float(np.linalg.norm(whole_user)) * prior
    return Shares(
        score=float(whole_user @ whole_item) * scale + popularity,
        own=float(user.own @ whole_item) * scale,
        history=shares(user, whole_item),
        item_own=float(item.own @ whole_user) * scale,
        neighbours=shares(item, whole_user),
        pairs=(user.hops @ item.hops.T).astype(np.float64) * scale,
        cross=(
            float(user.own @ item.own) * scale,
            float(user.own @ item.hops.sum(axis=0)) * scale,
            float(user.hops.sum(axis=0) @ item.own) * scale,
        ),
        prior=popularity,
    )
