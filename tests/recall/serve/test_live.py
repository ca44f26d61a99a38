"""What users did since a run was made counts in their next request."""

from __future__ import annotations

import numpy as np
import pytest

from kg import RaggedArray
from kg.errors import ConfigError, InvalidDataError, UnknownIdError
from kg.history import InteractionHistory
from kg.io.files import write_json, write_manifest
from recall.channels import ItemKNN
from recall.channels.registry import BUILT_IN
from recall.contracts import FALLBACK, FitData, Query, Shares
from recall.feedback import FeedbackLog
from recall.pipeline import Pipeline
from recall.runs.layout import RunLayout
from recall.serve.live import LiveFeedback
from recall.serve.recommender import Recommender
from tests.recall.channels.making import with_countries
from tests.recall.serve.making import items, pipeline_of, seen

CLOSED = [kind for kind in BUILT_IN if not kind.capabilities.trained and not kind.capabilities.needs_text]


@pytest.fixture
def live(graph, embeddings, tmp_path):
    """A Recommender of a trained model with an empty log."""
    return Recommender(graph, pipeline_of(graph, embeddings), feedback=LiveFeedback(FeedbackLog(tmp_path / "log")))


@pytest.fixture
def neighbours(graph, tmp_path):
    """The same of a closed formula."""
    pipeline = Pipeline.of(graph, [ItemKNN().fit(FitData.of(graph))])
    return Recommender(graph, pipeline, feedback=LiveFeedback(FeedbackLog(tmp_path / "log")))


def said(user, item, kind="like", **more):
    return {"user_id": user, "item_id": item, "kind": kind, **more}


@pytest.mark.parametrize("made", ["live", "neighbours"])
def test_a_like_changes_the_candidates_of_that_user_at_once(made, request):
    rec = request.getfixturevalue(made)
    before, other = items(rec.recommend(["u1"], k=8)), items(rec.recommend(["u2"], k=8))
    new = before[-1]
    rec.add_feedback([said("u1", new)])
    after = rec.recommend(["u1"], k=8)
    assert new not in items(after)
    # The same as if the request had said it.
    (user,), (item,) = rec.graph.users.index(["u1"]), rec.graph.items.index([new])
    history = rec.pipeline.history
    query = Query.of_histories(["x"], history.liked.take(np.array([user])).union(_row(item)), seen=_seen(history, user))
    expected = rec.pipeline.recommend(query, k=9)
    wanted = [one for one in rec.graph.items.take(expected.item).to_pylist() if one != new][:8]
    assert items(after) == wanted
    assert items(rec.recommend(["u2"], k=8)) == other


def _row(item):
    return RaggedArray.from_lists([[item]])


def _seen(history, user):
    return history.seen.take(np.array([user]))


def test_what_is_served_is_what_is_scored_and_explained(live):
    first, second, third = items(live.recommend(["u1"], k=3))
    live.add_feedback([said("u1", first), said("u1", second, "dislike")])
    answer = live.recommend(["u1"], k=5)
    by_item = {row["item_id"]: row["score"] for row in answer}
    assert third in by_item
    scores = live.score([("u1", item) for item in by_item])
    assert scores.table["score"].to_pylist() == pytest.approx(list(by_item.values()), abs=1e-5)
    assert scores.table["user_id"].to_pylist() == ["u1"] * len(by_item)
    for why in live.explain([("u1", item) for item in by_item]):
        assert why.score == pytest.approx(by_item[why.item.id], abs=1e-4)
        assert why.user.id == "u1"


@pytest.mark.parametrize("made", ["live", "neighbours"])
def test_a_dislike_leaves_the_list_also_where_what_is_seen_may_come(made, request):
    rec = request.getfixturevalue(made)
    best = items(rec.recommend(["u1"], k=1))[0]
    rec.add_feedback([said("u1", best, "dislike")])
    assert best not in items(rec.recommend(["u1"], k=100))
    assert best not in items(rec.recommend(["u1"], k=100, exclude_seen=False))
    rec.add_feedback([said("u1", best)])  # another opinion later
    assert best in items(rec.recommend(["u1"], k=100, exclude_seen=False))


def test_a_dislike_counts_against_what_it_is_like(neighbours, graph):
    liked = seen(graph, "u1")
    rows = neighbours.recommend(["u1"], k=100)
    best = items(rows)[0]
    neighbours.add_feedback([said("u1", best, "dislike")])
    before = {row["item_id"]: row["score"] for row in rows}
    after = {row["item_id"]: row["score"] for row in neighbours.recommend(["u1"], k=100)}
    assert any(after[item] < before[item] for item in after if item in before)
    # And one that was liked before counts no more.
    (gone,) = [item for item in sorted(liked) if neighbours.graph.items.index([item])[0] in _liked(neighbours, "u1")][
        :1
    ]
    neighbours.add_feedback([said("u1", gone, "dislike")])
    (why,) = neighbours.explain([("u1", next(iter(after)))])
    shares = {reason.node.id: reason.share for reason in why.history if reason.node is not None}
    assert shares.get(gone, 0.0) <= 0


def _liked(rec, user):
    (position,) = rec.graph.users.index([user])
    return set(rec.pipeline.history.liked[int(position)].tolist())


