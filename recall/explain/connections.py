"""The paths headed "connected by": those between the user and the item, by the share of their outer hops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, PairIndex, RaggedArray
from kg.cypher.query import CypherQuery, pair_query, path_query, shared_users_query
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, PathArrays
from kg.topology.shared_users import shared_users
from recall.contracts import Share, Shares
from recall.explain.entries import Connection, Hop
from recall.explain.pair import Pair
from recall.explain.wording import clean, other_users, sentence


class OuterHopShares:
    """Pair shares by the first and the last hop of a path."""

    def __init__(self, shares: Shares, adjacency: Adjacency) -> None:
        self._pairs = shares.pairs
        self._relations = adjacency.relations
        self._first = self._index(shares.history, len(adjacency.numbering))
        self._last = self._index(shares.neighbours, len(adjacency.numbering))

    def _index(self, shares: Sequence[Share], num_nodes: int) -> PairIndex:
        number = {key: position for position, key in enumerate(self._relations)}
        relation = np.array([number[share.relation] for share in shares], dtype=np.int64)
        node = np.array([share.node for share in shares], dtype=np.int64)
        return PairIndex.of(relation, node, num_nodes)

    def of(self, paths: PathArrays) -> npt.NDArray[np.float64]:
        """The share of each path's outer hops, (paths,); -inf for a direct edge, 0 for relations without a weight."""
        if paths.hops < 2:
            return np.full(len(paths), -np.inf)
        # both ends of a path are fixed, so relation and node name the first hop, and likewise the last
        first = self._first.position(paths.relation[:, 0], paths.nodes[:, 1])
        last = self._last.position(paths.relation[:, -1], paths.nodes[:, -2])
        return self._values(first, last)

    def totals(self, first: IntArray, lasts: RaggedArray, relation: RelationKey) -> list[float]:
        """Sums of pair shares: for each first hop of the user over its own list of last hops.

        Args:
            first: nodes of the user's first hops, (n,).
            lasts: n lists of nodes, the item's first hops.
            relation: of all these hops.
        """
        number = self._relations.index(relation)
        row = lasts.rows()
        first_position = self._first.position(np.full(len(first), number), first)[row]
        last_position = self._last.position(np.full(len(row), number), lasts.values)
        values = self._values(first_position, last_position)
        sums: list[float] = np.bincount(row, weights=values, minlength=len(first)).tolist()
        return sums

    def _values(self, first: IntArray, last: IntArray) -> npt.NDArray[np.float64]:
        """Pair shares by position in the lists of shares, (n,); 0 where a position is -1."""
        present = (first >= 0) & (last >= 0)
        values = np.zeros(len(first))
        values[present] = np.asarray(self._pairs[first[present], last[present]]).ravel()
        return values


def path_connections(
    pair: Pair, arrays: Sequence[PathArrays], shares: OuterHopShares | None, limit: int
) -> list[Connection]:
    """The paths with the largest shares, short ones first among equals; in the search's order without shares."""
    ranked: list[tuple[float, int, Path]] = []
    for paths in arrays:
        values = np.full(len(paths), -np.inf) if shares is None else shares.of(paths)
        best = np.argsort(-values, kind="stable")[:limit]
        ranked += [
            (float(value), number, path)
            for value, number, path in zip(values[best], best.tolist(), paths.take(best).paths(), strict=True)
        ]
    ranked.sort(key=lambda entry: (-entry[0], len(entry[2]), entry[1]))
    connections: list[Connection] = []
    first_with: dict[tuple[Any, ...], int] = {}
    for number, (value, _, path) in enumerate(ranked[:limit]):
        share = None if value == -np.inf else value
        earliest = first_with.setdefault((path.steps[0], path.steps[-1]), number)
        connections.append(
            Connection(
                share=share,
                fraction=pair.fraction(share),
                repeats=earliest if share is not None and earliest != number else None,
                text=sentence(pair, path),
                nodes=tuple(pair.node_of(node) for node in path.nodes),
                steps=_hops(pair, path.shape),
                # Somebody new is in no store, so the query begins at the liked item.
                cypher=path_query(pair.graph, path if pair.in_graph else Path(path.steps[1:])),
            )
        )
    return connections


def shared_user_connections(pair: Pair, shares: OuterHopShares | None, limit: int) -> list[Connection]:
    """The paths through other users who like a history item and the item: one connection for each history item."""
    interaction = pair.graph.schema.interaction
    if interaction is None or interaction not in pair.adjacency.relations:
        return []
    shared = shared_users(pair.adjacency, pair.user, pair.item, interaction, with_users=True)
    if shared.users is None:
        return []
    values: list[float | None] = [None] * len(shared.history)
    order = list(range(len(shared.history)))
    if shares is not None:
        totals = shares.totals(shared.history, shared.users, interaction)
        values = list(totals)
        order.sort(key=lambda row: -totals[row])
    phrase = pair.graph.schema.relations[interaction].phrase
    connections = []
    for row in order[:limit]:
        count = int(shared.counts[row])
        nodes = tuple(pair.node_of(node) for node in (pair.user, int(shared.history[row]), pair.item))
        user_ids: tuple[str, ...] = ()
        if pair.show_users:
            user_ids = tuple(pair.node_of(int(node)).id for node in shared.users[row])
        who, their_phrase = other_users(count, phrase)
        text = f"{who} {their_phrase} both {nodes[1].title} and {nodes[2].title}"
        if user_ids:
            text += ": " + ", ".join(map(clean, user_ids))
        connections.append(
            Connection(
                share=values[row],
                fraction=pair.fraction(values[row]),
                repeats=None,
                text=text,
                nodes=nodes,
                steps=_hops(pair, [(interaction, True), (interaction, False), (interaction, True)]),
                users=count,
                user_ids=user_ids,
                cypher=shared_users_query(pair.graph, nodes[0].id, nodes[2].id, history_id=nodes[1].id),
            )
        )
    return connections


def query_of(pair: Pair, arrays: Sequence[PathArrays]) -> CypherQuery | None:
    """One query of the two ids that finds all paths, or None without paths, or for somebody who is in no store."""
    if not pair.in_graph:
        return None
    shapes = []
    for paths in arrays:
        for row in np.unique(np.concatenate([paths.relation, paths.forward], axis=1), axis=0).tolist():
            kinds, directions = row[: paths.hops], row[paths.hops :]
            shapes.append([(paths.relations[kind], bool(way)) for kind, way in zip(kinds, directions, strict=True)])
    if not shapes:
        return None
    return pair_query(pair.graph, pair.node_of(pair.user).id, pair.node_of(pair.item).id, shapes)


def _hops(pair: Pair, shape: Iterable[tuple[RelationKey, bool]]) -> tuple[Hop, ...]:
    relations = pair.graph.schema.relations
    return tuple(Hop(key, forward, relations[key].phrase) for key, forward in shape)
