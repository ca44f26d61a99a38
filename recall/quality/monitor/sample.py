"""What a run holds, and what it gives a sample of its users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnn.evaluation.held_out import sampled
from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.io.graph_folder import load_graph
from recall.contracts import CandidateBatch, Query
from recall.quality.monitor.report import CandidateState
from recall.runs.layout import RunLayout
from recall.serve.loading import load_run

NO_CHANNEL = "none"
FALLBACK = "most liked"


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The candidates of a sample.

    Attributes:
        user: positions of the users asked, ascending, int64 (n,).
        items: candidates of each, best first, (n,) lists of positions.
        channels: candidates by channel, one of several in equal parts.
        state: of the report, without what needs a run to compare with.
    """

    user: IntArray
    items: RaggedArray
    channels: dict[str, float]
    state: CandidateState


@dataclass(frozen=True, kw_only=True)
class RunSample:
    """What is kept of a run to compare the next one with it: the graph, and lists of positions; no channels.

    Attributes:
        graph: of the run.
        likes: of each item, int64 (items,).
        likes_of_users: of each user, int64 (users,).
        lists: None where no candidates were asked for, or no user likes anything.
    """

    graph: KnowledgeGraph
    likes: IntArray
    likes_of_users: IntArray
    lists: Lists | None


def sample_run(run: RunLayout, *, users: int, k: int) -> RunSample:
    """Read a run, ask it for the candidates of a sample of users, and let its channels go again.

    Args:
        run: its folder.
        users: at most, those of the smallest seeded hashes of their ids, so that most are asked of every run; 0: no
            candidates, and then no channels are loaded.
        k: candidates of each.

    Raises:
        ArtifactError: the run is damaged, of another format, or gone.
    """
    with run.hold():
        if not users:
            return _of_graph(load_graph(run.graph), None)
        loaded = load_run(run)
    graph = loaded.data.graph
    asked, drawn_from = sampled(graph, np.flatnonzero(loaded.pipeline.history.liked.counts), users)
    if not len(asked):
        return _of_graph(graph, None)
    queries = Query.of_users(asked, graph.users)
    batch = (loaded.control or loaded.pipeline).recommend(queries, k=k)
    items = RaggedArray.from_pairs(batch.row, batch.item, num_rows=len(asked))
    sample = _of_graph(graph, None)
    channels = _by_channel(batch)
    total = max(len(batch), 1)
    state = CandidateState(
        users=len(asked),
        drawn_from=drawn_from,
        k=k,
        candidates=len(batch),
        coverage=_share(len(np.unique(batch.item)), len(graph.items)),
        untouched=_share(int((sample.likes[batch.item] == 0).sum()), total),
        fallback=_share(int(batch.fallback.sum()), total),
        channels={name: round(count / total, 5) for name, count in channels.items()},
    )
    lists = Lists(user=asked, items=items, channels=channels, state=state)
    return RunSample(graph=graph, likes=sample.likes, likes_of_users=sample.likes_of_users, lists=lists)


def _of_graph(graph: KnowledgeGraph, lists: Lists | None) -> RunSample:
    liked = graph.interactions.select(graph.interactions.positive)
    return RunSample(
        graph=graph,
        likes=np.bincount(liked.item, minlength=len(graph.items)),
        likes_of_users=np.bincount(liked.user, minlength=len(graph.users)),
        lists=lists,
    )


def _by_channel(batch: CandidateBatch) -> dict[str, float]:
    """Candidates by the channel that lists them."""
    lists_of = batch.listed.sum(axis=1)
    parts = batch.listed / np.maximum(lists_of, 1)[:, None]
    counts = dict(zip(batch.channels, parts.sum(axis=0).tolist(), strict=True))
    counts[FALLBACK] = float(batch.fallback.sum())
    counts[NO_CHANNEL] = float(((lists_of == 0) & ~batch.fallback).sum())
    return {name: count for name, count in counts.items() if count or name in batch.channels}


def _share(count: int, of: int) -> float:
    return round(count / max(of, 1), 5)
