"""Measures of paths on a small graph: by loops over the paths, and by deleting what they say carries the score."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph
from kg.errors import ConfigError
from kg.topology.adjacency import Adjacency
from recall.channels import Popularity, Walk, WalkConfig
from recall.contracts import FitData, PathShares, Query, StepKind, StepPaths
from recall.pipeline import Pipeline
from recall.quality.paths import assess_paths, plot_paths
from recall.quality.paths.collection import EdgeIndex, PairPaths, steps_of
from recall.quality.paths.deletion import Deleter, refitted, score_of
from recall.quality.paths.perturbation import curve, shares_by_item
from recall.quality.paths.report import PathReport
from recall.quality.paths.selection import select
from tests.movie_relations import GENRE, RATED

USER = 3


@pytest.fixture(scope="module")
def walk(toy_graph: KnowledgeGraph) -> Walk:
    return Walk(WalkConfig(age_decay=0.9, dislike=-0.2)).fit(FitData.of(toy_graph))


@pytest.fixture(scope="module")
def pipeline(toy_graph: KnowledgeGraph, walk: Walk) -> Pipeline:
    return Pipeline.of(toy_graph, [walk])


@pytest.fixture(scope="module")
def report(toy_graph: KnowledgeGraph, pipeline: Pipeline) -> PathReport:
    return assess_paths(toy_graph, pipeline, users=12, k=6, refits=4)


def split_of(walk: Walk, user: int, item: int) -> PathShares:
    (split,) = walk.attribute(Query.of_positions(np.array([user])), np.array([item]))
    assert isinstance(split, PathShares)
    return split


def best_item(pipeline: Pipeline, user: int) -> int:
    return int(pipeline.recommend(Query.of_positions(np.array([user])), k=1).item[0])


class TestValidity:
    def test_every_path_of_the_walk_exists(self, toy_graph: KnowledgeGraph, walk: Walk, pipeline: Pipeline) -> None:
        index, history = EdgeIndex(Adjacency.of(toy_graph)), walk.history
        for step in split_of(walk, USER, best_item(pipeline, USER)).steps:
            assert index.valid(step, history.seen[USER], history.first_item).all()

    def test_a_path_with_an_edge_or_a_start_that_is_not_there_is_found_out(
        self, toy_graph: KnowledgeGraph, walk: Walk
    ) -> None:
        adjacency, history = Adjacency.of(toy_graph), walk.history
        first, genres = history.first_item, adjacency.numbering.span("genre").start
        source, target = toy_graph.positive_edges(GENRE)
        start, genre = int(source[0]), int(target[0])
        other = int(target[source == start][-1])
        absent = next(number for number in range(4) if number not in target[source == start])
        nodes = np.array([[start, genre, start], [start, other, start], [start, absent, start]])
        nodes += np.array([first, genres, first])
        shape = ((GENRE, True), (GENRE, False))
        step = StepPaths(name="genre", kind=StepKind.RELATION, weight=1.0, shape=shape, nodes=nodes, values=np.ones(3))
        index = EdgeIndex(adjacency)
        assert index.valid(step, np.array([start]), first).tolist() == [True, True, False]
        assert not index.valid(step, np.array([start + 1]), first).any()


class TestReport:
    def test_all_paths_exist_and_carry_all_but_popularity(self, report: PathReport, walk: Walk) -> None:
        assert report.valid == 1.0
        assert report.paths > 500
        assert (report.users, report.k, report.pairs) == (12, 6, 72)
        assert 0.5 < report.by_paths < 1.0
        assert sum(report.types.values()) == pytest.approx(1)

    def test_more_sentences_say_more_and_a_sentence_says_more_than_a_path(self, report: PathReport) -> None:
        for shares in (report.sentences, report.single):
            assert list(shares) == [1, 3, 5]
            assert 0 < shares[1] < shares[3] < shares[5] <= report.by_paths + 1e-9
        assert all(report.sentences[count] > report.single[count] for count in (1, 3, 5))

    def test_the_dial_buys_recency_and_popularity_with_shares(self, report: PathReport) -> None:
        both = [entry for entry in report.selections if entry.toward == "all"]
        first, last = both[0], both[-1]
        assert (first.dial, last.dial) == (0.0, 1.0)
        assert last.lir > first.lir
        assert last.sep > first.sep
        assert last.etd >= first.etd
        assert last.share < first.share
        assert first.share == pytest.approx(report.single[1])

    def test_no_other_choice_has_more_of_what_the_dial_goes_to_alone(self, report: PathReport) -> None:
        for goal in ("lir", "sep", "etd"):
            (alone,) = (entry for entry in report.selections if entry.toward == goal)
            assert all(getattr(alone, goal) >= getattr(entry, goal) for entry in report.selections)
            assert alone.share <= report.single[1]

    def test_nothing_is_measured_without_a_sum_over_paths(self, toy_graph: KnowledgeGraph) -> None:
        popular = Pipeline.of(toy_graph, [Popularity().fit(FitData.of(toy_graph))])
        with pytest.raises(ConfigError, match="sum over paths"):
            assess_paths(toy_graph, popular)
        with pytest.raises(ConfigError, match="users = 0"):
            assess_paths(toy_graph, popular, users=0)

    def test_it_is_drawn(self, report: PathReport, tmp_path: Path) -> None:
        plot_paths(report, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 10_000
        with pytest.raises(ConfigError, match="cannot be drawn"):
            plot_paths(report, tmp_path / "curves.doc")


class TestSelection:
    @pytest.mark.parametrize("dial", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("toward", [("lir", "sep", "etd"), ("etd",), ("lir",)])
    def test_no_other_choice_of_types_is_worth_more(
        self, pipeline: Pipeline, walk: Walk, toward: tuple[str, ...], dial: float
    ) -> None:
        """Against all combinations of types for a list of four, each with its best path by a loop."""
        items = pipeline.recommend(Query.of_positions(np.array([USER])), k=4).item.tolist()
        splits = [split_of(walk, USER, item) for item in items]
        candidates = [PairPaths.of(split.score, steps_of(split)) for split in splits]
        random = np.random.default_rng(0)
        recent = {item: float(random.random()) for item in range(40)}
        popular = random.random(len(walk.history.seen) + 200)
        first = walk.history.first_item
        offers: list[dict[str, float]] = []
        for split in splits:
            largest = max(step.values.max() for step in split.steps)
            best: dict[str, float] = {}
            for step in split.steps:
                for nodes, value in zip(step.nodes, step.values, strict=True):
                    if value <= 0:
                        continue
                    parts = {"lir": recent.get(int(nodes[0]) - first, 0.0), "sep": popular[nodes[-2]]}
                    bonus = sum(parts.get(goal, 0.0) for goal in toward) / len(toward)
                    worth = (1 - dial + 1e-6) * value / largest + dial * bonus
                    best[step.name] = max(best.get(step.name, 0.0), worth)
            offers.append(best)
        new = dial / len(toward) * ("etd" in toward)

        def worth_of(kinds: tuple[str, ...]) -> float:
            return sum(offer[kind] for offer, kind in zip(offers, kinds, strict=True)) + new * len(set(kinds))

        chosen = select(candidates, recent, popular, first_item=first, dial=dial, toward=toward)
        best_worth = max(worth_of(kinds) for kinds in itertools.product(*offers))
        assert worth_of(chosen.kind) == pytest.approx(best_worth)
        for at, split in enumerate(splits):
            paths = [
                (recent.get(int(nodes[0]) - first, 0.0), popular[nodes[-2]], pytest.approx(value / split.score))
                for step in split.steps
                if step.name == chosen.kind[at]
                for nodes, value in zip(step.nodes, step.values, strict=True)
            ]
            assert (chosen.lir[at], chosen.sep[at], chosen.share[at]) in paths

    def test_what_has_no_path_is_left_out(self, walk: Walk) -> None:
        none = PairPaths.of(1.0, [])
        chosen = select([none], {}, np.zeros(0), first_item=0, dial=0.5)
        assert (chosen.kind, len(chosen.share), chosen.diversity(3)) == ((), 0, 0.0)


class TestDeletion:
    def test_with_degrees_held_exactly_the_shares_go(
        self, toy_graph: KnowledgeGraph, walk: Walk, pipeline: Pipeline
    ) -> None:
        """The score once more by loops over the edges that are left, each with the worth that its path had."""
        item = best_item(pipeline, USER)
        split, adjacency = split_of(walk, USER, item), Adjacency.of(toy_graph)
        for count in (1, 3, 20):
            gone, edges = Deleter(toy_graph, adjacency).of_largest(steps_of(split), count)
            view = Deleter(toy_graph, adjacency).without(edges)
            left = EdgeIndex(Adjacency.of(view))
            score = split.prior
            for step in split.steps:
                stays = left.valid(step, walk.history.seen[USER], walk.history.first_item)
                score += step.values[stays].sum()
            assert score == pytest.approx(split.score - gone)
            largest = np.sort(np.concatenate([step.values for step in split.steps]))[::-1][:count]
            assert gone >= largest.sum() - 1e-9
            assert sum(len(table) for table in view.edges.values()) < sum(
                len(table) for table in toy_graph.edges.values()
            )

    def test_fitted_again_with_the_same_weights(
        self, toy_graph: KnowledgeGraph, walk: Walk, pipeline: Pipeline
    ) -> None:
        item = best_item(pipeline, USER)
        again = refitted(walk, FitData.of(toy_graph))
        assert again.recipe == walk.recipe
        assert score_of(again, USER, item) == pytest.approx(split_of(walk, USER, item).score, rel=1e-5)
        _, edges = Deleter(toy_graph, Adjacency.of(toy_graph)).of_largest(steps_of(split_of(walk, USER, item)), 5)
        without = refitted(walk, FitData.of(Deleter(toy_graph, Adjacency.of(toy_graph)).without(edges)))
        assert score_of(without, USER, item) != pytest.approx(split_of(walk, USER, item).score, rel=1e-3)

    def test_only_the_named_edges_leave(self, toy_graph: KnowledgeGraph) -> None:
        deleter = Deleter(toy_graph, Adjacency.of(toy_graph))
        source, target = toy_graph.positive_edges(RATED)
        view = deleter.without({RATED: (source[:2], target[:2])})
        assert view.edges[RATED].num_rows == toy_graph.edges[RATED].num_rows - 2
        assert view.edges[GENRE].equals(toy_graph.edges[GENRE])

    def test_the_report_has_both(self, report: PathReport) -> None:
        assert [entry.paths for entry in report.deletions] == [1, 3, 5]
        held = [entry.held for entry in report.deletions]
        assert 0 < held[0] < held[1] < held[2] <= 1
        for entry in report.deletions:
            assert entry.pairs == 4
            assert entry.refitted is not None
            assert entry.correlation is not None
            assert -1 <= entry.correlation <= 1


class TestPerturbation:
    def test_a_score_falls_faster_without_what_carries_it(self, report: PathReport) -> None:
        first, *others = report.perturbations
        assert first.by_share == first.random == first.listed_by_share == first.listed_random == 1
        for entry in others:
            assert entry.by_share < entry.random
            assert entry.listed_by_share <= entry.listed_random

    def test_of_one_pair(self, walk: Walk, pipeline: Pipeline) -> None:
        item, history = best_item(pipeline, USER), walk.history
        split = split_of(walk, USER, item)
        liked, shares = shares_by_item(PairPaths.of(split.score, steps_of(split)), history, USER)
        assert liked.tolist() == history.in_order(np.array([USER])).values.tolist()
        disliked = [step for step in split.steps if step.kind == StepKind.DISLIKE]
        others = split.score - split.prior - sum(step.values.sum() for step in disliked)
        assert shares.sum() == pytest.approx(others)
        order = np.argsort(-shares)
        taken = curve(pipeline, walk, liked, order, item, steps=len(liked) + 3, k=3)
        assert taken.left[0] == 1
        assert (np.diff(taken.left[-4:]) == 0).all()  # one item is always left
        assert taken.left[1] < 1
        assert len(taken.listed) == len(liked) + 4
