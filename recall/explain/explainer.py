"""Why an item is a candidate for a user: exact shares of the score, and the paths that connect the two.

Two kinds of reasons, strictly apart. "Because of" names the first hops of the user and of the item, each with its exact
share of the score. "Connected by" names paths of the graph; a path is evidence that two outer hops belong together, not
the cause of a score. `linked_fraction` says how much of the score sits on pairs of outer hops that the graph joins at
all: it is often small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from kg.cypher.query import CypherQuery, pair_query, path_query, shared_users_query
from kg.errors import ConfigError
from kg.graph import KnowledgeGraph
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, PathArrays, PathFinder, shared_users
from recall.contracts import Channel, FusedShares, NoShares, Part, Share, Shares
from recall.explain.explanation import Because, ChannelPart, Connection, Explanation, Hop, Node
from recall.explain.wording import clean, plural

__all__ = ["Because", "ChannelPart", "Connection", "Explainer", "Explanation", "Hop", "Node"]


class Explainer:
    """Explanations of one channel's scores on one graph."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        channel: Channel,
        *,
        adjacency: Adjacency | None = None,
        hub_limit: int | None = 1000,
    ) -> None:
        """Prepare; what the search for paths needs is made at the first call.

        Args:
            graph: the graph the channel was fitted on.
            channel: asked for the shares.
            adjacency: of that graph, if there is one already; its relations are those that paths walk on.
            hub_limit: the hub rule of kg.topology.paths.PathFinder.
        """
        self.graph = graph
        self.channel = channel
        self.adjacency = Adjacency.of(graph) if adjacency is None else adjacency
        self.hub_limit = hub_limit
        self.name: Callable[[int], Node] = lru_cache(maxsize=65_536)(self._name)
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
        wanted = list(pairs)
        users = self.graph.users.index([user for user, _ in wanted])
        items = self.graph.items.index([item for _, item in wanted])
        positions = list(zip(users.tolist(), items.tolist(), strict=True))
        finder = self._finder(max_hops)
        answers = self.channel.explain(positions) if positions else []
        return [
            _Pair(self, finder, user, item, answer, show_users).explanation(paths)
            for (user, item), answer in zip(positions, answers, strict=True)
        ]

    def _name(self, node: int) -> Node:
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


