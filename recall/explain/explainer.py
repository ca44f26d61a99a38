"""Explain why an item is a candidate for a user: exact shares of the score, and the paths that connect the two.

Two kinds of reasons, kept apart. "Because of" names the first hops of the user and of the item, each with its exact
share of the score. "Connected by" names paths of the graph; a path is evidence that two outer hops belong together, not
the cause of a score. `linked_fraction` says how much of the score sits on pairs of outer hops that the graph joins at
all: it is often small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache

from kg.errors import ConfigError
from kg.graph import KnowledgeGraph
from kg.topology.adjacency import Adjacency
from kg.topology.search import PathFinder
from recall.contracts import NoShares, Query, Shares
from recall.explain.connections import OuterHopShares, path_connections, query_of, shared_user_connections
from recall.explain.explanation import Explanation, Node, Reason
from recall.explain.linked import linked_share
from recall.explain.pair import Pair
from recall.explain.reasons import channel_parts, sides
from recall.explain.wording import clean
from recall.pipeline import Pipeline


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
            max_hops: longest path, 1 to 4.
            paths: how many paths to give, and how many lines about other users.
            show_users: name other users by id; otherwise they are only counted.

        Returns:
            One explanation for each pair, in order.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: `max_hops` is out of range, or `paths` is negative.
        """
        if paths < 0:
            raise ConfigError(f"paths = {paths} must not be negative")
        ids = list(pairs)
        users = self.graph.users.index([user for user, _ in ids])
        items = self.graph.items.index([item for _, item in ids])
        positions = list(zip(users.tolist(), items.tolist(), strict=True))
        finder = self._finder(max_hops)
        attributions = self.pipeline.attribute(Query.of_positions(users), items)
        return [
            self._explanation(self._pair(user, item, shares.score, show_users), source, shares, finder, paths)
            for (user, item), (source, shares) in zip(positions, attributions, strict=True)
        ]

    def _pair(self, user: int, item: int, score: float, show_users: bool) -> Pair:
        schema, numbering = self.graph.schema, self.adjacency.numbering
        return Pair(
            graph=self.graph,
            adjacency=self.adjacency,
            user=numbering.span(schema.user_type).start + user,
            item=numbering.span(schema.item_type).start + item,
            score=score,
            node_of=self._node_of,
            show_users=show_users,
        )

    def _explanation(
        self, pair: Pair, source: str, shares: Shares | NoShares, finder: PathFinder, limit: int
    ) -> Explanation:
        history: tuple[Reason, ...] = ()
        neighbours: tuple[Reason, ...] = ()
        linked = linked_fraction = cross = outer = reason = None
        if isinstance(shares, Shares):
            history, neighbours = sides(pair, shares)
            linked, linked_fraction = linked_share(pair, shares)
            cross = shares.cross
            outer = OuterHopShares(shares, self.adjacency)
        else:
            reason = shares.reason
        arrays = [paths for paths in finder.arrays(pair.user, pair.item) if len(paths)]
        connections = path_connections(pair, arrays, outer, limit)
        if finder.max_hops >= 3:
            connections += shared_user_connections(pair, outer, limit)
        return Explanation(
            user=self._node_of(pair.user),
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
            parts=channel_parts(pair, shares),
        )

    def _make_node(self, node: int) -> Node:
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
