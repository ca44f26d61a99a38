"""From requests to candidates: channels, their fusion, and the most liked items where no channel answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.arrays import IntArray, RaggedArray
from kg.cypher.query import CypherQuery
from kg.errors import ConfigError, InvalidDataError
from kg.history import InteractionHistory
from recall.channels.base import item_likes
from recall.channels.popularity import Popularity
from recall.contracts import (
    FALLBACK,
    FUSION,
    Attribution,
    CandidateBatch,
    Channel,
    FitData,
    NoShares,
    Part,
    Query,
    Scores,
    Shares,
    TopK,
    WritesCypher,
)
from recall.contracts.history import check_pairs, check_queries, seen_items
from recall.contracts.scores import is_answered
from recall.fusion.combination import FusedScores
from recall.fusion.joined import JoinedIndex, JoinedScores
from recall.fusion.settings import FusionConfig
from recall.fusion.shares import fuse_shares, scale_shares
from recall.fusion.weights import Candidates, fit_untouched, fit_weights
from recall.index.top_k import BLOCK_SCORES, check_k, check_positions, is_narrow

_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Pipeline:
    """Fitted channels as one source of candidates. Nothing in it changes, so threads can share one.

    A single channel serves its own scores; several serve their weighted sum (recall.fusion).

    Attributes:
        channels: by name, in the order of the columns of a `CandidateBatch`.
        history: what the users of the graph did.
        fusion: weights and depth of the fusion; of no use to a single channel.
        fallback: answers requests that no channel answers; None: they get nothing.
    """

    def __init__(
        self,
        channels: Sequence[Channel] | Mapping[str, Channel],
        history: InteractionHistory,
        *,
        fusion: FusionConfig | None = None,
        fallback: Channel | None = None,
        joined: JoinedIndex | None = None,
    ) -> None:
        """From channels that are fitted on one graph.

        Args:
            channels: under their own names, or under others.
            history: of that graph.
            fusion: its weights name the same channels; without weights all weigh the same.
            fallback: see the class.
            joined: of the channels that weigh more than 0, if there is one already.

        Raises:
            ConfigError: there are no channels, two have one name, the weights name others, or the fusion divides by
                the deviation of all scores of a channel that is no inner product.
        """
        if not isinstance(channels, Mapping):
            names = [channel.name for channel in channels]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ConfigError(f"a pipeline has two channels {twice[0]!r}: give them names, {{'a': ..., 'b': ...}}")
            channels = dict(zip(names, channels, strict=True))
        if not channels:
            raise ConfigError("a pipeline needs at least one channel")
        if bad := [name for name in channels if not _NAME.fullmatch(name)]:
            raise ConfigError(f"the channel name {bad[0]!r} is no name for a folder: use letters, digits, _ and -")
        fusion = fusion or FusionConfig()
        if not fusion.weights:
            fusion = fusion.changed(weights=dict.fromkeys(channels, 1.0))
        if others := sorted(set(fusion.weights) - set(channels)):
            raise ConfigError(f"fusion.weights names {others[0]!r}; the channels are {', '.join(channels)}")
        if without := sorted(set(channels) - set(fusion.weights)):
            raise ConfigError(
                f"fusion.weights has nothing for the channel {without[0]!r}: give a weight, 0 leaves it out"
            )
        self.channels = dict(channels)
        self.history = history
        self.fusion = fusion
        self.fallback = fallback
        self._weights = {name: fusion.weights[name] for name in channels if fusion.weights[name] > 0}
        self._item_factors = None if fusion.untouched == 1 else np.where(item_likes(history), 1.0, fusion.untouched)
        self._joined = joined
        if joined is None and self.fused and fusion.spread == "all":
            self._joined = JoinedIndex.of({name: channels[name] for name in self._weights}, self._item_factors)

    @classmethod
    def of(
        cls,
        graph: KnowledgeGraph,
        channels: Sequence[Channel] | Mapping[str, Channel],
        *,
        fusion: FusionConfig | None = None,
        history: InteractionHistory | None = None,
    ) -> Pipeline:
        """From channels fitted on a graph, with its most liked items for requests that none of them answers.

        Args:
            graph: the graph.
            channels: see `Pipeline`.
            fusion: see `Pipeline`.
            history: of the graph, if there is one already.
        """
        history = InteractionHistory.of(graph) if history is None else history
        fallback = Popularity().fit(FitData(graph=graph, history=history))
        return cls(channels, history, fusion=fusion, fallback=fallback)

    def with_weights(self, weights: Mapping[str, float]) -> Pipeline:
        """The same fitted channels under other weights; those that are joined stay so where the same ones are asked."""
        fusion = self.fusion.changed(weights=dict(weights))
        same = {name for name, weight in weights.items() if weight > 0} == set(self._weights)
        joined = self._joined if same else None
        return Pipeline(self.channels, self.history, fusion=fusion, fallback=self.fallback, joined=joined)

    @property
    def fused(self) -> bool:
        """Whether scores are sums over several channels."""
        return len(self.channels) > 1

    @property
    def name(self) -> str:
        """The name of the only channel, or "fusion"."""
        return FUSION if self.fused else next(iter(self.channels))

    @property
    def item_vectors(self) -> npt.NDArray[np.float32] | None:
        """Vectors that say how alike items are, of the first channel that has any."""
        channels = (channel for channel in self.channels.values() if channel.capabilities.item_vectors)
        channel = next(channels, None)
        return None if channel is None else channel.item_vectors

    def recommend(
        self, queries: Query, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> CandidateBatch:
        """The best k items for each request, a block of requests at a time; the same alone and among others.

        Args:
            queries: the batch; `exclude`, `candidates` and `k` of a request are kept as well.
            k: items wanted, at least 1; in a fusion each channel lists `depth` items, or k where that is more.
            exclude_seen: leave out what the user has seen.
            candidates: positions of the only items allowed for all requests, or None for all.

        Raises:
            ConfigError: k is below 1, or a channel cannot read what a request carries.
            UnknownIdError, InvalidDataError: a user, an item or an attribute is not there.
        """
        check_k(k)
        check_queries(queries, self.history)
        only = None if candidates is None else check_positions(candidates, self.history.num_items, "candidates")
        batches = []
        for rows, k_of_rows, allowed in queries.alike(k, only):
            count = min(k_of_rows, self.history.num_items)
            alike = queries if len(rows) == len(queries) else queries.take(rows)
            for part, block in alike.blocks(self.block_size(count, allowed)):
                batch = self._ranked(block, count, exclude_seen, allowed)
                batches.append(replace(batch, row=rows[batch.row + part.start]))
        if not batches:
            nothing = TopK(np.zeros((0, 1), dtype=np.int64), np.zeros((0, 1), dtype=np.float32))
            return CandidateBatch.of(nothing, list(self._weights), fused=self.fused)
        return CandidateBatch.concat(batches)

    def _ranked(self, queries: Query, k: int, exclude_seen: bool, only: IntArray | None) -> CandidateBatch:
        """Candidates of one block."""
        names, seen = list(self._weights), seen_items(queries, self.history)
        exclude = seen if exclude_seen else None
        if queries.exclude is not None:
            exclude = queries.exclude if exclude is None else exclude.union(queries.exclude)
        if self.fused:
            ranked = self._fuse(self._scores(queries), seen).ranked(k, exclude=exclude, only=only)
            batch = CandidateBatch.of(
                ranked.top, names, channel_scores=ranked.channel_scores, listed=ranked.listed, fused=True
            )
        else:
            (scores,) = self._scores(queries)
            batch = CandidateBatch.of(scores.top(k, exclude=exclude, only=only), names)
        answered = np.zeros(len(queries), dtype=bool)
        answered[batch.row] = True
        if self.fallback is None or answered.all():
            return batch
        left = np.flatnonzero(~answered)
        exclude = None if exclude is None else exclude.take(left)
        top = self.fallback.score(queries.take(left)).top(k, exclude=exclude, only=only)
        popular = CandidateBatch.of(top, names, fused=self.fused, fallback=True)
        return CandidateBatch.concat([batch, replace(popular, row=left[popular.row])])

    def score(self, queries: Query) -> Scores:
        """The scores that `recommend` ranks by, of all items, for a block of requests.

        Raises:
            ConfigError, UnknownIdError, InvalidDataError: see `recommend`.
        """
        check_queries(queries, self.history)
        return self._whole(queries, self._scores(queries))

    def scored_blocks(self, queries: Query, *, k: int = 1) -> Iterator[tuple[slice, Query, list[Scores], Scores]]:
        """The scores of all items, a block of requests at a time: of each channel of `asked`, and those that count.

        Args:
            queries: requests.
            k: items that will be asked of the scores.
        """
        check_queries(queries, self.history)
        for rows, block in queries.blocks(self.block_size(k)):
            scores = self._scores(block)
            yield rows, block, scores, self._whole(block, scores, k)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the channels whose scores count: those with a weight above 0."""
        return tuple(self._weights)

    def attribute(self, queries: Query, items: IntArray) -> list[Attribution]:
        """Split the scores that requests give items, and say which channel answers them.

        A fused score is split over the channels, and each channel's part as the channel does (`FusedShares`).

        Args:
            queries: requests, (n,); a user of the graph who comes with several items is scored once.
            items: an item for each of them by position, int64 (n,).

        Raises:
            UnknownIdError: a position lies outside the tables.
            InvalidDataError: there are more or fewer items than requests.
            ConfigError: a channel cannot read what a request carries.
        """
        check_pairs(queries, items, self.history)
        people, row_of = queries.distinct()
        answered = np.full(len(people), self.fallback is None)
        factors = np.ones((len(self._weights), len(people)))
        for rows, _, scores, whole in self.scored_blocks(people):
            answered[rows] |= is_answered(scores)
            if isinstance(whole, FusedScores):
                factors[:, rows] = whole.factors
        by_channels = answered[row_of]
        own, others = np.flatnonzero(by_channels), np.flatnonzero(~by_channels)
        of_pairs = factors[:, row_of[own]]
        if self.fused and self._item_factors is not None:
            of_pairs = of_pairs * self._item_factors[items[own]]
        answers = self._attribute(queries.take(own), items[own], of_pairs)
        own_factors = (dict(zip(self._weights, column, strict=True)) for column in of_pairs.T.tolist())
        split = zip(answers, own_factors, strict=True)
        own_answers = (Attribution(self.name, shares, by_channel) for shares, by_channel in split)
        popular: Iterator[Attribution] = iter(())
        if self.fallback is not None:
            shares_of_others = self.fallback.attribute(queries.take(others), items[others])
            popular = (Attribution(FALLBACK, shares) for shares in shares_of_others)
        return [next(own_answers) if answered_here else next(popular) for answered_here in by_channels]

    def score_queries(
        self, queries: Query, items: IntArray, attributions: Sequence[Attribution], *, show_users: bool = False
    ) -> list[dict[str, CypherQuery]]:
        """Queries that recompute in a database what channels add to scores, path by path.

        Args:
            queries: requests, (n,).
            items: an item for each of them by position, int64 (n,).
            attributions: what `attribute` says of them.
            show_users: name other users by id; otherwise they are only counted.

        Returns:
            For each request, channel -> query, of the channels that can (`recall.contracts.WritesCypher`).
        """
        made: list[dict[str, CypherQuery]] = [{} for _ in attributions]
        for name in self._weights:
            channel = self.channels[name]
            if not channel.capabilities.cypher or not isinstance(channel, WritesCypher):
                continue
            rows = np.array([row for row, split in enumerate(attributions) if split.factors.get(name)], dtype=np.int64)
            factors = np.array([attributions[row].factors[name] for row in rows.tolist()])
            answers = channel.score_queries(queries.take(rows), items[rows], factors=factors, show_users=show_users)
            for row, query in zip(rows.tolist(), answers, strict=True):
                if query is not None:
                    made[row][name] = query
        return made

    def _attribute(self, queries: Query, items: IntArray, factors: npt.NDArray[np.float64]) -> list[Shares | NoShares]:
        """Split the scores of requests that the channels answer; factors are by channel and request."""
        answers = [self.channels[name].attribute(queries, items) for name in self._weights]
        if not self.fused:
            return answers[0]
        return [
            fuse_shares(
                [
                    Part(name, weight, scale_shares(answer[at], float(factor[at])))
                    for (name, weight), answer, factor in zip(self._weights.items(), answers, factors, strict=True)
                ]
            )
            for at in range(len(queries))
        ]

    def fit_fusion(
        self,
        queries: Query,
        truth: RaggedArray,
        *,
        k: int = 20,
        exclude_seen: bool = True,
        weights: Mapping[str, float] | None = None,
        cold_cost: float = 0.0,
    ) -> FusionConfig:
        """The weights with the best NDCG@k for some users, and the factor of untouched items.

        See `recall.fusion.weights`.

        Args:
            queries: validation users, (n,); the channels must not have learned from what they are to find.
            truth: what they liked in the validation part, (n,) lists, none empty.
            k: cut-off of the metric.
            exclude_seen: leave out what they have seen.
            weights: given ones, of each channel; None: the best are searched.
            cold_cost: share of the recall@k that items which nobody likes may cost.

        Returns:
            The fusion; weights that were searched add up to 1.

        Raises:
            InvalidDataError: there are no users, or another number of lists than users.
        """
        if not len(queries) or len(queries) != len(truth):
            raise InvalidDataError(
                f"weights of a fusion need validation users with something to find: there are {len(queries)} requests "
                f"and {len(truth)} truths; give the split a validation part, or fusion.weights"
            )
        check_queries(queries, self.history)
        equal = self.with_weights(dict.fromkeys(self.channels, 1.0))
        candidates = Candidates(equal._fused_blocks(queries, k), truth, k=k, exclude_seen=exclude_seen)
        if weights is None:
            best = fit_weights(candidates, preferred=[channel.capabilities.paths for channel in self.channels.values()])
            weights = {name: round(float(weight), 4) for name, weight in zip(self.channels, best, strict=True)}
        in_order = np.array([weights[name] for name in self.channels])
        untouched = fit_untouched(candidates, in_order, item_likes(self.history) == 0, cost=cold_cost)
        return self.fusion.changed(weights=dict(weights), untouched=untouched)

    def _fused_blocks(self, queries: Query, k: int) -> Iterator[tuple[slice, FusedScores]]:
        for rows, block in queries.blocks(self.block_size(k)):
            yield rows, self._fuse(self._scores(block), seen_items(block, self.history))

    def _scores(self, queries: Query) -> list[Scores]:
        return [self.channels[name].score(queries) for name in self._weights]

    def _whole(self, queries: Query, scores: Sequence[Scores], k: int = 1) -> Scores:
        """What `recommend` ranks by, from the scores of the channels."""
        return self._fuse(scores, seen_items(queries, self.history), k) if self.fused else scores[0]

    def _fuse(self, scores: Sequence[Scores], seen: RaggedArray, k: int = 1) -> FusedScores:
        depth = min(self.fusion.depth, self.history.num_items)
        weights, factors = list(self._weights.values()), self._item_factors
        if self._joined is not None:
            return JoinedScores(scores, weights, seen=seen, depth=depth, joined=self._joined, item_factors=factors)
        listed = min(k, self.history.num_items)
        return FusedScores(scores, weights, seen=seen, depth=depth, listed=listed, item_factors=factors)

    def block_size(self, k: int, only: IntArray | None = None) -> int:
        """Requests at a time, so few that every channel may hold its scores of all of them at once.

        Args:
            k: items that are asked of the scores.
            only: positions of the only items allowed, or None for all.
        """
        dense = sum(self.channels[name].capabilities.dense for name in self._weights)
        narrow = only is not None and not self.fused and is_narrow(only, self.history.num_items)
        items = len(only) if narrow and only is not None else self.history.num_items
        listed = max(k, self.fusion.depth) * len(self._weights) if self.fused else k
        return max(1, BLOCK_SCORES // max(items * dense + listed, 1))