class _Pair:
    """One pair at work."""

    def __init__(
        self, explainer: Explainer, finder: PathFinder, user: int, item: int, answer: Shares | NoShares, show: bool
    ) -> None:
        self.graph, self.adjacency, self.finder = explainer.graph, explainer.adjacency, finder
        self.source_name = explainer.channel.name
        self.answer = answer
        self.show_users = show
        schema, numbering = self.graph.schema, self.adjacency.numbering
        self.people = numbering.span(schema.user_type)
        self.user = self.people.start + user
        self.item = numbering.span(schema.item_type).start + item
        self.name = explainer.name

    def explanation(self, limit: int) -> Explanation:
        answer = self.answer
        history: tuple[Because, ...] = ()
        neighbours: tuple[Because, ...] = ()
        linked = linked_fraction = cross = None
        weights = None
        if isinstance(answer, Shares):
            history, neighbours = self._sides(answer)
            linked, linked_fraction = self._linked(answer)
            cross = answer.cross
            weights = _PairShares(answer, self.adjacency)
        arrays = [found for found in self.finder.arrays(self.user, self.item) if len(found)]
        connections = self._paths(arrays, weights, limit)
        connections += self._through_users(weights, limit) if self.finder.max_hops >= 3 else []
        return Explanation(
            user=self.name(self.user),
            item=self.name(self.item),
            source=self.source_name,
            score=answer.score,
            reason=None if isinstance(answer, Shares) else answer.reason,
            history=history,
            neighbours=neighbours,
            linked=linked,
            linked_fraction=linked_fraction,
            cross=cross,
            paths=tuple(connections),
            found=sum(map(len, arrays)),
            query=self._pair_query(arrays),
            parts=self._parts(answer),
        )

    def _parts(self, answer: Shares | NoShares) -> tuple[ChannelPart, ...]:
        """What each channel of a fusion adds, largest first."""
        parts = []
        for channel, weight, shares in answer.parts if isinstance(answer, FusedShares) else ():
            history, neighbours = self._sides(shares) if isinstance(shares, Shares) else ((), ())
            parts.append(
                ChannelPart(
                    channel=channel,
                    weight=weight,
                    share=shares.score,
                    fraction=self._fraction(shares.score),
                    reason=None if isinstance(shares, Shares) else shares.reason,
                    history=history,
                    neighbours=neighbours,
                )
            )
        return tuple(sorted(parts, key=lambda part: -part.share))

    def _sides(self, answer: Shares) -> tuple[tuple[Because, ...], tuple[Because, ...]]:
        """The shares of the user's side and of the item's, each of which adds up to the score."""
        apart: tuple[Because, ...] = (self._because(answer.prior, "of how many people like it, whoever asks"),)
        alone = "of what the model learned about it alone"
        if isinstance(answer, FusedShares):
            apart += tuple(self._unsplit(part) for part in answer.parts if isinstance(part.shares, NoShares))
            alone = "of what its channels do not split over what it is joined to"
        return (
            self._reasons(answer.history, answer.own, self.user, "of what the model learned about you alone", apart),
            self._reasons(answer.neighbours, answer.item_own, self.item, alone, apart),
        )

    def _unsplit(self, part: Part) -> Because:
        reason = part.shares.reason if isinstance(part.shares, NoShares) else ""
        return self._because(part.shares.score, f"of the channel {part.channel}: {reason}")

    def _fraction(self, share: float | None) -> float | None:
        return share / self.answer.score if share is not None and self.answer.score > 0 else None

    def _hidden(self, node: int) -> bool:
        return self.people.start <= node < self.people.stop and node != self.user and not self.show_users

    # because of

    def _reasons(
        self, shares: Sequence[Share], own: float, center: int, alone: str, apart: Sequence[Because]
    ) -> tuple[Because, ...]:
        """The shares of one side, largest first and the own embedding last; other users are summed by relation."""
        groups: dict[tuple[RelationKey, bool], list[float]] = {}
        single: dict[tuple[int, RelationKey], float] = {}
        ways: dict[RelationKey, bool] = {}
        for node, relation, value in shares:
            if not self._hidden(node):
                # an edge in each direction under one relation makes two shares, told as one
                single[node, relation] = single.get((node, relation), 0.0) + value
                continue
            outgoing = ways.get(relation)
            if outgoing is None:
                outgoing = self._outgoing(center, node, relation)
                if relation.source != relation.target:
                    ways[relation] = outgoing
            groups.setdefault((relation, outgoing), []).append(value)
        reasons = [reason for reason in apart if reason.share]
        for (node, relation), value in single.items():
            text = self._clause(center, node, relation, self._outgoing(center, node, relation), center)
            reasons.append(self._because(value, text, relation=relation, node=self.name(node)))
        for (relation, outgoing), values in groups.items():
            text = self._crowd(len(values), relation, outgoing, center)
            reasons.append(self._because(float(np.sum(values)), text, relation=relation, users=len(values)))
        reasons.sort(key=lambda reason: -reason.share)
        return (*reasons, self._because(own, alone))

    def _because(self, share: float, text: str, **more: Any) -> Because:
        return Because(share=share, fraction=self._fraction(share), text=text, **more)

    def _outgoing(self, center: int, node: int, relation: RelationKey) -> bool:
        """Whether the edge leads from the center to the node, as far as it is told in a sentence."""
        if relation.source != relation.target:
            return self.name(center).type == relation.source
        at = self.adjacency.at(center)
        number = self.adjacency.relations.index(relation)
        there = (self.adjacency.neighbour[at] == node) & (self.adjacency.relation[at] == number)
        return bool(self.adjacency.forward[at][there].any())

    def _crowd(self, count: int, relation: RelationKey, outgoing: bool, center: int) -> str:
        phrase = self.graph.schema.relations[relation].phrase
        people = f"{count} other {'user' if count == 1 else 'users'}"
        whom = "you" if center == self.user else "it"
        if outgoing:
            return f"{whom} {plural(phrase) if whom == 'you' else phrase} {people}"
        return f"{people} {phrase if count == 1 else plural(phrase)} {whom}"

    # connected by

    def _linked(self, shares: Shares) -> tuple[float, float]:
        joined = self._joined(
            np.array([share.node for share in shares.history], dtype=np.int64),
            np.array([share.node for share in shares.neighbours], dtype=np.int64),
        )
        absolute = np.abs(shares.pairs)
        total = float(absolute.sum()) + sum(abs(term) for term in (*shares.cross, shares.prior))
        linked = float(shares.pairs[joined].sum())
        return linked, float(absolute[joined].sum()) / total if total else 0.0

    def _joined(self, left: IntArray, right: IntArray) -> npt.NDArray[np.bool_]:
        """Which pairs of first hops are the same node or share an edge, on a simple path, bool (left, right)."""
        ours, left_row = np.unique(left, return_inverse=True)
        theirs, right_row = np.unique(right, return_inverse=True)
        joined = ours[:, None] == theirs[None, :]
        if joined.size:
            degree = np.diff(self.adjacency.offsets)
            if degree[ours].sum() <= degree[theirs].sum():
                self._mark_edges(ours, theirs, joined)
            else:
                self._mark_edges(theirs, ours, joined.T)
            for end in (self.user, self.item):
                joined[ours == end] = False
                joined[:, theirs == end] = False
        result: npt.NDArray[np.bool_] = joined[left_row][:, right_row]
        return result

    def _mark_edges(self, near: IntArray, far: IntArray, joined: npt.NDArray[np.bool_]) -> None:
        starts, counts = self.adjacency.offsets[near], np.diff(self.adjacency.offsets)[near]
        row = np.repeat(np.arange(len(near)), counts)
        entry = np.arange(len(row)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        neighbour = self.adjacency.neighbour[entry]
        place = np.minimum(np.searchsorted(far, neighbour), len(far) - 1)
        hit = far[place] == neighbour
        joined[row[hit], place[hit]] = True

    def _paths(self, arrays: list[PathArrays], weights: _PairShares | None, limit: int) -> list[Connection]:
        ranked: list[tuple[float, int, Path]] = []
        for found in arrays:
            values = np.full(len(found), -np.inf) if weights is None else weights.of(found)
            best = np.argsort(-values, kind="stable")[:limit]
            ranked += [
                (float(value), number, path)
                for value, number, path in zip(values[best], best.tolist(), found.take(best).paths(), strict=True)
            ]
        ranked.sort(key=lambda entry: (-entry[0], len(entry[2]), entry[1]))
        connections: list[Connection] = []
        outer: dict[tuple[Any, ...], int] = {}
        for number, (value, _, path) in enumerate(ranked[:limit]):
            share = None if value == -np.inf else value
            ends = (path.steps[0], path.steps[-1])
            first = outer.setdefault(ends, number)
            connections.append(
                Connection(
                    share=share,
                    fraction=self._fraction(share),
                    repeats=first if share is not None and first != number else None,
                    text=self._sentence(path),
                    nodes=tuple(self.name(node) for node in path.nodes),
                    steps=self._hops(path.shape),
                    cypher=path_query(self.graph, path),
                )
            )
        return connections

    def _through_users(self, weights: _PairShares | None, limit: int) -> list[Connection]:
        interaction = self.graph.schema.interaction
        if interaction is None or interaction not in self.adjacency.relations:
            return []
        shared = shared_users(self.adjacency, self.user, self.item, interaction, with_users=True)
        if shared.users is None:
            return []
        values: list[float | None] = [None] * len(shared.history)
        order = list(range(len(shared.history)))
        if weights is not None:
            sums = weights.totals(shared.history, shared.users, interaction)
            values = list(sums)
            order.sort(key=lambda row: -sums[row])
        phrase = self.graph.schema.relations[interaction].phrase
        connections = []
        for row in order[:limit]:
            count = int(shared.counts[row])
            nodes = tuple(self.name(node) for node in (self.user, int(shared.history[row]), self.item))
            who: tuple[str, ...] = ()
            if self.show_users:
                who = tuple(self.name(int(node)).id for node in shared.users[row])
            text = (
                f"{count} other {'user' if count == 1 else 'users'} {phrase if count == 1 else plural(phrase)} "
                f"both {nodes[1].title} and {nodes[2].title}"
            )
            if who:
                text += ": " + ", ".join(map(clean, who))
            connections.append(
                Connection(
                    share=values[row],
                    fraction=self._fraction(values[row]),
                    repeats=None,
                    text=text,
                    nodes=nodes,
                    steps=self._hops([(interaction, True), (interaction, False), (interaction, True)]),
                    users=count,
                    user_ids=who,
                    cypher=shared_users_query(self.graph, nodes[0].id, nodes[2].id, history_id=nodes[1].id),
                )
            )
        return connections

    def _hops(self, shape: Iterable[tuple[RelationKey, bool]]) -> tuple[Hop, ...]:
        relations = self.graph.schema.relations
        return tuple(Hop(key, forward, relations[key].phrase) for key, forward in shape)

    def _pair_query(self, arrays: list[PathArrays]) -> CypherQuery | None:
        shapes = []
        for found in arrays:
            for row in np.unique(np.concatenate([found.relation, found.forward], axis=1), axis=0).tolist():
                kinds, directions = row[: found.hops], row[found.hops :]
                shapes.append([(found.relations[kind], bool(way)) for kind, way in zip(kinds, directions, strict=True)])
        return pair_query(self.graph, self.name(self.user).id, self.name(self.item).id, shapes) if shapes else None

    # English

    def _clause(self, near: int, far: int, relation: RelationKey, forward: bool, center: int | None = None) -> str:
        """An edge in the direction in which its phrase is meant; the user is "you", the center "it"."""
        source, target = (near, far) if forward else (far, near)
        phrase = self.graph.schema.relations[relation].phrase
        if source == self.user:
            return f"you {plural(phrase)} {self._call(target, center)}"
        return f"{self._call(source, center)} {phrase} {self._call(target, center)}"

    def _call(self, node: int, center: int | None = None) -> str:
        if node == self.user:
            return "you"
        return "it" if node == center else self.name(node).title

    def _sentence(self, path: Path) -> str:
        """Every edge as a clause; two edges of one relation that meet in a node share one."""
        clauses = []
        at = 0
        while at < len(path.steps):
            step = path.steps[at]
            after = path.steps[at + 1] if at + 1 < len(path.steps) else None
            meets = after is not None and after.relation == step.relation and after.forward != step.forward
            clause = self._clause(step.source, step.target, step.relation, step.forward)
            if after is not None and meets and step.source != self.user:
                clause += f", like {self._call(after.target)}" if step.forward else f" and {self._call(after.target)}"
                at += 1
            clauses.append(clause)
            at += 1
        return "; ".join(clauses)


class _PairShares:
    """Pair shares by the outer hops of paths."""

    def __init__(self, shares: Shares, adjacency: Adjacency) -> None:
        self.pairs = shares.pairs
        self.relations = adjacency.relations
        self.nodes = len(adjacency.numbering)
        self.left, self.left_row = self._keys(shares.history)
        self.right, self.right_row = self._keys(shares.neighbours)

    def _keys(self, shares: Sequence[Share]) -> tuple[IntArray, IntArray]:
        number = {key: position for position, key in enumerate(self.relations)}
        keys = np.array([number[share.relation] * self.nodes + share.node for share in shares], dtype=np.int64)
        return np.unique(keys, return_index=True)

    def of(self, paths: PathArrays) -> npt.NDArray[np.float64]:
        """The share of each path's outer hops, (paths,); -inf for a direct edge, 0 for relations without a weight."""
        if paths.hops < 2:
            return np.full(len(paths), -np.inf)
        # both ends of a path are fixed, so the first hop is named by relation and node, and so is the last
        left = _find(self.left, paths.relation[:, 0] * self.nodes + paths.nodes[:, 1])
        right = _find(self.right, paths.relation[:, -1] * self.nodes + paths.nodes[:, -2])
        known = (left >= 0) & (right >= 0)
        values = np.zeros(len(paths))
        values[known] = self.pairs[self.left_row[left[known]], self.right_row[right[known]]]
        return values

    def totals(self, first: IntArray, lasts: RaggedArray, relation: RelationKey) -> list[float]:
        """For each of some first hops of the user its shares with a list of the item's, summed."""
        offset = self.relations.index(relation) * self.nodes
        row, left, right = lasts.rows(), _find(self.left, offset + first), _find(self.right, offset + lasts.values)
        known = (left[row] >= 0) & (right >= 0)
        row, right = row[known], right[known]
        values = self.pairs[self.left_row[left[row]], self.right_row[right]]
        sums: list[float] = np.bincount(row, weights=values, minlength=len(first)).tolist()
        return sums


def _find(table: IntArray, keys: IntArray) -> IntArray:
    """Positions of keys in a sorted table, -1 where they are not."""
    if not len(table):
        return np.full(len(keys), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[place] == keys, place, -1)
