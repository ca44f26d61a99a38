"""Neighbours among users, histories whose newer items count more, and popularity by time and by segment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gnn.evaluation.validation import Validation
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from kg.interactions import NO_TIME
from recall.channels import (
    ContentKNN,
    ContentKNNConfig,
    ItemKNN,
    ItemKNNConfig,
    Recent,
    RecentConfig,
    SegmentConfig,
    SegmentPopularity,
    Trending,
    TrendingConfig,
    UserKNN,
    UserKNNConfig,
)
from recall.channels.aged import TRIED
from recall.channels.weighted import aged_items
from recall.contracts import LoadData, Query
from tests.movie_relations import RATED
from tests.recall.channels.making import fit_data, likes_matrix

DAY = 86_400


def every_item(graph):
    return np.arange(len(graph.items))[None]


def requests(*users, history=None):
    query = Query.of_positions(np.array(users))
    if history is None:
        return query
    return Query(key=query.key, user=query.user, history=RaggedArray.from_lists([history] * len(users)))


def user_scores(graph, user, weights, neighbours, shrinkage):
    """The formula of the user kNN, one user after the other."""
    likes = likes_matrix(graph)
    similar = {}
    for other in range(len(likes)):
        overlap = sum(weight for item, weight in weights.items() if likes[other, item])
        if other != user and overlap:
            length = np.sqrt(sum(weight**2 for weight in weights.values()))
            similar[other] = overlap / (length * np.sqrt(likes[other].sum()) + shrinkage)
    nearest = sorted(similar, key=lambda other: (-np.float32(similar[other]), other))[:neighbours]
    return sum((similar[other] * likes[other] for other in nearest), np.zeros(likes.shape[1]))


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(3, 0.0), (6, 2.5), (1000, 1.0)])
def test_user_knn_is_its_formula(graph, neighbours, shrinkage):
    channel = UserKNN(UserKNNConfig(neighbours=neighbours, shrinkage=shrinkage)).fit(fit_data(graph))
    likes = likes_matrix(graph)
    for user in range(8):
        weights = dict.fromkeys(np.flatnonzero(likes[user]).tolist(), 1.0)
        expected = user_scores(graph, user, weights, neighbours, shrinkage)
        np.testing.assert_allclose(channel.score(requests(user)).at(every_item(graph))[0], expected, atol=1e-5)


def test_nobody_is_their_own_neighbour_and_a_history_has_all(graph):
    likes = likes_matrix(graph)
    channel = UserKNN(UserKNNConfig(neighbours=1, shrinkage=0.0)).fit(fit_data(graph))
    somebody = Query.of_histories(["x"], RaggedArray.from_lists([np.flatnonzero(likes[3])]))
    np.testing.assert_allclose(channel.score(somebody).at(every_item(graph))[0], likes[3], atol=1e-6)
    own = channel.score(requests(3)).at(every_item(graph))[0]
    assert not np.allclose(own, likes[3])


@pytest.mark.parametrize("unit", ["places", "days"])
def test_the_shares_of_a_user_knn_are_its_items_and_add_up(graph, unit):
    config = UserKNNConfig(neighbours=6, shrinkage=1.0, half_life=2.0, half_life_in=unit)
    channel = UserKNN(config).fit(fit_data(graph))
    items = np.arange(len(graph.items))
    for user in range(4):
        queries = requests(*[user] * len(items))
        scores = channel.score(requests(user)).at(every_item(graph))[0]
        for score, split in zip(scores, channel.attribute(queries, items), strict=True):
            assert sum(share.value for share in split.history) == pytest.approx(score, abs=1e-5)


def test_ages_are_places_or_days(graph):
    history = InteractionHistory.of(graph)
    (user,) = np.flatnonzero(history.liked.counts > 3)[:1]
    liked = history.in_order(np.array([user]))
    new = np.setdiff1d(np.arange(history.num_items), liked.values)[:1]
    queries = requests(user, history=new)
    by_place = aged_items(queries, history, 2.0, "places")
    assert by_place.values.tolist() == [*liked.values.tolist(), *new.tolist()]
    np.testing.assert_allclose(by_place.weights, 0.5 ** (np.arange(len(by_place.values))[::-1] / 2), rtol=1e-6)
    by_day = aged_items(queries, history, 3.0, "days")
    age = (liked.times.max() - liked.times) / DAY
    np.testing.assert_allclose(by_day.weights, [*(0.5 ** (age / 3)), 1.0], rtol=1e-5)
    nobody = aged_items(Query.of_histories(["x"], RaggedArray.from_lists([[3, 1]])), history, 3.0, "days")
    assert nobody.weights.tolist() == [1.0, 1.0]


def test_an_item_of_unknown_time_is_as_old_as_the_oldest(graph):
    history = InteractionHistory.of(graph)
    (user,) = np.flatnonzero(history.liked.counts > 3)[:1]
    times = history.events.times.copy()
    times[history.events.offsets[user]] = NO_TIME
    events = type(history.events)(
        history.events.offsets,
        history.events.values,
        times,
        history.events.weights,
        history.events.kinds,
        np.ones(len(times), dtype=bool),
    )
    undated = InteractionHistory(history.items, history.seen, history.seen, events, history.relations, 0)
    weights = aged_items(requests(user), undated, 3.0, "days").weights
    assert weights.min() == weights[0]
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("kind", [ItemKNN, ContentKNN])
def test_newer_items_count_more(graph, kind):
    config = {ItemKNN: ItemKNNConfig, ContentKNN: ContentKNNConfig}[kind]
    plain = kind(config(neighbours=100)).fit(fit_data(graph))
    aged = kind(config(neighbours=100, half_life=1.0)).fit(fit_data(graph))
    history = InteractionHistory.of(graph)
    (user,) = np.flatnonzero(history.liked.counts > 3)[:1]
    liked = history.in_order(np.array([user])).values
    items = every_item(graph)
    expected = np.zeros(items.shape[1])
    for age, item in enumerate(liked[::-1]):
        alone = Query.of_histories(["x"], RaggedArray.from_lists([[item]]))
        expected += 0.5**age * plain.score(alone).at(items)[0]
    np.testing.assert_allclose(aged.score(requests(user)).at(items)[0], expected, atol=1e-5)


def test_dislikes_have_no_age(graph):
    plain, aged = (ItemKNN(ItemKNNConfig(half_life=half_life)).fit(fit_data(graph)) for half_life in (None, 1.0))
    query = Query.of_histories(["x"], RaggedArray.from_lists([[1]]))
    query = Query(key=["x"], user=query.user, history=query.history, disliked=RaggedArray.from_lists([[5, 9]]))
    np.testing.assert_allclose(plain.score(query).at(every_item(graph)), aged.score(query).at(every_item(graph)))


def test_the_half_life_is_chosen_on_validation_and_kept(graph, tmp_path):
    """Users go on with what is like their last item: the shortest half-life is best."""
    history = InteractionHistory.of(graph)
    plain = ItemKNN(ItemKNNConfig(neighbours=100)).fit(fit_data(graph))
    truth = []
    for user in range(history.num_users):
        last = history.in_order(np.array([user])).values[-1:]
        alone = Query.of_histories(["x"], RaggedArray.from_lists([last]))
        best = plain.score(alone).top(2, exclude=history.seen.take(np.array([user]))).items[0]
        truth.append(np.sort(best[best >= 0]) if len(last) else [])
    validation = Validation(truth=RaggedArray.from_lists(truth), seen=history.seen)
    config = ItemKNNConfig(neighbours=100, half_life="validation")
    channel = ItemKNN(config).fit(fit_data(graph, recipe={}, validation=validation))
    assert channel.recipe == {"half_life": TRIED[0]}
    tried = channel.facts["half_life"]["ndcg"]
    assert set(tried) == {"none", *map(str, TRIED)}
    assert tried[str(TRIED[0])] == max(tried.values())
    served = ItemKNN(config).fit(fit_data(graph, recipe=channel.recipe))
    served.save(tmp_path / "item_knn")
    loaded = ItemKNN.load(tmp_path / "item_knn", LoadData.of(graph))
    assert loaded.config.half_life == TRIED[0]
    items = every_item(graph)
    np.testing.assert_array_equal(loaded.score(requests(2)).at(items), channel.score(requests(2)).at(items))


def test_without_times_or_validation_no_half_life_is_chosen(graph):
    config = ItemKNNConfig(half_life="validation")
    assert ItemKNN(config).fit(fit_data(graph, recipe={})).recipe == {"half_life": None}
    history = InteractionHistory.of(graph)
    validation = Validation(truth=history.liked, seen=RaggedArray.empty(history.num_users))
    untimed = fit_data(without_times(graph), recipe={}, validation=validation)
    assert ItemKNN(config).fit(untimed).recipe == {"half_life": None}


def without_times(graph):
    edges = {key: _untimed(table) for key, table in graph.edges.items()}
    return KnowledgeGraph(graph.schema, graph.nodes, edges)


def _untimed(table):
    return table.drop_columns(["timestamp"]) if "timestamp" in table.column_names else table


# ---------------------------------------------------------------------------------------------------------- popularity


def dated(graph, days):
    """The graph whose interactions happened so many days ago, an array (interactions,)."""
    table = graph.edges[RATED]
    at = table.column_names.index("timestamp")
    times = pa.array((10_000 * DAY - days * DAY).astype(np.int64), type=table.schema.field("timestamp").type)
    return KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: table.set_column(at, "timestamp", times)})


def test_recent_likes_count_more(graph):
    days = np.random.default_rng(1).integers(0, 100, graph.edges[RATED].num_rows).astype(float)
    days[0] = 0
    channel = Recent(RecentConfig(half_life_days=7)).fit(fit_data(dated(graph, days)))
    done = graph.interactions
    expected = np.zeros(len(graph.items))
    np.add.at(expected, done.item[done.positive], 0.5 ** (days[done.positive] / 7))
    np.testing.assert_allclose(channel.score(requests(0)).at(every_item(graph))[0], expected, rtol=1e-5)
    (said,) = channel.attribute(requests(0), np.array([4]))
    assert "of 7 days ago counts half" in said.reason


def test_what_is_liked_more_than_before_is_trending(graph):
    done = graph.interactions
    days = np.full(len(done.item), 15.0)
    days[done.item == 3] = 2.0  # all at once
    days[done.item == 4] = 99.0  # long over
    days[0] = 0.0
    channel = Trending(TrendingConfig(days=10)).fit(fit_data(dated(graph, days)))
    scores = channel.score(requests(0)).at(every_item(graph))[0]
    assert scores.argmax() == 3
    assert scores[4] == 0
    assert (scores < 0).any()
    (said,) = channel.attribute(requests(0), np.array([3]))
    assert said.score == pytest.approx(float(scores[3]))
    assert "likes in the last 10 days, 0 in as many days before" in said.reason


@pytest.mark.parametrize("kind", [Recent, Trending])
def test_times_are_needed(graph, kind):
    with pytest.raises(ConfigError, match="needs the times"):
        kind().fit(fit_data(without_times(graph)))


def test_a_segment_has_its_own_order(graph):
    channel = SegmentPopularity(SegmentConfig(attribute="country", smoothing=5.0)).fit(fit_data(graph))
    likes = likes_matrix(graph)
    overall = likes.sum(axis=0) / likes.sum()
    for user, country in ((0, "de"), (1, "fr"), (2, None)):
        members = [other for other in range(len(likes)) if country and ("de", "fr", None)[other % 3] == country]
        expected = likes[members].sum(axis=0) + 5.0 * overall
        np.testing.assert_allclose(channel.score(requests(user)).at(every_item(graph))[0], expected, rtol=1e-5)
        (said,) = channel.attribute(requests(user), np.array([6]))
        assert said.score == pytest.approx(expected[6], rel=1e-5)
        assert ("country = " in said.reason) == (country is not None)


def test_the_context_says_the_segment(graph):
    channel = SegmentPopularity(SegmentConfig(attribute="country")).fit(fit_data(graph))
    items = every_item(graph)
    context = pa.table({"country": ["fr", "atlantis", None]})
    asked = Query(key=["a", "b", "c"], user=np.array([0, -1, -1]), history=RaggedArray.empty(3), context=context)
    french, unknown, none = channel.score(asked).at(np.repeat(items, 3, axis=0))
    np.testing.assert_array_equal(french, channel.score(requests(1)).at(items)[0])
    np.testing.assert_array_equal(unknown, channel.score(requests(2)).at(items)[0])
    np.testing.assert_array_equal(none, unknown)


@pytest.mark.parametrize(("attribute", "said"), [(None, "is missing: name one of.*country"), ("age", "'age' is no")])
def test_a_segment_needs_an_attribute(graph, attribute, said):
    with pytest.raises(ConfigError, match=said):
        SegmentPopularity(SegmentConfig(attribute=attribute)).fit(fit_data(graph))


@pytest.mark.parametrize("bad", [{"half_life": 0}, {"half_life": "soon"}, {"half_life_in": "years"}])
def test_a_half_life_is_a_positive_number(bad):
    with pytest.raises(ConfigError, match="half_life"):
        ItemKNNConfig(**bad)
