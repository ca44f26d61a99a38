"""Scores that are sums over paths, as sentences: beside a plain loop over the same paths."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from kg import RaggedArray
from kg.topology.paths import Path, Step, path_exists
from recall.channels import ItemKNN, ItemKNNConfig
from recall.contracts import FitData, PathShares, Query, StepKind
from recall.explain import Explainer, draw_explanation
from recall.explain.entries import PathReason, Reason
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from tests.movie_relations import GENRE
from tests.recall.explain.loop_walk import LoopWalk, LoopWalkConfig

PAIRS = [(f"u{user}", f"m{item}") for user, item in itertools.product(range(0, 30, 6), (2, 7, 11, 30))]
NEW = Query(
    key=["0"],
    user=np.array([-1]),
    history=RaggedArray.from_lists([[1, 5, 9]]),
    text=["slow space"],
    attributes=[{GENRE: np.array([1, 2])}],
)


@pytest.fixture(scope="module")
def walk(toy_graph):
    return LoopWalk().fit(FitData.of(toy_graph))


@pytest.fixture(scope="module")
def explainer(toy_graph, walk):
    return Explainer(toy_graph, Pipeline.of(toy_graph, [walk]))


@pytest.fixture(scope="module")
def every(explainer):
    return explainer.explain(PAIRS)


def split_of(explainer, user, item):
    users, items = explainer.graph.users.index([user]), explainer.graph.items.index([item])
    ((_, split, _),) = explainer.pipeline.attribute(Query.of_positions(users), items)
    return split


def test_the_channel_under_test_is_its_paths(explainer, toy_graph) -> None:
    queries = Query.of_positions(np.arange(0, 30, 6))
    scores = explainer.pipeline.score(queries).top(40)
    for row, user in enumerate(queries.user.tolist()):
        for item, score in zip(scores.items[row].tolist(), scores.scores[row].tolist(), strict=True):
            split = split_of(explainer, toy_graph.users.ids[user].as_py(), toy_graph.items.ids[item].as_py())
            assert isinstance(split, PathShares)
            assert split.score == pytest.approx(score, rel=1e-5)
            for step in split.steps:
                for nodes in step.nodes.tolist() if step.shape else ():
                    hops = zip(itertools.pairwise(nodes), step.shape, strict=True)
                    assert path_exists(toy_graph, Path(tuple(Step(a, b, *hop) for (a, b), hop in hops)))


def test_sentences_the_rest_and_popularity_are_the_score(every) -> None:
    for explanation in every:
        split = explanation.by_paths
        assert len(split.lines) <= 5
        assert sum(row.share for row in split.rows) == pytest.approx(explanation.score, rel=1e-9)
        assert [line.share for line in split.lines] == sorted((line.share for line in split.lines), reverse=True)
        paths = explanation.score - (0.0 if split.popularity is None else split.popularity.share)
        assert split.fraction == pytest.approx(paths / explanation.score)
        for line in split.lines:
            assert sum(strand.share for strand in line.strands) == pytest.approx(line.share)
            assert all(len(strand.labels) == len(strand.nodes) + 1 for strand in line.strands)


def test_each_sentence_is_a_sum_over_the_paths_it_names(explainer, every) -> None:
    """A loop over all paths finds, for what a sentence of one group names, the same share."""
    checked = dict.fromkeys(StepKind, 0)
    for (user, item), explanation in zip(PAIRS, every, strict=True):
        steps = {step.name: step for step in split_of(explainer, user, item).steps}
        titles = [explainer._node_of(node).title for node in range(len(explainer.adjacency.numbering))]
        for line in explanation.by_paths.lines:
            step = steps[line.step]
            total, count, people = 0.0, 0, set()
            names = {node.title for node in line.starts}
            alone = len(line.strands) == 1
            way = [node.title for node in line.strands[0].nodes[1:]]
            for nodes, value in zip(step.nodes.tolist(), step.values.tolist(), strict=True):
                if titles[nodes[0]] not in names:
                    continue
                if alone and not line.people and [titles[node] for node in nodes[1:-1]] != way:
                    continue
                total, count = total + value, count + 1
                people |= set(nodes[1:-1])
            if alone or line.people or len(nodes) == 2:
                assert line.share == pytest.approx(total), line.text
                assert line.paths == count
                assert line.people == (len(people) if line.people else 0)
                checked[step.kind] += 1
    assert checked[StepKind.USERS] > 5
    assert checked[StepKind.RELATION] > 5
    assert checked[StepKind.TEXT] > 0


def test_the_next_sentence_is_always_the_one_that_says_most(explainer) -> None:
    user, item = "u12", "m2"
    said = [
        sum(abs(line.share) for line in explainer.explain([(user, item)], paths=limit)[0].by_paths.lines)
        for limit in (*range(12), 100)
    ]
    steps = split_of(explainer, user, item).steps
    totals = sorted((abs(step.values.sum()) for step in steps if len(step)), reverse=True)
    assert said[0] == 0.0
    assert said[1] == pytest.approx(totals[0])
    assert (np.diff(said) > -1e-12).all()
    assert said[-1] == pytest.approx(sum(totals))


def test_limits(explainer) -> None:
    (few,) = explainer.explain([("u12", "m2")], paths=2)
    assert len(few.by_paths.lines) == 2
    (none,) = explainer.explain([("u12", "m2")], paths=0)
    assert none.by_paths.lines == ()
    (many,) = explainer.explain([("u12", "m2")], paths=100)
    assert many.by_paths.others is None
    for explanation in (few, none, many):
        assert sum(row.share for row in explanation.by_paths.rows) == pytest.approx(explanation.score)
    cut = many.by_paths.shortened(3)
    assert len(cut.lines) == 3
    assert sum(row.share for row in cut.rows) == pytest.approx(many.score)
    split = split_of(explainer, "u12", "m2")
    assert cut.others.text == f"and {sum(map(len, split.steps)) - sum(line.paths for line in cut.lines)} more paths"
    assert many.render(top=1).count("%: ") == 1 + 2


def test_without_any_path_popularity_is_all(toy_graph, tmp_path) -> None:
    data = FitData.of(toy_graph)
    for popularity, told in ((0.01, "its popularity is all of it"), (0.0, "which is 0")):
        alone = LoopWalk(LoopWalkConfig(weights={}, popularity=popularity)).fit(data)
        (explanation,) = Explainer(toy_graph, Pipeline([alone], data.history)).explain([("u3", "m2")])
        assert explanation.by_paths.lines == ()
        assert sum(row.share for row in explanation.by_paths.rows) == pytest.approx(explanation.score)
        assert f"No path of the graph carries a part of the score; {told}" in explanation.text
        draw_explanation(explanation, tmp_path / "alone.svg")
        assert (tmp_path / "alone.svg").stat().st_size > 1000


def test_the_text_leads_with_paths(every) -> None:
    for explanation in every:
        lines = explanation.text.split("\n")
        assert lines[0].endswith("from loop_walk")
        assert lines[1].startswith("Because of these paths, which carry ")
        shown = lines[2 : 2 + len(explanation.by_paths.rows)]
        assert [line.split(": ", 1)[1] for line in shown] == [
            row.text.removeprefix("of ") for row in explanation.by_paths.rows
        ]
        assert "Connected by" not in explanation.text
        assert explanation.because == tuple(line.line for line in explanation.by_paths.lines)
        assert json.loads(json.dumps(explanation.to_json())) == explanation.to_json()
        assert explanation.to_json()["by_paths"]["lines"][0]["share"] == explanation.by_paths.lines[0].share


def test_other_people_are_counted_and_not_named(every) -> None:
    def texts(value):
        if isinstance(value, dict):
            return [text for entry in value.values() for text in texts(entry)]
        if isinstance(value, list | tuple):
            return [text for entry in value for text in texts(entry)]
        return [value] if isinstance(value, str) else []

    named = 0
    for (user, _), explanation in zip(PAIRS, every, strict=True):
        words = [word.strip(",.;:") for text in texts(explanation.to_json()) for word in text.split()]
        others = {f"u{number}" for number in range(30)} - {user}
        assert not others & set(words)
        named += any(line.people for line in explanation.by_paths.lines)
    assert named > 5


def test_weights_are_told_beside_a_shared_person(explainer, toy_graph) -> None:
    (explanation,) = explainer.explain([("u3", "m2")])
    assert "director 1.5" in explanation.by_paths.weights
    assert explanation.by_paths.weights.startswith("Beside a shared person (1): ")
    half = LoopWalk(LoopWalkConfig(weights={"through_users": 0.5, "director": 1.5})).fit(FitData.of(toy_graph))
    (explanation,) = Explainer(toy_graph, Pipeline.of(toy_graph, [half])).explain([("u3", "m2")])
    assert explanation.by_paths.weights == "Beside a shared person (1): director 3."
    alone = LoopWalk(LoopWalkConfig(weights={"director": 1.5})).fit(FitData.of(toy_graph))
    (explanation,) = Explainer(toy_graph, Pipeline.of(toy_graph, [alone])).explain([("u3", "m2")])
    assert explanation.by_paths.weights == "Beside one another: director 1.5."


def test_what_counts_against_an_item_is_negative_and_said_so(explainer, toy_graph) -> None:
    weights = {"genre": 0.4, "disliked": -2.0}
    walk = LoopWalk(LoopWalkConfig(weights=weights)).fit(FitData.of(toy_graph))
    against = Explainer(toy_graph, Pipeline.of(toy_graph, [walk]))
    negative = 0
    for explanation in against.explain(PAIRS):
        lines = [line for line in explanation.by_paths.lines if line.step == "disliked"]
        for line in lines:
            assert line.share < 0
            assert "did not like" in line.text
            assert all(strand.share < 0 for strand in line.strands)
            assert "A share below 0 lowers the score" in explanation.text
            negative += 1
        if not lines and explanation.score > 0:
            assert "below 0" not in explanation.text
        assert sum(row.share for row in explanation.by_paths.rows) == pytest.approx(explanation.score)
    assert negative > 3


def test_a_fusion_shows_all_channels_the_largest_first(toy_graph, walk) -> None:
    data = FitData.of(toy_graph)
    knn = ItemKNN(ItemKNNConfig(neighbours=15)).fit(data)
    pipeline = Pipeline.of(
        toy_graph, {"walk": walk, "item_knn": knn}, fusion=FusionConfig(weights={"walk": 1.0, "item_knn": 0.5})
    )
    for explanation in Explainer(toy_graph, pipeline).explain(PAIRS[:6]):
        assert explanation.by_paths is None
        shares = [part.share for part in explanation.parts]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(explanation.score)
        walked = next(part for part in explanation.parts if part.channel == "walk")
        assert sum(row.share for row in walked.by_paths.rows) == pytest.approx(walked.share)
        assert explanation.path_reasons is walked.by_paths
        assert walked.text.startswith("walk, most of all because ")
        places = [explanation.text.index(f"  - {part.channel}: ") for part in explanation.parts]
        assert places == sorted(places)
        assert walked.by_paths.lines[0].text in explanation.text
        assert "from the user's side" in explanation.text
        assert "from the item's side" not in explanation.text  # the item-kNN does not split it


def test_somebody_new_is_explained_by_paths_too(explainer) -> None:
    items = np.array([2, 10, 17])
    for explanation in explainer.explain_requests(NEW.take(np.zeros(3, dtype=np.int64)), items):
        assert not explanation.in_graph
        assert explanation.user_id == "0"
        assert " for somebody new: score " in explanation.text
        split = explanation.by_paths
        assert sum(row.share for row in split.rows) == pytest.approx(explanation.score)
        texts = " | ".join(line.text for line in split.lines)
        assert "what you asked for" in texts or "as you asked" in texts
        assert explanation.query is None
    request = NEW.take(np.array([0]))
    (many,) = explainer.explain_requests(request, np.array([10]), paths=50)
    assert {row.step for row in many.by_paths.lines if isinstance(row, PathReason)} >= {"named", "text", "genre"}


def test_somebody_new_without_path_shares_has_the_sides_and_the_paths(toy_graph, every) -> None:
    data = FitData.of(toy_graph)
    explainer = Explainer(toy_graph, Pipeline.of(toy_graph, [ItemKNN(ItemKNNConfig(neighbours=15)).fit(data)]))
    queries = Query.of_histories(["0"], RaggedArray.from_lists([[1, 5, 9]]))
    (explanation,) = explainer.explain_requests(queries, np.array([10]))
    titles = {f"you liked {toy_graph.title('movie', item)}" for item in (1, 5, 9)}
    assert {reason.text for reason in explanation.history[:-1]} == titles
    assert isinstance(explanation.history[-1], Reason)
    assert explanation.history[-1].share == 0.0
    assert explanation.paths
    for path in explanation.paths:
        assert path.text.startswith("you liked ")
        assert path.nodes[0].title == "somebody new"
        ids = list(path.cypher.parameters.values())
        assert ids == [node.id for node in path.nodes[1:]]
    graph_paths = set()
    for item in (1, 5, 9):  # the same paths by a plain search from each liked item
        for found in explainer._finder(2).between(
            explainer.adjacency.numbering.span("movie").start + item,
            explainer.adjacency.numbering.span("movie").start + 10,
        ):
            graph_paths.add(found.nodes + tuple(found.shape))
    assert explanation.paths_found == len(graph_paths)
