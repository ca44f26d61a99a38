"""Explain why an item is a candidate for a person: exact shares of the score, and the paths that connect the two.

Where a score is a sum over paths, the paths are the reasons, and lead: each with its exact share. Where it is not,
there are two kinds of reasons, kept apart. "Because of" names the first hops of the user and of the item, each with its
exact share of the score. "Connected by" names paths of the graph; a path is evidence that two outer hops belong
together, not the cause of a score. `linked_fraction` says how much of the score sits on pairs of outer hops that the
graph joins at all: it is often small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from kg.arrays import IntArray
from kg.cypher.query import CypherQuery
from kg.errors import ConfigError
from kg.graph import KnowledgeGraph
from kg.topology.adjacency import Adjacency
from kg.topology.paths import PathArrays
from kg.topology.search import PathFinder
from recall.contracts import FusedShares, NoShares, PathShares, Query, Shares
from recall.contracts.history import disliked_items
from recall.explain.connections import OuterHopShares, path_connections, query_of, shared_user_connections
from recall.explain.entries import Node, Reason
from recall.explain.explanation import Explanation
from recall.explain.linked import linked_share
from recall.explain.pair import NOBODY, Pair
from recall.explain.path_reasons import reasons_by_paths
from recall.explain.reasons import channel_parts, left_out, sides
from recall.explain.wording import clean
from recall.pipeline import Pipeline

_MOST_STARTS = 200  # liked items of somebody new that paths are searched from


class Explainer:
    """Explanations of the scores of a pipeline on one graph."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        pipeline: Pipeline,
        *,
        adjacency: Adjacency | None = None,
        hub_limit: int | None = 1000,
    ) -> None:
        """Prepare; what the search for paths needs is made at the first call.

        Args:
            graph: the graph the channels were fitted on.
            pipeline: splits the scores.
            adjacency: of that graph, if there is one already; its relations are those that paths follow.
            hub_limit: the hub rule of kg.topology.search.PathFinder.
        """
        self.graph = graph
        self.pipeline = pipeline
        self.adjacency = Adjacency.of(graph) if adjacency is None else adjacency
        self.hub_limit = hub_limit
        self._node_of: Callable[[int], Node] = lru_cache(maxsize=65_536)(self._make_node)
        self._finders: dict[int, PathFinder] = {}
        self._starts: list[int] = self.adjacency.numbering.starts.tolist()

    def explain(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        max_hops: int = 3,
        paths: int = 5,
        show_users: bool = False,
    ) -> list[Explanation]:
        """Explain pairs of a user and an item.

        Args:
            pairs: external ids.
            max_hops: longest path of "connected by", 1 to 4.
            paths: how many sentences about paths that carry the score, how many other paths, and how many lines about
                other users.
            show_users: name other users by id; otherwise they are only counted.

        Returns:
            One explanation for each pair, in order.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: `max_hops` is out of range, or `paths` is negative.
        """
        ids = list(pairs)
        users = self.graph.users.index([user for user, _ in ids])
        items = self.graph.items.index([item for _, item in ids])
        return self.explain_requests(
            Query.of_positions(users), items, max_hops=max_hops, paths=paths, show_users=show_users
        )

    def explain_requests(
        self, queries: Query, items: IntArray, *, max_hops: int = 3, paths: int = 5, show_users: bool = False
    ) -> list[Explanation]:
        """Explain an item for each request, also those of people who are not in the graph.

        Args:
            queries: requests, (n,).
            items: an item for each of them by position, int64 (n,).
            max_hops: see `explain`.
            paths: see `explain`.
            show_users: see `explain`.

        Raises:
            UnknownIdError: a position lies outside.
            ConfigError: see `explain`, or a channel cannot read what a request carries.
        """
        if paths < 0:
            raise ConfigError(f"paths = {paths} must not be negative")
        finder = self._finder(max_hops)
        attributions = self.pipeline.attribute(queries, items)
        score_queries = self.pipeline.score_queries(queries, items, attributions, show_users=show_users)
        disliked = disliked_items(queries)
        return [
            self._explanation(
                self.pair(int(queries.user[row]), int(items[row]), shares.score, show_users, disliked[row].tolist()),
                queries.take(np.array([row])),
                source,
                shares,
                finder,
                paths,
                score_queries[row],
            )
            for row, (source, shares, _) in enumerate(attributions)
        ]

    def pair(self, user: int, item: int, score: float, show_users: bool = False, disliked: Sequence[int] = ()) -> Pair:
        """A user, -1 for somebody new, and an item by position, with the score that is explained.

        `disliked` are the positions of the examples of the request that are not wanted.
        """
        schema, numbering = self.graph.schema, self.adjacency.numbering
        first = numbering.span(schema.item_type).start
        return Pair(
            graph=self.graph,
            adjacency=self.adjacency,
            user=numbering.span(schema.user_type).start + user if user >= 0 else NOBODY,
            item=first + item,
            score=score,
            node_of=self._node_of,
            show_users=show_users,
            disliked=frozenset(first + position for position in disliked),
        )

    def _explanation(
        self,
        pair: Pair,
        query: Query,
        source: str,
        shares: Shares | NoShares,
        finder: PathFinder,
        limit: int,
        score_queries: Mapping[str, CypherQuery],
    ) -> Explanation:
        history: tuple[Reason, ...] = ()
        neighbours: tuple[Reason, ...] = ()
        linked = linked_fraction = cross = outer = reason = None
        if isinstance(shares, Shares):
            history, neighbours = sides(pair, shares)
            if not _by_paths(shares):
                linked, linked_fraction = linked_share(pair, shares)
            cross = shares.cross
            outer = OuterHopShares(shares, self.adjacency)
        else:
            reason = shares.reason
        if pair.in_graph:
            arrays = [paths for paths in finder.arrays(pair.user, pair.item) if len(paths)]
        else:
            arrays = self._from_history(pair, query, finder.max_hops)
        connections = path_connections(pair, arrays, outer, limit)
        if finder.max_hops >= 3 and pair.in_graph:
            connections += shared_user_connections(pair, outer, limit)
        return Explanation(
            user=self._node_of(pair.user) if pair.in_graph else replace(self._node_of(NOBODY), id=query.key[0]),
            item=self._node_of(pair.item),
            source=source,
            score=shares.score,
            reason=reason,
            history=history,
            neighbours=neighbours,
            linked=linked,
            linked_fraction=linked_fraction,
            cross=cross,
            paths=tuple(connections),
            paths_found=sum(map(len, arrays)),
            query=query_of(pair, arrays),
            score_queries=score_queries,
            parts=channel_parts(pair, shares, limit),
            by_paths=reasons_by_paths(pair, shares, limit) if isinstance(shares, PathShares) else None,
            left_out=left_out(pair, shares),
            in_graph=pair.in_graph,
        )

    def _from_history(self, pair: Pair, query: Query, max_hops: int) -> list[PathArrays]:
        """The paths from somebody who is not in the graph: from the liked items on, `_MOST_STARTS` of them."""
        interaction = self.graph.schema.interaction
        if max_hops < 2 or interaction not in self.adjacency.relations:
            return []
        finder = self._finder(max_hops - 1)
        first = self.adjacency.numbering.span(self.graph.schema.item_type).start
        starts = [first + item for item in query.history[0][:_MOST_STARTS].tolist() if first + item != pair.item]
        relation = self.adjacency.relations.index(interaction)
        by_length: list[list[PathArrays]] = [[] for _ in range(finder.max_hops)]
        for start in starts:
            for place, paths in enumerate(finder.arrays(start, pair.item)):
                by_length[place].append(paths.after(NOBODY, relation))
        return [PathArrays.concat(paths) for paths in by_length if any(map(len, paths))]

    def _make_node(self, node: int) -> Node:
        if node == NOBODY:
            return Node(self.graph.schema.user_type, "", "somebody new")
        place = bisect_right(self._starts, node) - 1
        node_type, position = self.adjacency.numbering.names[place], node - self._starts[place]
        external = self.graph.vocabulary(node_type).ids[position].as_py()
        title = clean(self.graph.title(node_type, position)) or clean(external)
        return Node(node_type, external, title)

    def _finder(self, max_hops: int) -> PathFinder:
        finder = self._finders.get(max_hops)
        if finder is None:
            excluded = (self.graph.schema.user_type,)
            finder = PathFinder(self.adjacency, max_hops=max_hops, hub_limit=self.hub_limit, excluded=excluded)
            self._finders[max_hops] = finder
        return finder


def _by_paths(shares: Shares) -> bool:
    """Whether paths carry a score, or a part of it."""
    if isinstance(shares, FusedShares):
        return any(isinstance(part.shares, PathShares) for part in shares.parts)
    return isinstance(shares, PathShares)
