"""Pipelines against held-out interactions (gnn.evaluation.held_out): each channel scores a user once.

Users are ranked in blocks, on several threads, and what is measured is added up block by block, so that no list is
kept. Equal scores stand in the order of the items' positions, everywhere: a ranking is the same in every run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from gnn.evaluation.held_out import Evaluation, Group
from gnn.evaluation.metrics import PER_USER, Values, check_truth, exposure_metrics, hit_metrics
from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray, distinct
from kg.errors import InvalidDataError
from kg.processes.limits import cores
from kg.progress import SILENT, Progress
from recall.contracts import FUSION, Query
from recall.contracts.history import seen_items
from recall.fusion.combination import FusedScores
from recall.index.top_k import check_k, check_positions
from recall.pipeline import Pipeline
from recall.quality.places import Places


class Lists(NamedTuple):
    """The rankings of a block of users.

    Attributes:
        ranked: by the name of what serves and of each channel that has a weight: positions, best first, -1 where there
            are fewer than k, int64 (n, k).
        without: what would serve without a channel, by its name; empty unless asked for, and of a single channel.
    """

    ranked: dict[str, IntArray]
    without: dict[str, IntArray]


class Watcher(Protocol):
    """Sees each block of a measurement once; blocks come from several threads."""

    def see(self, group: Group, rows: IntArray, lists: Lists, places: Places) -> None:
        """Look at the lists of some users.

        Args:
            group: the users belong to.
            rows: which of the group's users, int64 (n,).
            lists: of these.
            places: of this thread.
        """


@dataclass(frozen=True)
class Measured:
    """The evaluations of a pass, one a group, in order.

    Attributes:
        ranked: by the name of what serves, and of each channel.
        without: by the name of the channel that was left out.
    """

    ranked: dict[str, list[Evaluation]] = field(default_factory=dict)
    without: dict[str, list[Evaluation]] = field(default_factory=dict)


def measure(
    pipeline: Pipeline, groups: Sequence[Group], *, trained_on: KnowledgeGraph, ks: Sequence[int]
) -> list[Evaluation]:
    """Rank all items for every group by fitted channels.

    Args:
        pipeline: of channels fitted on `trained_on`.
        groups: from gnn.evaluation.held_out; each says what must not be shown again.
        trained_on: the training view of the graph; its positives give an item's popularity.
        ks: cut-offs.

    Returns:
        One evaluation a group, in order.
    """
    return measure_channels(pipeline, groups, trained_on=trained_on, ks=ks).ranked.get(pipeline.name, [])


def measure_channels(
    pipeline: Pipeline,
    groups: Sequence[Group],
    *,
    trained_on: KnowledgeGraph,
    ks: Sequence[int],
    without: bool = False,
    watchers: Sequence[Watcher] = (),
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Measured:
    """The same for what serves and for each of its channels alone, from one pass over the scores of each user.

    Args:
        pipeline: of channels fitted on `trained_on`.
        groups: as of `measure`; one that is part of another before it is not ranked again.
        trained_on: as of `measure`.
        ks: cut-offs.
        without: also measure what would serve without each channel.
        watchers: see every block of the groups that are part of no other.
        workers: threads; None: as many as there are cores for this process.
        progress: listener; a step a user.

    Raises:
        InvalidDataError: a group is empty, or a user of one has nothing to find.
    """
    interactions = trained_on.interactions
    popularity = np.bincount(interactions.item[interactions.positive], minlength=len(trained_on.items))
    num_users = len(distinct(interactions.user[interactions.positive]))
    cutoffs = sorted(set(ks))
    sums: dict[int, _Sums] = {}  # by the identity of the group
    for group in groups:
        if not len(group):
            raise InvalidDataError(f"the group {group.name!r} has no users to evaluate")
        check_truth(group.truth)
        within = group.part_of is not None and id(group.part_of[0]) in sums
        sums[id(group)] = _Sums(group, cutoffs, len(trained_on.items), within=within)
    for group in groups:
        if group.part_of is not None and id(group.part_of[0]) in sums:
            continue
        family = [each for each in groups if each is group or (each.part_of and each.part_of[0] is group)]

        def add(rows: IntArray, lists: Lists, places: Places, family: Sequence[Group] = family) -> None:
            for each in family:
                sums[id(each)].add(rows, lists, places)
            for watcher in watchers:
                watcher.see(family[0], rows, lists, places)

        _each_block(pipeline, group, trained_on, max(cutoffs), without, workers, progress, add)
    result = Measured()
    for group in groups:
        for kind, evaluations in (("ranked", result.ranked), ("without", result.without)):
            for name, evaluation in sums[id(group)].evaluations(kind, popularity, num_users).items():
                evaluations.setdefault(name, []).append(evaluation)
    return result


def rank_group(pipeline: Pipeline, group: Group, k: int, *, graph: KnowledgeGraph) -> IntArray:
    """The best k items for each user of a group, int64 (n, k), -1 where the channels have fewer."""
    ranked = np.full((len(group), k), -1, dtype=np.int64)

    def add(rows: IntArray, lists: Lists, places: Places) -> None:
        ranked[rows] = lists.ranked[pipeline.name]

    _each_block(pipeline, group, graph, k, False, None, SILENT, add)
    return ranked


def ranked_blocks(
    pipeline: Pipeline, queries: Query, *, k: int, candidates: IntArray | None = None, without: bool = False
) -> Iterator[tuple[slice, Lists]]:
    """The best k items of what serves and of each of its channels alone, a block of requests at a time.

    What a request has seen is left out, and the fallback answers nobody.

    Args:
        pipeline: fitted channels.
        queries: the batch; no request has a `k` or candidates of its own.
        k: items wanted, at least 1; more than `depth` take as many of each channel.
        candidates: positions of the only items allowed, or None for all.
        without: also what would be ranked without each channel.

    Raises:
        ConfigError, UnknownIdError, InvalidDataError: see `Pipeline.recommend`.
    """
    check_k(k)
    num_items = pipeline.history.num_items
    only = None if candidates is None else check_positions(candidates, num_items, "candidates")
    at_most = min(k, num_items)
    for rows, block, scores, whole in pipeline.scored_blocks(queries, k=k):
        seen = whole.seen if isinstance(whole, FusedScores) else seen_items(block, pipeline.history)
        left_out: list[IntArray] = []
        if not isinstance(whole, FusedScores):
            lists = [scores[0].top(at_most, exclude=seen, only=only).items]
        elif without:
            fused, alone, left_out = whole.with_and_without(at_most, exclude=seen, only=only)
            lists = [fused, *alone]
        else:
            lists = [
                whole.top(at_most, exclude=seen, only=only).items,
                *whole.best(at_most, exclude=seen, only=only),
            ]
        names = [*([FUSION] if pipeline.fused else []), *pipeline.asked]
        yield (
            rows,
            Lists(
                {name: _padded(items, k) for name, items in zip(names, lists, strict=True)},
                {name: _padded(items, k) for name, items in zip(pipeline.asked, left_out, strict=bool(left_out))},
            ),
        )


def _padded(items: IntArray, k: int) -> IntArray:
    if items.shape[1] >= k:
        return items[:, :k]
    return np.pad(items, ((0, 0), (0, k - items.shape[1])), constant_values=-1)


class _Add(Protocol):
    def __call__(self, rows: IntArray, lists: Lists, places: Places) -> None: ...


def _each_block(
    pipeline: Pipeline,
    group: Group,
    graph: KnowledgeGraph,
    k: int,
    without: bool,
    workers: int | None,
    progress: Progress,
    add: _Add,
) -> None:
    """Rank for the users of a group, and give the lists of each block to `add`, on several threads."""
    queries = _queries(group, graph)
    threads = max(1, workers or cores())
    size = max(1, min(pipeline.block_size(k), -(-len(queries) // threads)))
    own = threading.local()

    def begin() -> None:
        threadpool_limits(limits=1, user_api="openmp")  # OpenMP counts the threads of each thread
        own.places = Places(pipeline.history.num_items)

    def work(start: int) -> int:
        rows = np.arange(start, min(start + size, len(queries)))
        for part, lists in ranked_blocks(
            pipeline, queries.take(rows), k=k, candidates=group.candidates, without=without
        ):
            add(rows[part], lists, own.places)
        return len(rows)

    # The threads are ours: those of the libraries below them would only take turns.
    with (
        progress.task(f"ranking for {group.name}", total=len(queries)) as task,
        threadpool_limits(limits=1),
        ThreadPoolExecutor(threads, initializer=begin) as pool,
    ):
        for count in pool.map(work, range(0, len(queries), size)):
            task.advance(count)


class _Sums:
    """What is known of the lists of a group so far."""

    def __init__(self, group: Group, ks: Sequence[int], num_items: int, *, within: bool) -> None:
        """Begin.

        Args:
            group: whose users are ranked.
            ks: cut-offs, ascending.
            num_items: items there are.
            within: whether blocks number the users of the group it is a part of.
        """
        self._group, self._ks, self._num_items = group, ks, num_items
        self._places_in_whole = group.part_of[1] if within and group.part_of is not None else None
        self._values: dict[tuple[str, str], dict[str, Values]] = {}
        self._exposure: dict[tuple[str, str], IntArray] = {}
        self._hits: dict[tuple[str, str], IntArray] = {}
        self._shown: dict[tuple[str, str], IntArray] = {}
        self._lock = threading.Lock()

    def add(self, rows: IntArray, lists: Lists, places: Places) -> None:
        """Measure a block of the users."""
        own, taken = rows, slice(None)
        if self._places_in_whole is not None:
            there = (self._places_in_whole >= rows[0]) & (self._places_in_whole <= rows[-1])
            own = np.flatnonzero(there)
            taken = self._places_in_whole[own] - rows[0]
        if not len(own):
            return
        truth = self._group.truth.take(own)
        for kind, named in (("ranked", lists.ranked), ("without", lists.without)):
            for name, items in named.items():
                self._add((kind, name), own, items[taken], truth, places)

    def _add(self, key: tuple[str, str], own: IntArray, items: IntArray, truth: RaggedArray, places: Places) -> None:
        hits = places.inside(truth, items)
        metrics = hit_metrics(hits, truth.counts, self._ks)
        with self._lock:
            if key not in self._values:
                names = [f"{name}@{k}" for k in self._ks for name in PER_USER]
                self._values[key] = {name: np.zeros(len(self._group)) for name in names}
                self._exposure[key] = np.zeros((len(self._ks), self._num_items), dtype=np.int64)
                self._hits[key] = np.zeros(items.shape[1], dtype=np.int64)
                self._shown[key] = np.zeros(items.shape[1], dtype=np.int64)
            for k, values in metrics.items():
                for name, of_users in values.items():
                    self._values[key][f"{name}@{k}"][own] = of_users
            self._hits[key] += hits.sum(axis=0)
            self._shown[key] += (items >= 0).sum(axis=0)
            start = 0
            for at, k in enumerate(self._ks):
                shown = items[:, start:k]
                np.add.at(self._exposure[key][at], shown[shown >= 0], 1)
                start = k

    def evaluations(self, kind: str, popularity: IntArray, num_users: int) -> dict[str, Evaluation]:
        """Of one kind of lists, by their names."""
        group, result = self._group, {}
        for (of_kind, name), values in self._values.items():
            if of_kind != kind:
                continue
            exposure = np.cumsum(self._exposure[of_kind, name], axis=0)
            properties = {
                f"{metric}@{k}": value
                for k, shown in zip(self._ks, exposure, strict=True)
                for metric, value in exposure_metrics(shown, popularity, num_users=num_users).items()
            }
            result[name] = Evaluation(
                group=group.name,
                user=group.user,
                values=values,
                lists=properties,
                drawn_from=group.drawn_from,
                hits=self._hits[of_kind, name],
                shown=self._shown[of_kind, name],
                to_find=int(group.truth.counts.sum()),
            )
        return result


def _queries(group: Group, graph: KnowledgeGraph) -> Query:
    if group.in_training:
        return Query.of_users(group.user, graph.users, seen=group.seen)
    return Query.of_histories(graph.users.take(group.user).to_pylist(), group.history, seen=group.seen)
