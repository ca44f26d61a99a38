"""Measures the paths behind the candidates of some users."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.errors import ConfigError
from kg.progress import SILENT, Progress
from kg.topology.adjacency import Adjacency
from recall.channels.walk.steps import POPULARITY
from recall.contracts import Channel, FitData, FusedShares, NoShares, PathShares, Query, Shares, StepPaths
from recall.explain import Explainer
from recall.explain.path_reasons import reasons_by_paths
from recall.pipeline import Pipeline
from recall.quality.paths.collection import EdgeIndex, PairPaths, steps_of
from recall.quality.paths.deletion import Deleter, refitted, score_of
from recall.quality.paths.linking import FloatArray, popularity, recency
from recall.quality.paths.perturbation import Curve, curve, shares_by_item
from recall.quality.paths.report import Deletion, PathReport, Perturbation, Selection
from recall.quality.paths.selection import GOALS, Selected, select
from recall.runs.layout import RunLayout
from recall.serve.loading import load_run

DIALS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
ALL = "all"
# Each of the three alone: how far it can be had with these candidates.
POSITIONS = (*((ALL, dial) for dial in DIALS), *((goal, 1.0) for goal in GOALS))
COUNTS = (1, 3, 5)
STEPS = 5
_SEED = 0


def assess_run_paths(
    run: RunLayout, *, users: int = 200, k: int = 10, refits: int = 20, progress: Progress = SILENT
) -> PathReport:
    """Measure the paths of a published run, by what it serves; see `assess_paths`.

    Raises:
        ArtifactError: the run is damaged.
        ConfigError: none of its channels is a sum over paths.
    """
    with run.hold():  # nobody removes it meanwhile
        loaded = load_run(run)
        features = TextFeatures.load(run.features)
        return assess_paths(
            loaded.data.graph,
            loaded.pipeline,
            adjacency=loaded.data.adjacency,
            features=features,
            users=users,
            k=k,
            refits=refits,
            progress=progress,
        )


def assess_paths(
    graph: KnowledgeGraph,
    pipeline: Pipeline,
    *,
    adjacency: Adjacency | None = None,
    features: TextFeatures | None = None,
    users: int = 200,
    k: int = 10,
    refits: int = 20,
    progress: Progress = SILENT,
) -> PathReport:
    """Measure the paths behind the best candidates of some users.

    Args:
        graph: that the channels were fitted on.
        pipeline: what serves; one of its channels has to be a sum over paths.
        adjacency: of the graph, if there is one already.
        features: text vectors that the channels were fitted with.
        users: how many are asked, drawn by a seed from those who like something.
        k: candidates of each.
        refits: pairs whose channel is fitted again without the edges of their largest paths; 0: none.
        progress: listener.

    Raises:
        ConfigError: no channel is a sum over paths, or `users` or `k` is below 1.
    """
    if users < 1 or k < 1:
        raise ConfigError(f"users = {users} and k = {k} must be at least 1")
    name = next((name for name, channel in pipeline.channels.items() if channel.capabilities.cypher), None)
    if name is None:
        raise ConfigError(
            f"none of the channels {', '.join(pipeline.channels)} is a sum over paths: add the section [channels.walk]"
        )
    channel = pipeline.channels[name]
    measures = _Measures(graph, pipeline, channel, Adjacency.of(graph) if adjacency is None else adjacency, k)
    able = np.flatnonzero(pipeline.history.liked.counts)
    chosen = np.sort(np.random.default_rng(_SEED).permutation(able)[:users])
    with progress.task("paths of users", total=len(chosen)) as task:
        for user in chosen.tolist():
            measures.add(user)
            task.advance()
    deletions = measures.deletions(features, refits, progress)
    return measures.report(name, len(chosen), deletions, measures.perturbations(progress))


class _Measures:
    """What is added up over the users."""

    def __init__(
        self, graph: KnowledgeGraph, pipeline: Pipeline, channel: Channel, adjacency: Adjacency, k: int
    ) -> None:
        self.graph, self.pipeline, self.channel, self.k = graph, pipeline, channel, k
        self.history = pipeline.history
        self.explainer = Explainer(graph, pipeline, adjacency=adjacency)
        self.edges, self.deleter = EdgeIndex(adjacency), Deleter(graph, adjacency)
        self.popular = popularity(graph, adjacency)
        self.types = sum(step["weight"] > 0 and step["name"] != POPULARITY for step in channel.facts["steps"])
        self.first: list[tuple[int, int]] = []  # the best candidate of each user
        self.paths = self.valid = 0
        self.by_paths: list[float] = []
        self.sentences: dict[int, list[float]] = defaultdict(list)
        self.single: dict[int, list[float]] = defaultdict(list)
        self.kinds: Counter[str] = Counter()
        self.selected: dict[tuple[str, float], list[Selected]] = defaultdict(list)

    def add(self, user: int) -> None:
        """Measure the candidates of one user."""
        items = self.pipeline.recommend(Query.of_positions(np.array([user])), k=self.k).item
        splits = self.pipeline.attribute(Query.of_positions(np.full(len(items), user)), items)
        candidates = []
        for item, split in zip(items.tolist(), splits, strict=True):
            steps = steps_of(split.shares)
            if not steps or split.shares.score <= 0:
                continue
            paths = PairPaths.of(split.shares.score, steps)
            candidates.append(paths)
            self._count(user, item, split.shares, steps, paths)
            if len(candidates) == 1:
                self.first.append((user, item))
        recent = recency(self.history, user)
        for toward, dial in POSITIONS:
            chosen = select(
                candidates,
                recent,
                self.popular,
                first_item=self.history.first_item,
                dial=dial,
                toward=GOALS if toward == ALL else (toward,),
            )
            if len(chosen.share):
                self.selected[toward, dial].append(chosen)

    def _count(
        self, user: int, item: int, shares: Shares | NoShares, steps: Sequence[StepPaths], paths: PairPaths
    ) -> None:
        self.paths += len(paths)
        seen = self.history.seen[user]
        self.valid += sum(int(self.edges.valid(step, seen, self.history.first_item).sum()) for step in steps)
        self.by_paths.append(float(paths.value.sum() / paths.score))
        self.kinds[paths.kinds[paths.kind[int(np.argmax(paths.value))]]] += 1
        pair = self.explainer.pair(user, item, paths.score)
        for count in COUNTS:
            self.single[count].append(paths.largest(count))
            lines = [line for split in _by_paths(shares) for line in reasons_by_paths(pair, split, count).lines]
            largest = sorted((line.share for line in lines), reverse=True)[:count]
            self.sentences[count].append(sum(largest) / paths.score)

    def deletions(self, features: TextFeatures | None, refits: int, progress: Progress) -> tuple[Deletion, ...]:
        """Delete the edges of the largest paths of some pairs, with degrees held and fitted again."""
        pairs = self.first[:refits]
        rows: dict[int, list[tuple[float, float]]] = defaultdict(list)
        with progress.task("deleting paths", total=len(pairs) * len(COUNTS)) as task:
            for user, item in pairs:
                (split,) = self.channel.attribute(Query.of_positions(np.array([user])), np.array([item]))
                for count in COUNTS:
                    gone, edges = self.deleter.of_largest(steps_of(split), count)
                    if split.score > 0 and edges:
                        view = self.deleter.without(edges)
                        again = refitted(self.channel, FitData.of(view, features=features))
                        rows[count].append((gone / split.score, 1 - score_of(again, user, item) / split.score))
                    task.advance()
        return tuple(_deletion(count, rows[count]) for count in COUNTS if rows[count])

    def perturbations(self, progress: Progress) -> tuple[Perturbation, ...]:
        """Take items of the history of each user away, by their shares and in random order."""
        random, by_share, at_random = np.random.default_rng(_SEED), list[Curve](), list[Curve]()
        with progress.task("taking the history away", total=len(self.first)) as task:
            for user, item in self.first:
                (split,) = self.channel.attribute(Query.of_positions(np.array([user])), np.array([item]))
                liked, shares = shares_by_item(PairPaths.of(split.score, steps_of(split)), self.history, user)
                if len(liked) > STEPS:
                    for curves, order in (
                        (by_share, np.argsort(-shares, kind="stable")),
                        (at_random, random.permutation(len(liked))),
                    ):
                        curves.append(curve(self.pipeline, self.channel, liked, order, item, steps=STEPS, k=self.k))
                task.advance()
        if not by_share:
            return ()
        columns = [
            np.mean([getattr(one, part) for one in curves], axis=0)
            for part in ("left", "listed")
            for curves in (by_share, at_random)
        ]
        return tuple(
            Perturbation(
                removed=removed,
                by_share=float(columns[0][removed]),
                random=float(columns[1][removed]),
                listed_by_share=float(columns[2][removed]),
                listed_random=float(columns[3][removed]),
            )
            for removed in range(STEPS + 1)
        )

    def report(
        self, channel: str, users: int, deletions: tuple[Deletion, ...], perturbations: tuple[Perturbation, ...]
    ) -> PathReport:
        """Means over what was added."""
        pairs = len(self.by_paths)
        return PathReport(
            channel=channel,
            users=users,
            k=self.k,
            pairs=pairs,
            paths=self.paths,
            valid=self.valid / self.paths if self.paths else 0.0,
            by_paths=_mean(self.by_paths),
            sentences={count: _mean(values) for count, values in self.sentences.items()},
            single={count: _mean(values) for count, values in self.single.items()},
            types={name: count / pairs for name, count in self.kinds.most_common()},
            selections=tuple(self._selection(*position) for position in POSITIONS if self.selected[position]),
            deletions=deletions,
            perturbations=perturbations,
        )

    def _selection(self, toward: str, dial: float) -> Selection:
        chosen = self.selected[toward, dial]
        return Selection(
            dial=dial,
            toward=toward,
            lir=_mean(np.concatenate([one.lir for one in chosen])),
            sep=_mean(np.concatenate([one.sep for one in chosen])),
            etd=_mean([one.diversity(self.types) for one in chosen]),
            share=_mean(np.concatenate([one.share for one in chosen])),
        )


def _mean(values: Sequence[float] | FloatArray) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _by_paths(shares: Shares | NoShares) -> list[PathShares]:
    """The sums over paths in a split score."""
    if isinstance(shares, PathShares):
        return [shares]
    if isinstance(shares, FusedShares):
        return [part.shares for part in shares.parts if isinstance(part.shares, PathShares)]
    return []


def _deletion(count: int, rows: Sequence[tuple[float, float]]) -> Deletion:
    held, again = np.array(rows).T
    correlation = None
    if len(rows) > 2 and len(set(held.tolist())) > 1 and len(set(again.tolist())) > 1:
        correlation = float(spearmanr(held, again).statistic)
    return Deletion(
        paths=count, held=float(held.mean()), refitted=float(again.mean()), correlation=correlation, pairs=len(rows)
    )
