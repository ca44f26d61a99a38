"""The channel: whole scores against loops over paths, whom it serves, what it saves, and bad input."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from gnn.evaluation.validation import Validation
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError, InvalidDataError, UnknownIdError
from kg.topology.adjacency import Numbering
from recall.channels import Walk, WalkConfig
from recall.contracts import FitData, LoadData, NoShares, PathShares, Query, StepKind
from recall.pipeline import Pipeline
from tests.movie_relations import DIRECTOR, GENRE, RATED, SEQUEL
from tests.recall.channels.making import encode, fit_data

AGE = 0.8
PLAIN = {
    "age_decay": AGE,
    "popularity_power": 0.7,
    "user_start": 0.0,
    "user_middle": 1.0,
    "user_end": 0.0,
    "next_window": 2,
    "next_start": 1.0,
    "next_end": 0.0,
    "next_decay": 0.5,
    "relation_start": 0.0,
    "relation_middle": 1.0,
    "relation_end": 0.0,
    "relation_likes": 0.0,
}


def loop_scores(graph, user, weights):
    """The score of every item for one user, written as loops over edges."""
    interactions = graph.interactions
    liked = defaultdict(list)
    for at in np.lexsort((interactions.timestamp, interactions.user)).tolist():
        if interactions.positive[at]:
            liked[int(interactions.user[at])].append(int(interactions.item[at]))
    likes = defaultdict(int)
    for items in liked.values():
        for item in items:
            likes[item] += 1
    genres, members = defaultdict(set), defaultdict(set)
    for movie, genre in zip(*graph.positive_edges(GENRE), strict=True):
        genres[int(movie)].add(int(genre))
        members[int(genre)].add(int(movie))
    scores = defaultdict(float)
    history = liked[user]
    for place, start in enumerate(history):
        age = AGE ** (len(history) - 1 - place)
        for items in liked.values():
            if start not in items:
                continue
            for end in items:
                if end != start:
                    scores[end] += age * weights["through_users"] / len(items)
            at = items.index(start)
            for gap in (1, 2):
                if at + gap < len(items):
                    scores[items[at + gap]] += age * weights["what_followed"] * 0.5 ** (gap - 1) / likes[start]
        for genre in genres[start]:
            for end in members[genre]:
                scores[end] += age * weights["genre"] / len(members[genre])
        for later, earlier in zip(*graph.positive_edges(SEQUEL), strict=True):
            if later == start:
                scores[int(earlier)] += age * weights["sequel_of"]
            if earlier == start:
                scores[int(later)] += age * weights["^sequel_of"]
    for item in range(len(graph.items)):
        scores[item] += weights["popularity"] * likes[item] ** 0.7
    return [scores[item] for item in range(len(graph.items))]


WEIGHTS = {
    "through_users": 0.7,
    "what_followed": 1.1,
    "genre": 0.4,
    "sequel_of": 0.3,
    "^sequel_of": 0.2,
    "popularity": 0.05,
}


@pytest.fixture(scope="module")
def distinct_times(movie_graph):
    """A graph in which no two interactions have the same time."""
    graph = movie_graph(users=20, movies=25, seed=3)
    table = graph.edges[RATED]
    times = np.random.default_rng(4).permutation(table.num_rows)
    table = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array(times))
    return KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: table})


def test_scores_are_sums_over_paths(distinct_times):
    walk = Walk(WalkConfig(weights=WEIGHTS, **PLAIN)).fit(FitData.of(distinct_times))
    users = np.arange(len(distinct_times.users))
    items = np.tile(np.arange(len(distinct_times.items)), (len(users), 1))
    scores = walk.score(Query.of_positions(users)).at(items)
    for user in users.tolist():
        assert scores[user].tolist() == pytest.approx(loop_scores(distinct_times, user, WEIGHTS), rel=1e-4)


def test_shares_of_all_paths_add_up_to_the_score_and_every_path_is_in_the_graph(graph):
    weights = {**WEIGHTS, "director": 0.2, "starring": 0.1, "similar_text": 0.3, "disliked": -0.1, "has_tag": 0.1}
    data = fit_data(graph, recipe={})
    walk = Walk(WalkConfig(weights=weights, chains=False, text_neighbours=5)).fit(data)
    chosen = np.concatenate([np.array([0, 7, 33]), graph.positive_edges(SEQUEL)[1]])
    users, items = np.repeat(np.arange(10), len(chosen)), np.tile(chosen, 10)
    scores = walk.score(Query.of_positions(np.arange(10))).at(items.reshape(10, -1)).ravel()
    spans = {name: Numbering.of(graph).span(name).start for name in graph.nodes}
    pairs = {key: set(zip(*(end.tolist() for end in graph.positive_edges(key)), strict=True)) for key in graph.edges}
    kinds = set()
    for _user, item, score, split in zip(
        users.tolist(), items.tolist(), scores, walk.attribute(Query.of_positions(users), items), strict=True
    ):
        if isinstance(split, NoShares):
            continue
        assert isinstance(split, PathShares)
        total = split.prior + sum(float(step.values.sum()) for step in split.steps)
        assert total == pytest.approx(split.score, rel=1e-9)
        assert split.score == pytest.approx(score, rel=1e-5, abs=1e-6)
        for step in split.steps:
            kinds.add(step.kind)
            assert (step.values < 0).all() if step.kind is StepKind.DISLIKE else (step.values > 0).all()
            assert (step.nodes[:, -1] == item + spans["movie"]).all()
            for path in step.nodes.tolist():
                for (key, forward), ends in zip(step.shape, itertools.pairwise(path), strict=False):
                    source, target = ends if forward else ends[::-1]
                    edge = (source - spans[key.source], target - spans[key.target])
                    first_of_dislike = step.kind is StepKind.DISLIKE and path[0] in ends
                    assert first_of_dislike or edge in pairs[key]
    wanted = {StepKind.USERS, StepKind.NEXT, StepKind.RELATION, StepKind.DIRECT, StepKind.TEXT, StepKind.DISLIKE}
    assert kinds == wanted


@pytest.fixture(scope="module")
def walk(graph):
    return Walk(WalkConfig(text_neighbours=8, age_decay=0.5)).fit(fit_data(graph, recipe={}))


class TestWhoIsServed:
    def test_somebody_unknown_with_the_history_of_a_user_gets_the_same(self, walk, graph):
        everything = np.tile(np.arange(len(graph.items)), (1, 1))
        history = walk.history.in_order(np.array([3]))
        unknown = Query.of_histories(["new"], RaggedArray(history.offsets, history.values))
        own = walk.score(Query.of_positions(np.array([3]))).at(everything)
        np.testing.assert_allclose(walk.score(unknown).at(everything), own, rtol=1e-6)

    def test_what_came_last_counts_most(self, walk, graph):
        """`history` is in order: two people who liked the same in another order get other scores."""
        everything = np.tile(np.arange(len(graph.items)), (2, 1))
        orders = RaggedArray.from_lists([[1, 2, 3], [3, 2, 1]])
        first, second = walk.score(Query.of_histories(["a", "b"], orders)).at(everything)
        assert not np.allclose(first, second)

    def test_an_attribute_alone_leads_to_what_has_it(self, walk, graph):
        director = int(graph.positive_edges(DIRECTOR)[1][0])
        theirs = {int(m) for m, p in zip(*graph.positive_edges(DIRECTOR), strict=True) if p == director}
        query = Query(
            key=["new"],
            user=np.array([-1]),
            history=RaggedArray.empty(1),
            attributes=[{DIRECTOR: np.array([director])}],
        )
        top = walk.score(query).top(len(theirs))
        assert set(top.items[0].tolist()) == theirs
        (split,) = walk.attribute(query, top.items[0][:1])
        assert [step.kind for step in split.steps] == [StepKind.ATTRIBUTE]
        assert split.score == pytest.approx(top.scores[0, 0], rel=1e-5)

    def test_a_text_alone_leads_to_the_item_that_has_it(self, graph):
        texts = [f"text number {row}" for row in range(len(graph.items))]
        features = fit_data(graph).features
        span = Numbering.of(graph).span("movie")
        rows, _ = features.of(Numbering.of(graph), "movie")
        vectors = features.vectors.copy()
        vectors[features.nodes >= span.start] = encode([texts[row] for row in rows])
        same = type(features)(nodes=features.nodes, vectors=vectors, model=features.model)
        walk = Walk(WalkConfig(text_likes=0.0)).fit(fit_data(graph, recipe={}, features=same))
        asked = int(rows[5])
        query = Query(key=["new"], user=np.array([-1]), history=RaggedArray.empty(1), text=[texts[asked]])
        assert walk.score(query).top(1).items[0, 0] == asked
        (split,) = walk.attribute(query, np.array([asked]))
        assert [step.kind for step in split.steps] == [StepKind.TEXT]

    def test_an_item_that_nobody_touched_is_reached_by_knowledge_and_by_text(self, graph):
        table = graph.edges[RATED]
        kept = table.filter(pa.array(table["dst"].to_numpy() != 8))
        without = KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: kept})
        walk = Walk(WalkConfig(text_neighbours=39)).fit(fit_data(without, recipe={}))
        fans = [u for u in range(len(graph.users)) if len(walk.history.liked[u])]
        splits = walk.attribute(Query.of_positions(np.array(fans)), np.full(len(fans), 8))
        kinds = {step.kind for split in splits for step in split.steps}
        assert {StepKind.RELATION, StepKind.TEXT} <= kinds
        assert not kinds & {StepKind.USERS, StepKind.NEXT}

    def test_nobody_without_evidence(self, walk, graph):
        query = Query.of_histories(["new"], RaggedArray.empty(1))
        assert (walk.score(query).top(3).items == -1).all()
        (split,) = walk.attribute(query, np.array([0]))
        assert isinstance(split, NoShares)

    def test_an_attribute_that_is_not_there(self, walk):
        query = Query(
            key=["new"], user=np.array([-1]), history=RaggedArray.empty(1), attributes=[{GENRE: np.array([99])}]
        )
        with pytest.raises(UnknownIdError, match="outside the 4 nodes"):
            walk.score(query)
        query = Query(key=["n"], user=np.array([-1]), history=RaggedArray.empty(1), attributes=[{"genre": [1]}])
        with pytest.raises(InvalidDataError, match="named by relation"):
            walk.score(query)

    def test_a_text_without_text_vectors(self, graph):
        walk = Walk().fit(FitData.of(graph))
        query = Query(key=["n"], user=np.array([-1]), history=RaggedArray.empty(1), text=["a text"])
        with pytest.raises(ConfigError, match="fitted without text vectors"):
            walk.score(query)


def held_out(graph, seed=0):
    """A training view and what every user liked beside it."""
    random = np.random.default_rng(seed)
    table = graph.edges[RATED]
    hidden = random.random(table.num_rows) < 0.25
    view = KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: table.filter(pa.array(~hidden))})
    positive = graph.interactions.positive & hidden
    truth = RaggedArray.from_pairs(
        graph.interactions.user[positive], graph.interactions.item[positive], num_rows=len(graph.users)
    )
    seen = FitData.of(view).history.seen
    return view, Validation(truth=truth, seen=seen)


class TestFound:
    def test_the_same_seed_finds_the_same_and_trials_do_no_harm(self, graph):
        view, validation = held_out(graph)
        data = fit_data(view, validation=validation, recipe={})
        walks = [Walk(WalkConfig(trials=6, text_neighbours=5)).fit(data) for _ in range(2)]
        assert walks[0].recipe == walks[1].recipe
        before, after = walks[0].facts["validation_ndcg"]
        assert after >= before > 0
        assert len(walks[0].facts["trials"]) == 6
        assert all(weight > 0 for name, weight in walks[0].weights.items() if name != "disliked")

    def test_a_fit_by_the_recipe_is_the_fit_that_found_it(self, graph, tmp_path):
        view, validation = held_out(graph)
        data = fit_data(view, validation=validation, recipe={})
        found = Walk(WalkConfig(trials=4, text_neighbours=5)).fit(data)
        again = Walk(WalkConfig(trials=4, text_neighbours=5)).fit(fit_data(view, recipe=found.recipe))
        everything = np.tile(np.arange(len(graph.items)), (len(graph.users), 1))
        everybody = Query.of_positions(np.arange(len(graph.users)))
        np.testing.assert_array_equal(found.score(everybody).at(everything), again.score(everybody).at(everything))
        found.save(tmp_path)
        loaded = Walk.load(tmp_path, LoadData.of(view, encode=encode))
        assert (loaded.recipe, loaded.strengths) == (found.recipe, found.strengths)
        np.testing.assert_array_equal(found.score(everybody).at(everything), loaded.score(everybody).at(everything))
        assert loaded.facts == found.facts

    def test_weights_without_a_validation_part_follow_the_kinds_of_step(self, graph):
        walk = Walk().fit(FitData.of(graph))
        assert walk.strengths["through_users"] == 1
        assert {"what_followed", "genre", "director", "popularity"} <= set(walk.strengths)
        assert not any(">" in name for name in walk.strengths if not name.startswith(("sequel_of", "^sequel_of")))

    def test_nobody_to_validate_on_leaves_the_defaults(self, graph):
        nothing = RaggedArray.empty(len(graph.users))
        walk = Walk().fit(FitData.of(graph, validation=Validation(truth=nothing, seen=nothing)))
        assert walk.weights == Walk().fit(FitData.of(graph)).weights


class TestGraphsOfAllKinds:
    def test_no_knowledge_at_all(self, graph):
        bare = graph.without_relations({key for key in graph.edges if key != RATED})
        walk = Walk().fit(FitData.of(bare))
        assert set(walk.weights) == {"through_users", "what_followed", "popularity"}
        assert len(Pipeline([walk], walk.history).recommend(Query.of_users(np.arange(3), bare.users), k=5)) == 15

    def test_nothing_followed_where_nothing_says_what_came_first(self, graph):
        table = graph.edges[RATED].drop_columns(["timestamp"])
        unordered = KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: table})
        walk = Walk().fit(FitData.of(unordered))
        assert "what_followed" in Walk().fit(FitData.of(graph)).weights
        assert "what_followed" not in walk.weights
        assert walk.config.age_decay == 1
        truth = RaggedArray.from_lists([[item] for item in range(len(unordered.users))])
        none = RaggedArray.empty(len(unordered.users))
        chosen = Walk(WalkConfig(trials=30)).fit(FitData.of(unordered, validation=Validation(truth=truth, seen=none)))
        assert not {trial["setting"] for trial in chosen.facts["trials"]} & {"age_decay", "next_decay", "next_window"}

    def test_a_power_below_0_prefers_ends_that_many_like(self, graph):
        plain, popular = (
            Walk(WalkConfig(user_end=end, weights={"through_users": 1.0})).fit(FitData.of(graph)) for end in (0.0, -0.5)
        )
        everything = np.tile(np.arange(len(graph.items)), (len(graph.users), 1))
        everybody = Query.of_positions(np.arange(len(graph.users)))
        likes = np.bincount(plain.history.liked.values, minlength=len(graph.items))
        before, after = (each.score(everybody).at(everything) for each in (plain, popular))
        np.testing.assert_allclose(after, before * np.sqrt(likes), rtol=1e-5)

    def test_knowledge_and_nobody_who_likes_anything(self, graph):
        table = graph.edges[RATED].slice(0, 0)
        unused = KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, RATED: table})
        walk = Walk().fit(FitData.of(unused))
        query = Query.of_histories(["new"], RaggedArray.from_lists([[0]]))
        genre = {int(g) for m, g in zip(*graph.positive_edges(GENRE), strict=True) if m == 0}
        top = walk.score(query).top(3, exclude=RaggedArray.from_lists([[0]])).items[0]
        assert (top >= 0).all()
        sharing = {int(m) for m, g in zip(*graph.positive_edges(GENRE), strict=True) if int(g) in genre}
        assert sharing & set(top.tolist())

    def test_users_with_more_likes_than_are_walked_through(self, graph):
        walk = Walk(WalkConfig(longest=1, weights={"through_users": 1.0})).fit(FitData.of(graph))
        everybody = Query.of_positions(np.arange(len(graph.users)))
        assert (walk.score(everybody).top(3).items == -1).all()

    def test_a_history_longer_than_the_decay_matters(self, graph):
        """0.1^20 of a like is nothing: the oldest are left out, and what is left is the score."""
        walk = Walk(WalkConfig(age_decay=0.1)).fit(FitData.of(graph))
        everything = np.tile(np.arange(len(graph.items)), (2, 1))
        long = np.random.default_rng(0).permutation(len(graph.items))[:30].tolist()
        scores = walk.score(Query.of_histories(["a", "b"], RaggedArray.from_lists([long, long[-6:]]))).at(everything)
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)

    def test_self_loops_and_parallel_edges_count_once(self, graph):
        table = graph.edges[SEQUEL]
        twice = pa.concat_tables([table, table, table.slice(0, 1).set_column(1, "dst", table["src"].slice(0, 1))])
        doubled = KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, SEQUEL: twice})
        weights = {"sequel_of": 1.0}
        first = int(table["src"][0].as_py())
        everything = np.tile(np.arange(len(graph.items)), (1, 1))
        query = Query.of_histories(["new"], RaggedArray.from_lists([[first]]))
        config = WalkConfig(weights=weights, relation_start=0.0, relation_end=0.0, relation_likes=0.0)
        once = Walk(config).fit(FitData.of(graph)).score(query).at(everything)[0]
        again = Walk(config).fit(FitData.of(doubled)).score(query).at(everything)[0]
        once[first] += 1  # by the loop
        np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"weights": {"through_people": 1.0}}, "names 'through_people', which is no type of step.*through_users"),
        ({"relations": ("genre", "actor")}, "names 'actor', which is no relation of 'movie'.*director"),
    ],
)
def test_names_that_are_not_there(graph, config, message):
    with pytest.raises(ConfigError, match=message):
        Walk(WalkConfig(**config)).fit(FitData.of(graph))


@pytest.mark.parametrize(("key", "value"), [("age_decay", 0.0), ("age_decay", 1.1), ("neighbours", 0), ("dislike", 2)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"channels.walk.{key}"):
        WalkConfig(**{key: value})
