"""Interests of people by what they write and read: their groups, their weights, and the formula of the score."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.validation import Validation
from gnn.text.features import TextFeatures
from kg import RaggedArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from kg.topology.adjacency import Numbering
from recall.channels import TextInterest, TextInterestConfig
from recall.channels.interests import OwnTexts, pool
from recall.channels.text_interest import TRIED
from recall.contracts import FitData, Query, Shares
from tests.movie_relations import HAS_TAG
from tests.recall.channels.making import encode, fit_data

DIM = 12


@pytest.fixture(scope="module")
def features(graph):
    """Text vectors of the movies and of the tags."""
    numbering, random = Numbering.of(graph), np.random.default_rng(2)
    nodes = np.concatenate([np.arange(span.start, span.stop) for span in map(numbering.span, ("movie", "tag"))])
    vectors = random.normal(size=(len(nodes), DIM)).astype(np.float32) + 0.4
    order = np.argsort(nodes)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return TextFeatures(nodes=nodes[order], vectors=vectors[order], model="random")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def centred(graph, features, name):
    vectors = features.of(Numbering.of(graph), name)[1].astype(np.float64)
    return unit(vectors - vectors.mean(axis=0))


def fitted(graph, features, **config):
    data = FitData.of(graph, features=features, encode=encode)
    return TextInterest(TextInterestConfig(**{"search": False, **config})).fit(data)


def all_scores(channel, graph, query):
    return channel.score(query).at(np.arange(len(graph.items))[None])[0]


def test_few_vectors_are_groups_of_their_own_and_many_are_pooled():
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(3, DIM)))
    vectors = unit(np.repeat(centres, 20, axis=0) + 0.05 * random.normal(size=(60, DIM))).astype(np.float32)
    few = pool(vectors[:3], 5)
    assert (few.group.tolist(), few.counts.tolist()) == ([0, 1, 2], [1, 1, 1])
    pooled = pool(vectors, 3)
    assert sorted(pooled.counts.tolist()) == [20, 20, 20]
    assert len(np.unique(pooled.group[:20])) == 1
    np.testing.assert_allclose(np.linalg.norm(pooled.centres, axis=1), 1, atol=1e-5)
    assert (np.sort((pooled.centres @ centres.T).max(axis=1)) > 0.98).all()
    again = pool(vectors, 3)
    np.testing.assert_array_equal(again.centres, pooled.centres)
    assert len(pool(np.zeros((0, DIM), dtype=np.float32), 3).counts) == 0


def test_own_texts_are_those_that_the_user_tagged_with(graph, features):
    own = OwnTexts.of(graph, features, most=50)
    users, _ = graph.event_columns(HAS_TAG)
    tags = np.asarray(graph.edges[HAS_TAG]["dst"])
    vectors = centred(graph, features, "tag")
    for user in range(len(graph.users)):
        centres, counts = own.of_user(user)
        expected = vectors[tags[users == user]]
        assert counts.sum() == len(expected)
        np.testing.assert_allclose(np.sort(centres, axis=0), np.sort(expected, axis=0), atol=1e-5)
    assert len(own.of_user(-1)[1]) == 0


def formula(graph, features, user, config):
    """The score of every item, one interest after the other; no item is out of reach and no text is pooled."""
    history = InteractionHistory.of(graph)
    items = centred(graph, features, "movie")
    liked_by_any = np.unique(history.liked.values)
    nearest = np.sort(items @ items[liked_by_any].T, axis=1)[:, -32:].mean(axis=1)
    read = items[history.liked[user]]
    users, _ = graph.event_columns(HAS_TAG)
    written = centred(graph, features, "tag")[np.asarray(graph.edges[HAS_TAG]["dst"])[users == user]]
    total = np.zeros(len(items))
    for mine, others, factor in ((read, written, 1.0), (written, read, config.own)):
        for vector in mine:
            related = max([0.0, *(others @ vector)])
            weight = factor * (1 + config.relation * related)
            total += weight * np.exp((items @ vector - nearest / 2) / config.temperature)
    return total


@pytest.mark.parametrize("own", [0.0, 0.7])
@pytest.mark.parametrize("relation", [0.0, 2.0])
def test_the_score_is_its_formula(graph, features, own, relation):
    channel = fitted(graph, features, own=own, relation=relation, interests=500, own_interests=500)
    taggers = np.unique(graph.event_columns(HAS_TAG)[0])[:3]
    for user in [*taggers, 1]:
        expected = formula(graph, features, user, channel.config)
        found = all_scores(channel, graph, Query.of_positions(np.array([user])))
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_shares_add_up_and_what_was_written_is_apart(graph, features):
    channel = fitted(graph, features, interests=3, own_interests=2, own=1.0)
    user = int(graph.event_columns(HAS_TAG)[0][0])
    items = np.arange(len(graph.items))
    queries = Query.of_positions(np.full(len(items), user))
    scores = all_scores(channel, graph, queries.take(np.array([0])))
    for score, split in zip(scores, channel.attribute(queries, items), strict=True):
        assert isinstance(split, Shares)
        assert split.own > 0
        assert split.own + sum(share.value for share in split.history) == pytest.approx(score, rel=1e-4)


def test_only_what_is_within_reach_is_scored(graph, features):
    near = fitted(graph, features, reach=3)
    query = Query.of_histories(["x"], RaggedArray.from_lists([[2, 7]]))
    scores = all_scores(near, graph, query)
    assert 3 <= (scores > 0).sum() <= 6
    whole = all_scores(fitted(graph, features), graph, query)
    assert (whole > 0).all()
    assert scores.argmax() == whole.argmax()


def test_somebody_who_only_wrote_is_answered(graph, features):
    channel = fitted(graph, features)
    writing = Query(key=["x"], user=np.array([-1]), history=RaggedArray.empty(1), text=["rain and trains"])
    assert (all_scores(channel, graph, writing) > 0).all()
    silent = Query.of_histories(["x"], RaggedArray.empty(1))
    assert not all_scores(channel, graph, silent).any()


@pytest.mark.parametrize("text", ["", "   ", "x" * 100_000, "\u0434\u043e\u0436\u0434\u044c", "🎬"])
def test_any_text_is_an_interest_or_none(graph, features, text):
    query = Query(key=["x"], user=np.array([-1]), history=RaggedArray.from_lists([[4]]), text=[text])
    scores = all_scores(fitted(graph, features), graph, query)
    assert np.isfinite(scores).all()
    assert scores.any()


def test_the_weights_are_chosen_on_validation_and_serve_as_the_recipe(graph, features):
    """What users go on to like is what their tags are about: what they wrote gets weight."""
    history = InteractionHistory.of(graph)
    whole = fitted(graph, features, own=1000.0, relation=0.0)
    taggers = np.unique(graph.event_columns(HAS_TAG)[0])
    truth = [[] for _ in range(history.num_users)]
    for user in taggers.tolist():
        best = whole.score(Query.of_positions(np.array([user]))).top(3, exclude=history.seen.take(np.array([user])))
        truth[user] = np.sort(best.items[0][best.items[0] >= 0])
    validation = Validation(truth=RaggedArray.from_lists(truth), seen=history.seen)
    data = FitData.of(graph, features=features)
    config = TextInterestConfig(own=0.0)
    channel = TextInterest(config).fit(FitData.of(graph, features=features, validation=validation))
    assert channel.config.own == max(TRIED["own"])
    assert channel.facts["weights"] == channel.recipe
    assert all(f"own = {value:g}" in channel.facts["ndcg"] for value in TRIED["own"])
    served = TextInterest(config).fit(FitData.of(graph, features=features, recipe=channel.recipe))
    query = Query.of_positions(taggers[:1])
    np.testing.assert_array_equal(all_scores(served, graph, query), all_scores(channel, graph, query))
    assert TextInterest(config).fit(data).recipe == {}


def test_without_text_vectors_it_says_what_it_needs(graph):
    with pytest.raises(ConfigError, match="needs text features"):
        TextInterest().fit(fit_data(graph, features=None))