def test_impressions_are_counted_and_leave_after_so_many(graph, embeddings, tmp_path):
    log = FeedbackLog(tmp_path / "log")
    never = Recommender(graph, pipeline_of(graph, embeddings), feedback=LiveFeedback(log))
    twice = Recommender(graph, pipeline_of(graph, embeddings), feedback=LiveFeedback(log, exclude_after=2))
    before = items(never.recommend(["u1"], k=6))
    never.add_feedback([said("u1", before[0], "impression"), said("u2", before[0], "impression")])
    assert items(twice.recommend(["u1"], k=6)) == before
    never.add_feedback([said("u1", before[0], "impression")])
    assert items(never.recommend(["u1"], k=6)) == before
    assert items(twice.recommend(["u1"], k=5)) == before[1:]
    assert log.state().of("u1").impressions == {before[0]: 2}


def test_somebody_new_is_answered_by_what_they_liked(neighbours):
    with pytest.raises(UnknownIdError):
        neighbours.recommend(["nobody"])
    liked = items(neighbours.recommend(["u1"], k=2))
    done = neighbours.add_feedback([said("nobody", item) for item in liked])
    assert done.unknown_users == ("nobody",)
    for rule in ("raise", "skip", "popular"):
        answer = neighbours.recommend(["nobody", "u1"], k=5, on_unknown=rule)
        own = [row["item_id"] for row in answer.of("nobody")]
        assert own == items(neighbours.recommend_for(liked=liked, k=5))
    assert {row["source"] for row in answer.of("nobody")} == {"item_knn"}
    (why,) = neighbours.explain([("nobody", own[0])])
    assert {reason.node.id for reason in why.history if reason.node is not None} <= set(liked)
    assert neighbours.score([("nobody", own[0])]).table["score"].to_pylist() == pytest.approx([why.score], abs=1e-5)


def test_unknown_items_are_kept_and_said_and_change_nothing(live):
    before = live.recommend(["u1"], k=8).table
    done = live.add_feedback([said("u1", "no such item"), said("u1", "neither", "impression")])
    assert (done.accepted, done.unknown_items) == (2, ("no such item", "neither"))
    assert live.recommend(["u1"], k=8).table.equals(before)
    assert live.feedback.log.state().of("u1").items(liked=True) == ["no such item"]


def test_a_user_with_dislikes_alone_gets_what_is_popular(live):
    live.add_feedback([said("u9", items(live.recommend(["u1"], k=1))[0], "dislike")])
    assert {row["source"] for row in live.recommend(["u9"], k=3)} == {FALLBACK}


def test_everybody_at_once_gets_the_same_as_each_alone(live):
    best = {user: items(live.recommend([user], k=1))[0] for user in ("u1", "u2")}
    live.add_feedback([said("u1", best["u1"]), said("u2", best["u2"], "dislike")])
    everybody = live.recommend_all(k=5)
    for user in ("u1", "u2", "u3"):
        assert [row["item_id"] for row in everybody.of(user)] == items(live.recommend([user], k=5))


@pytest.mark.parametrize("kind", CLOSED, ids=lambda kind: kind.name)
def test_every_closed_channel_scores_users_by_what_came_since(graph, kind, tmp_path):
    """A user with news is scored as the history that comes of it, and split exactly."""
    graph = with_countries(graph)
    config = kind.config_type(attribute="country") if kind.name == "segment" else None
    channel = kind(config).fit(FitData.of(graph))
    history = InteractionHistory.of(graph)
    (user,) = graph.users.index(["u1"])
    liked = history.liked[int(user)]
    more = np.setdiff1d(np.arange(history.num_items), history.seen[int(user)])[:1]
    query = Query(
        key=["u1"],
        user=np.array([user]),
        history=RaggedArray.from_lists([more]),
        disliked=RaggedArray.from_lists([liked[:1]]),
    )
    every = np.arange(history.num_items)[None]
    scores = channel.score(query).at(every)[0]
    splits = channel.attribute(query.take(np.zeros(history.num_items, dtype=np.int64)), every[0])
    for score, split in zip(scores.tolist(), splits, strict=True):
        if isinstance(split, Shares):
            parts = split.own + sum(share.value for share in split.history) + split.prior
            assert parts == pytest.approx(split.score, abs=1e-9)
            assert split.score == pytest.approx(score if np.isfinite(score) else 0.0, abs=1e-4)


@pytest.mark.parametrize("bad", [said("u1", "m1", "stars"), said("", "m1"), "u1"])
def test_feedback_that_is_not_understood_is_refused(live, bad):
    with pytest.raises(InvalidDataError):
        live.add_feedback([bad])


def test_without_a_log_there_is_nothing_to_add_to(recommender):
    with pytest.raises(ConfigError, match="no feedback log"):
        recommender.add_feedback([said("u1", "m1")])


def test_a_loaded_run_reads_the_log_beside_it_and_so_does_the_one_after_it(run, tmp_path):
    """Another process writes; the log outlives the reload."""
    write_json(run / "config.json", {"text": {}, "feedback": {"exclude_after": 1}})
    write_manifest(run, {"created": "2026-01-31"})
    rec = Recommender.load(run)
    before = items(rec.recommend(["u1"], k=6))
    FeedbackLog(run.parent / ".feedback").append(
        [said("u1", before[0], "impression"), said("u1", before[1], "dislike")]
    )
    after = items(rec.recommend(["u1"], k=4))
    assert not {before[0], before[1]} & set(after)
    assert items(Recommender.load(run).recommend(["u1"], k=4)) == after
    assert rec.run == RunLayout(run)
