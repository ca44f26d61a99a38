"""The rules of a deployment over the candidates of its pipeline."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.errors import ConfigError
from recall.channels.base import item_likes, unit_rows
from recall.contracts import CandidateBatch, Query, Scores, TopK
from recall.contracts.history import check_queries, seen_items
from recall.contracts.scores import is_answered
from recall.control.choose import Candidates, Kinds, choose
from recall.control.filters import ItemFilters
from recall.control.gather import Pool, Sources, gather
from recall.control.settings import Boost, ControlSettings, Quota
from recall.index.top_k import check_k, check_positions
from recall.pipeline import Pipeline

_DAY = 86_400.0  # seconds
_BLOCK = 256  # requests whose candidates are held at once


@dataclass(frozen=True, slots=True)
class _Block:
    """Requests that are answered together, and what their candidates are read from."""

    queries: Query
    k: int
    channels: dict[str, Scores]
    whole: Scores
    exclude: Any
    only: IntArray | None


class Control:
    """Chooses the candidates of a pipeline by rounds, quotas, boosts, rarity and diversity.

    The scores stay those of the pipeline, which explanations split; the order is that of the rules, and each candidate
    says which round brought it and which rules moved it. Nothing in it changes, so threads can share one.
    """

    def __init__(self, settings: ControlSettings, graph: KnowledgeGraph, pipeline: Pipeline) -> None:
        """From settings that fit a graph and a pipeline.

        Raises:
            ConfigError: they name a channel, an attribute or a relation that is not there, or a diversity is wished and
                no channel has vectors of the items.
        """
        self.settings, self.pipeline = settings, pipeline
        self._filters = ItemFilters(graph)
        named = dict.fromkeys(settings.channels())
        if absent := [name for name in named if name not in pipeline.channels]:
            raise ConfigError(
                f"pipeline.control names the channel {absent[0]!r}; those of the pipeline are "
                f"{', '.join(pipeline.channels)}"
            )
        # A rule may name a channel to which the fusion gives no weight.
        self._names = (*pipeline.asked, *(name for name in named if name not in pipeline.asked))
        self._check_vectors()
        for text in self._texts():
            self._passing(text)
        self._kinds = {quota.per: self._filters.kinds(quota.per) for quota in settings.quotas if quota.per is not None}
        self._times = {
            boost.decay: self._filters.seconds(boost.decay) for boost in settings.boosts if boost.decay is not None
        }

    def changed(self, *, diversity: float | None = None, long_tail: float | None = None) -> Self:
        """The same rules with other numbers for these two; what is None stays.

        Raises:
            ConfigError: a number is not between 0 and 1, or a diversity is wished and no channel has vectors.
        """
        given = {"diversity": diversity, "long_tail": long_tail}
        other = copy(self)
        other.settings = self.settings.changed(**{name: value for name, value in given.items() if value is not None})
        other._check_vectors()
        if long_tail:
            other._rarity = self._rarity  # found once for all copies
        return other

    def _check_vectors(self) -> None:
        if self.settings.diversity and self.pipeline.item_vectors is None:
            raise ConfigError(
                "diversity compares vectors of the items, and no channel has any: add one that has, such as lightgcn, "
                "or leave it out"
            )

    def _texts(self) -> list[str]:
        settings = self.settings
        parts: list[Any] = [*settings.rounds, *settings.quotas, *settings.boosts]
        parts += [leaf for each in settings.rounds for prefetch in each.prefetch for leaf in prefetch.leaves()]
        return [part.filter for part in parts if part.filter is not None]

    def recommend(
        self, queries: Query, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> CandidateBatch:
        """The k candidates of each request; see `Pipeline.recommend`.

        A request that no channel has evidence for gets what the pipeline gives it, without rules.
        """
        check_k(k)
        check_queries(queries, self.pipeline.history)
        count = self.pipeline.history.num_items
        only = None if candidates is None else check_positions(candidates, count, "candidates")
        batches = []
        for rows, k_of_rows, allowed in queries.alike(k, only):
            wanted = min(k_of_rows, count)
            alike = queries.take(rows)
            size = min(self.settings.pool * wanted, count)
            for part, block in alike.blocks(min(_BLOCK, self.pipeline.block_size(size))):
                batch = self._answer(block, wanted, size, exclude_seen, allowed)
                batches.append(replace(batch, row=rows[batch.row + part.start]))
        if not batches:
            return self._without_rules(self.pipeline.recommend(queries, k=k))
        return CandidateBatch.concat(batches)

    def moves(self, queries: Query, items: IntArray, *, k: int) -> list[str]:
        """Which rules moved an item in the list of k of its request, "" for none, or where it is not in the list.

        Args:
            queries: requests, (n,).
            items: an item for each of them, int64 (n,).
            k: length of the lists.
        """
        people, row_of = queries.distinct()
        batch = self.recommend(people, k=k)
        pairs = zip(batch.row.tolist(), batch.item.tolist(), batch.moves or ("",) * len(batch), strict=True)
        said = {(row, item): text for row, item, text in pairs}
        return [said.get(pair, "") for pair in zip(row_of.tolist(), items.tolist(), strict=True)]

    def _answer(self, queries: Query, k: int, size: int, exclude_seen: bool, only: IntArray | None) -> CandidateBatch:
        exclude = seen_items(queries, self.pipeline.history) if exclude_seen else None
        if queries.exclude is not None:
            exclude = queries.exclude if exclude is None else exclude.union(queries.exclude)
        ((_, _, scores, whole),) = self.pipeline.scored_blocks(queries, k=size)
        unweighted = [self.pipeline.channels[name].score(queries) for name in self._names[len(scores) :]]
        channels = dict(zip(self._names, [*scores, *unweighted], strict=True))
        block = _Block(queries, k, channels, whole, exclude, only)
        sources = Sources(channels=block.channels, whole=whole, exclude=exclude, only=only, passing=self._passing)
        pools = gather(sources, self.settings.rounds, size, k, len(queries))
        self._add_quotas(sources, pools, k)
        batch = self._chosen(block, pools)
        left = np.flatnonzero(~is_answered(scores))
        if not len(left) or self.pipeline.fallback is None:
            return batch
        popular = self.pipeline.recommend(queries.take(left), k=k, exclude_seen=exclude_seen, candidates=only)
        return CandidateBatch.concat([batch, replace(self._without_rules(popular), row=left[popular.row])])

    def _without_rules(self, batch: CandidateBatch) -> CandidateBatch:
        """What the pipeline gave, in the form of what rules chose."""
        more = ((0, 0), (0, len(self._names) - len(batch.channels)))
        return replace(
            batch,
            channels=self._names,
            channel_scores=np.pad(batch.channel_scores, more),
            listed=np.pad(batch.listed, more),
            round=np.zeros(len(batch), dtype=np.int32),
            moves=("",) * len(batch),
        )

    def _add_quotas(self, sources: Sources, pools: list[Pool], k: int) -> None:
        """Let in what lower bounds want and no round brought, after all that the rounds brought."""
        last = len(self.settings.rounds)
        for quota in self.settings.quotas:
            if quota.at_least is None:
                continue
            count = min(quota.at_least, k)
            if quota.filter is not None:
                passing = self._passing(quota.filter)
                only = passing if sources.only is None else np.intersect1d(passing, sources.only, assume_unique=True)
                items = sources.whole.top(count, exclude=sources.exclude, only=only).items
            else:
                items = (
                    sources.channels[str(quota.channel)].top(count, exclude=sources.exclude, only=sources.only).items
                )
            for pool, row in zip(pools, items, strict=True):
                there = set(pool.items)
                new = [item for item in row.tolist() if item >= 0 and item not in there]
                pool.items += new
                pool.rounds += [last] * len(new)

    def _chosen(self, block: _Block, pools: list[Pool]) -> CandidateBatch:
        items = _padded([pool.items for pool in pools])
        scores = block.whole.at(items)
        listed = self._listed(block, items)
        chosen, rounds, moves = [], [], []
        for row, pool in enumerate(pools):
            count = len(pool.items)
            of_round = np.array(pool.rounds, dtype=np.int64)
            order = np.lexsort((np.arange(count), -scores[row, :count], of_round))
            own, of_round = items[row, order], of_round[order]
            candidates = self._candidates(own, scores[row, order], of_round, listed[:, row, order])
            places, moved = choose(candidates, block.k)
            chosen.append(own[places].tolist())
            rounds += of_round[places].tolist()
            moves += ["; ".join(moved.get(place, ())) for place in places]
        final = _padded(chosen)
        score = np.where(final >= 0, block.whole.at(final), -np.inf).astype(np.float32)
        names = list(block.channels)
        by_channel = np.stack([each.at(final) for each in block.channels.values()])
        batch = CandidateBatch.of(
            TopK(final, score),
            names,
            channel_scores=by_channel,
            listed=self._listed(block, final),
            fused=self.pipeline.fused,
        )
        return replace(batch, round=np.array(rounds, dtype=np.int32), moves=tuple(moves))

    def _listed(self, block: _Block, items: IntArray) -> npt.NDArray[np.bool_]:
        """Which channels have items among their best, bool (channels, n, m)."""
        depth = max(block.k, self.pipeline.fusion.depth)
        result = []
        for scores in block.channels.values():
            best = scores.top(depth, exclude=block.exclude, only=block.only).items
            result.append(
                np.stack([np.isin(row, own[own >= 0]) for row, own in zip(items, best, strict=True)])
                if len(items)
                else np.zeros(items.shape, dtype=bool)
            )
        return np.stack(result)

    def _candidates(
        self, items: IntArray, score: npt.NDArray[np.float32], rounds: IntArray, listed: npt.NDArray[np.bool_]
    ) -> Candidates:
        settings = self.settings
        return Candidates(
            score=score.astype(np.float64),
            round=rounds,
            boosts={boost.name: self._boosted(boost, items) for boost in settings.boosts},
            rarity=self._rarity[items] if settings.long_tail else None,
            long_tail=settings.long_tail,
            vectors=self._vectors(items) if settings.diversity else None,
            diversity=settings.diversity,
            quotas=[self._counted(quota, items, listed) for quota in settings.quotas],
        )

    def _counted(self, quota: Quota, items: IntArray, listed: npt.NDArray[np.bool_]) -> Kinds:
        if quota.per is not None:
            kinds = self._kinds[quota.per]
            of_item = [tuple(kinds[item].tolist()) for item in items.tolist()]
        else:
            if quota.filter is not None:
                there = np.isin(items, self._passing(quota.filter))
            else:
                there = listed[self._names.index(str(quota.channel))]
            of_item = [(True,) if is_there else () for is_there in there.tolist()]
        return Kinds(name=quota.name, of_item=of_item, at_least=quota.at_least, at_most=quota.at_most)

    def _boosted(self, boost: Boost, items: IntArray) -> npt.NDArray[np.float64]:
        added = np.full(len(items), boost.weight)
        if boost.decay is not None:
            times = self._times[boost.decay]
            age = np.maximum(np.nanmax(times, initial=-np.inf) - times[items], 0) / _DAY
            added = added * np.nan_to_num(np.power(0.5, age / boost.half_life_days))
        if boost.filter is not None:
            added = np.where(np.isin(items, self._passing(boost.filter)), added, 0.0)
        return added

    def _passing(self, text: str) -> IntArray:
        return self._filters.positions(text, skip_unknown=True)

    @cached_property
    def _rarity(self) -> npt.NDArray[np.float64]:
        likes = np.log1p(item_likes(self.pipeline.history))
        rarity: npt.NDArray[np.float64] = 1 - likes / max(float(likes.max(initial=0)), 1e-9)
        return rarity

    def _vectors(self, items: IntArray) -> npt.NDArray[np.float32] | None:
        vectors = self.pipeline.item_vectors
        return None if vectors is None else unit_rows(vectors[items])


def _padded(lists: list[list[int]]) -> IntArray:
    """Lists as rows, -1 at their ends, int64 (n, longest)."""
    width = max((len(each) for each in lists), default=0)
    result = np.full((len(lists), max(width, 1)), -1, dtype=np.int64)
    for row, each in enumerate(lists):
        result[row, : len(each)] = each
    return result
