"""One contract for all channels, and each channel against a naive oracle."""

from __future__ import annotations

import inspect
import json
import math
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

import recall.channels
import recall.channels.base
import recall.index.item_index
from gnn.graph.gcn import GCNConfig
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.errors import ArtifactError, ConfigError, InvalidDataError, NotFittedError, UnknownIdError
from kg.topology.adjacency import Numbering
from recall.channels import (
    EASE,
    AttributeKNN,
    AttributeKNNConfig,
    ChebyCF,
    ChebyCFConfig,
    ContentKNN,
    ContentKNNConfig,
    EASEConfig,
    EmbeddingChannel,
    ItemKNN,
    ItemKNNConfig,
    Popularity,
    RP3Beta,
    RP3BetaConfig,
    Spectral,
    SpectralConfig,
    ease,
)
from recall.channels.known import Known
from recall.contracts import CANDIDATE_SCHEMA, FusedShares, NoShares, Queries, Shares
from recall.fusion.fusion import Fusion, FusionConfig
from recall.index.item_index import ItemIndex

RATED = RelationKey("user", "rated", "movie")
GENRE = RelationKey("movie", "genre", "genre")
DIRECTOR = RelationKey("movie", "director", "person")
STARRING = RelationKey("movie", "starring", "person")
SEQUEL = RelationKey("movie", "sequel_of", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")
TEXT_DIM = 12


def text_features(graph, seed=5):
    span = Numbering.of(graph).span("movie")
    rng = np.random.default_rng(seed)
    nodes = np.sort(rng.choice(np.arange(span.start, span.stop), size=span.stop - span.start - 3, replace=False))
    vectors = rng.normal(size=(len(nodes), TEXT_DIM)) + 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return TextFeatures(nodes=nodes, vectors=vectors.astype(np.float32), model="random")


def encode(texts):
    """Unit vectors that depend on the text alone; zero for none."""
    rows = [
        np.random.default_rng(list(text.encode())).normal(size=TEXT_DIM) if text else np.zeros(TEXT_DIM)
        for text in texts
    ]
    vectors = np.array(rows, dtype=np.float32).reshape(len(rows), TEXT_DIM)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def embedding(graph, model=None):
    training = TrainingConfig(max_steps=4, batch_size=64, negatives=16)
    return EmbeddingChannel(
        model or LightGCNConfig(dim=8), training, features=text_features(graph), steps=4, encode=encode
    )


FACTORIES = {
    "popularity": lambda graph: Popularity(),
    "item_knn": lambda graph: ItemKNN(ItemKNNConfig(neighbours=15, shrinkage=2.0)),
    "ease": lambda graph: EASE(EASEConfig(regularisation=5.0, weights=30)),
    "rp3beta": lambda graph: RP3Beta(RP3BetaConfig(neighbours=20)),
    "spectral": lambda graph: Spectral(SpectralConfig(factors=6)),
    "cheby": lambda graph: ChebyCF(ChebyCFConfig(factors=6)),
    "content_knn": lambda graph: ContentKNN(text_features(graph), ContentKNNConfig(neighbours=10), encode=encode),
    "content_sum": lambda graph: ContentKNN(text_features(graph), ContentKNNConfig(neighbours=None), encode=encode),
    "attribute_knn": lambda graph: AttributeKNN(AttributeKNNConfig(neighbours=12)),
    "embedding": embedding,
    "embedding_gcn": lambda graph: embedding(graph, GCNConfig(dim=8)),
    "fusion": lambda graph: Fusion(
        {"embedding": embedding(graph), "spectral": Spectral(SpectralConfig(factors=6)), "item_knn": ItemKNN()},
        FusionConfig(weights={"embedding": 1.0, "spectral": 0.5, "item_knn": 0.3}),
    ),
}


@pytest.fixture(scope="module")
def graph(movie_graph):
    made = movie_graph()
    # The last user has interactions, but no positives.
    table = made.edges[RATED]
    rating = table["rating"].to_numpy().copy()
    rating[table["src"].to_numpy() == len(made.users) - 1] = 1.0
    table = table.set_column(table.column_names.index("rating"), "rating", pa.array(rating))
    return KnowledgeGraph(made.schema, made.nodes, {**made.edges, RATED: table})


@pytest.fixture(scope="module", params=FACTORIES)
def channel(request, graph):
    return FACTORIES[request.param](graph).fit(graph)


@pytest.fixture(scope="module")
def everybody(graph):
    return Queries.of_users(np.arange(len(graph.users)), graph.users)


def seen_by(graph):
    interactions = graph.interactions
    return RaggedArray.from_pairs(interactions.user, interactions.item, num_rows=len(graph.users))


def liked_by(graph):
    chosen = graph.interactions.select(graph.interactions.positive)
    return RaggedArray.from_pairs(chosen.user, chosen.item, num_rows=len(graph.users))


def by_user(candidates):
    answer = {}
    for row in candidates:
        answer.setdefault(row["user_id"], []).append((row["item_id"], row["score"]))
    return answer


def histories(graph, *lists):
    rows = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    items = np.array([item for one in lists for item in one], dtype=np.int64)
    return Queries.of_histories(
        [f"q{n}" for n in range(len(lists))], RaggedArray.from_pairs(rows, items, num_rows=len(lists))
    )


def assert_same(left, right):
    assert left.table.drop(["score"]).equals(right.table.drop(["score"]))
    np.testing.assert_allclose(left.table["score"].to_numpy(), right.table["score"].to_numpy(), rtol=1e-5, atol=1e-6)


class TestContract:
    def test_at_most_k_unseen_items_ranked_from_1(self, channel, graph, everybody):
        seen = seen_by(graph)
        answer = channel.recommend(everybody, k=7)
        assert answer.table.schema == CANDIDATE_SCHEMA
        assert {source.partition("(")[0] for source in answer.table["source"].to_pylist()} == {channel.name}
        rows = by_user(answer)
        assert len(rows) >= len(graph.users) - 1
        for user, found in rows.items():
            items = graph.items.index([item for item, _ in found])
            assert 1 <= len(items) <= 7
            assert len(set(items)) == len(items)
            assert not set(items) & set(seen[int(graph.users.index([user])[0])])
            assert [row["rank"] for row in answer.of(user)] == list(range(1, len(items) + 1))
            order = [(-score, item) for (_, score), item in zip(found, items, strict=True)]
            assert order == sorted(order), "scores descend, equal ones by position"

    def test_a_small_k_is_the_head_of_a_large_one(self, channel, everybody):
        small, large = by_user(channel.recommend(everybody, k=3)), by_user(channel.recommend(everybody, k=30))
        assert {user: [item for item, _ in found] for user, found in small.items()} == {
            user: [item for item, _ in found[:3]] for user, found in large.items()
        }

    def test_seen_items_on_demand(self, channel, graph, everybody):
        with_seen = by_user(channel.recommend(everybody, k=100, exclude_seen=False))
        without = by_user(channel.recommend(everybody, k=100))
        seen = seen_by(graph)
        some = 0
        for user, found in with_seen.items():
            own = set(graph.items.take(seen[int(graph.users.index([user])[0])]).to_pylist())
            kept = [item for item, _ in found if item not in own]
            assert kept == [item for item, _ in without.get(user, [])]
            some += len(found) - len(kept)
        assert some > 0

    def test_what_was_only_tagged_is_seen_too(self, graph):
        tagged, item = graph.event_columns(HAS_TAG)
        one = tagged[0]
        without = graph.keep_edges({RATED: graph.interactions.user != one})
        seen = Known.of(without).seen
        assert seen[one].tolist() == np.unique(item[tagged == one]).tolist()
        other = (one + 1) % len(graph.users)
        assert seen[other].tolist() == seen_by(graph)[other].tolist()

    def test_the_request_can_say_what_is_seen(self, channel, graph):
        users = np.arange(5)
        seen = RaggedArray.from_pairs(np.repeat(users, 3), np.tile([0, 1, 2], 5), num_rows=5)
        queries = Queries.of_users(users, graph.users, seen=seen)
        full = by_user(channel.recommend(queries, k=100, exclude_seen=False))
        for user, found in by_user(channel.recommend(queries, k=100)).items():
            gone = set(graph.items.take(np.array([0, 1, 2])).to_pylist())
            assert [item for item, _ in found] == [item for item, _ in full[user] if item not in gone]

    def test_candidates_filter_and_change_no_order(self, channel, graph, everybody):
        allowed = np.array([3, 30, 7, 7, 12, 21, 22, 39])
        full = by_user(channel.recommend(everybody, k=100))
        names = set(graph.items.take(allowed).to_pylist())
        filtered = by_user(channel.recommend(everybody, k=100, candidates=allowed))
        for user, found in full.items():
            kept = [pair for pair in found if pair[0] in names]
            assert [item for item, _ in filtered.get(user, [])] == [item for item, _ in kept]
            np.testing.assert_allclose(
                [score for _, score in filtered.get(user, [])], [score for _, score in kept], rtol=1e-5, atol=1e-6
            )

    def test_no_candidates_give_none(self, channel, everybody):
        assert len(channel.recommend(everybody, k=5, candidates=np.zeros(0, dtype=np.int64))) == 0

    def test_somebody_unknown_with_a_history(self, channel, graph):
        history = [1, 5, 9, 14]
        queries = histories(graph, history, [2, 3])
        answer = by_user(channel.recommend(queries, k=10))
        assert set(answer) == {"q0", "q1"}
        assert not {item for item, _ in answer["q0"]} & set(graph.items.take(np.array(history)).to_pylist())

    def test_nothing_known_gives_nothing_but_what_is_popular(self, channel, graph):
        queries = Queries(
            key=["new", "u_last"],
            user=np.array([-1, len(graph.users) - 1]),
            history=RaggedArray.empty(2),
        )
        answer = channel.recommend(queries, k=5)
        assert len(answer) == (10 if isinstance(channel, Popularity) else 0)

    def test_saved_and_loaded_it_answers_the_same(self, channel, graph, everybody, tmp_path):
        channel.save(tmp_path)
        loaded = type(channel).load(tmp_path)
        assert loaded.name == channel.name
        for queries in (everybody, histories(graph, [1, 2], [30])):
            before, after = channel.recommend(queries, k=10), loaded.recommend(queries, k=10)
            assert after.table.equals(before.table)
        pair = [(0, int(graph.items.index([by_user(before)["q0"][0][0]])[0]))]
        (ours,), (theirs,) = channel.explain(pair), loaded.explain(pair)
        assert type(ours) is type(theirs)
        assert ours.score == pytest.approx(theirs.score, rel=1e-12)

    def test_no_pickle_in_what_is_saved(self, channel, tmp_path):
        channel.save(tmp_path)
        kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
        assert kinds <= {".json", ".safetensors", ".parquet", ".faiss", ".npy"}

    def test_another_channel_is_refused(self, channel, tmp_path):
        channel.save(tmp_path)
        path = tmp_path / "channel.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "channel": "something else"}))
        with pytest.raises(ArtifactError, match="fit it again"):
            type(channel).load(tmp_path)

    def test_the_order_of_the_rows_changes_nothing(self, channel, graph):
        order = np.random.default_rng(0).permutation(len(graph.users))
        straight = channel.recommend(Queries.of_users(np.arange(len(order)), graph.users), k=10)
        shuffled = channel.recommend(Queries.of_users(order, graph.users), k=10)
        names = graph.users.take(order).to_pylist()
        assert list(dict.fromkeys(shuffled.table["user_id"].to_pylist())) == [n for n in names if shuffled.of(n)]
        left, right = by_user(straight), by_user(shuffled)
        assert {u: [i for i, _ in found] for u, found in left.items()} == {
            u: [i for i, _ in found] for u, found in right.items()
        }

    def test_a_row_alone_answers_as_in_the_batch(self, channel, graph, everybody):
        batch = by_user(channel.recommend(everybody, k=10))
        for user in (0, 7, 19):
            name = everybody.key[user]
            alone = by_user(channel.recommend(everybody.take(np.array([user])), k=10))
            assert [item for item, _ in alone[name]] == [item for item, _ in batch[name]]

    def test_blocks_are_not_seen_from_outside(self, channel, everybody, monkeypatch):
        whole = channel.recommend(everybody, k=10)
        monkeypatch.setattr(recall.channels.base, "BLOCK_SCORES", 90)
        monkeypatch.setattr(recall.index.item_index, "BLOCK_SCORES", 90)
        assert_same(channel.recommend(everybody, k=10), whole)

    def test_an_empty_batch(self, channel, graph):
        answer = channel.recommend(Queries.of_users(np.zeros(0, dtype=np.int64), graph.users), k=5)
        assert len(answer) == 0
        assert answer.table.schema == CANDIDATE_SCHEMA

    def test_fit_returns_itself(self, request, graph, channel):
        made = FACTORIES[request.node.callspec.params["channel"]](graph)
        assert made.fit(graph) is made

    def test_fitting_twice_gives_the_same(self, request, graph, channel, everybody):
        again = FACTORIES[request.node.callspec.params["channel"]](graph).fit(graph)
        assert_same(again.recommend(everybody, k=10), channel.recommend(everybody, k=10))

    def test_before_fitting_it_says_so(self, request, graph, everybody, tmp_path, channel):
        made = FACTORIES[request.node.callspec.params["channel"]](graph)
        for call in (
            lambda: made.recommend(everybody, k=5),
            lambda: made.explain([(0, 0)]),
            lambda: made.save(tmp_path),
        ):
            with pytest.raises(NotFittedError, match=r"fit\(graph\)"):
                call()

    def test_what_does_not_exist_is_refused(self, channel, graph, everybody):
        with pytest.raises(ConfigError, match="k = 0"):
            channel.recommend(everybody, k=0)
        with pytest.raises(UnknownIdError, match="999"):
            channel.recommend(
                Queries(key=["x"], user=np.array([999]), history=RaggedArray.empty(1)),
                k=5,
            )
        with pytest.raises(UnknownIdError, match="999"):
            channel.recommend(histories(graph, [999]), k=5)
        with pytest.raises(InvalidDataError, match="candidates"):
            channel.recommend(everybody, k=5, candidates=np.array([40]))
        for pair in ((999, 0), (0, 999), (-1, 0)):
            with pytest.raises(UnknownIdError):
                channel.explain([pair])

    def test_shares_add_up_to_what_recommend_returned(self, channel, graph, everybody):
        answer = channel.recommend(everybody, k=5)
        pairs = [
            (int(graph.users.index([row["user_id"]])[0]), int(graph.items.index([row["item_id"]])[0])) for row in answer
        ]
        for row, split in zip(answer, channel.explain(pairs), strict=True):
            if isinstance(split, NoShares):
                assert split.reason
                assert split.score == pytest.approx(row["score"], rel=1e-5)
                continue
            assert isinstance(split, Shares)
            shares = [share.value for share in split.history]
            unsplit = split.unsplit if isinstance(split, FusedShares) else 0.0
            size = abs(split.own) + sum(map(abs, shares)) + abs(unsplit)
            assert split.own + math.fsum(shares) + unsplit == pytest.approx(split.score, abs=1e-9 * size)
            neighbours = [share.value for share in split.neighbours]
            other = abs(split.item_own) + sum(map(abs, neighbours)) + abs(unsplit)
            assert split.item_own + math.fsum(neighbours) + unsplit == pytest.approx(split.score, abs=1e-9 * other)
            assert split.pairs.shape == (len(shares), len(neighbours))
            assert split.pairs.sum() + sum(split.cross) + unsplit == pytest.approx(
                split.score, abs=1e-9 * max(size, other)
            )
            assert split.score == pytest.approx(row["score"], abs=1e-4 * size)

    def test_scores_of_single_items_are_those_it_ranks_by(self, channel, graph, everybody):
        seen = seen_by(graph)
        scored = channel.scored(everybody)
        for options, only in (
            ({}, None),
            ({"exclude": seen}, None),
            ({"only": np.array([2, 3, 30])}, np.array([2, 3, 30])),
        ):
            top = scored.top(12, **options)
            answer = by_user(channel.recommend(everybody, k=12, exclude_seen="exclude" in options, candidates=only))
            for row, name in enumerate(everybody.key):
                found = answer.get(name, [])
                assert graph.items.take(top.items[row][top.items[row] >= 0]).to_pylist() == [item for item, _ in found]
                np.testing.assert_allclose(top.scores[row][: len(found)], [score for _, score in found], rtol=1e-5)
            np.testing.assert_allclose(
                scored.at(top.items)[top.items >= 0], top.scores[top.items >= 0], rtol=1e-5, atol=1e-6
            )
        everything = np.tile(np.append(np.arange(len(graph.items)), -1), (len(everybody), 1))
        full = scored.top(len(graph.items))
        expected = np.zeros(everything.shape)
        row, place = np.nonzero(full.items >= 0)
        expected[row, full.items[row, place]] = full.scores[row, place]
        np.testing.assert_allclose(scored.at(everything), expected, rtol=1e-5, atol=1e-6)

    def test_any_id_survives(self, request, channel, movie_graph):
        names = ["a b", "ünïcödé", "'; DROP", "", "1", "1.0", "\U0001f3ac", "m\tx", "x" * 300]
        made = movie_graph(users=12, movies=9, ratings=5, seed=3)
        movies = made.nodes["movie"].set_column(0, "id", pa.array(names))
        users = made.nodes["user"].set_column(0, "id", pa.array([f"user {n}/ß" for n in range(12)]))
        odd = KnowledgeGraph(made.schema, {**made.nodes, "movie": movies, "user": users}, made.edges)
        answer = (
            FACTORIES[request.node.callspec.params["channel"]](odd)
            .fit(odd)
            .recommend(Queries.of_users(np.arange(12), odd.users), k=3)
        )
        assert len(answer)
        assert set(answer.table["item_id"].to_pylist()) <= set(names)
        assert set(answer.table["user_id"].to_pylist()) <= set(users["id"].to_pylist())


def test_every_channel_is_in_the_contract(graph):
    covered = {type(make(graph)) for make in FACTORIES.values()}
    public = {
        value
        for value in vars(recall.channels).values()
        if inspect.isclass(value) and hasattr(value, "recommend") and not inspect.isabstract(value)
    }
    assert public | {Fusion} == covered
    assert {kind.name: kind for kind in public} == recall.channels.CHANNELS
    defined = {cls for base in (recall.channels.base.HistoryChannel,) for cls in _concrete(base)}
    assert defined <= covered, "a channel that recall.channels does not export"


def _concrete(cls):
    below = {one for sub in cls.__subclasses__() for one in _concrete(sub)}
    return below if inspect.isabstract(cls) else {cls, *below}


def likes_matrix(graph):
    likes = np.zeros((len(graph.users), len(graph.items)))
    chosen = graph.interactions.select(graph.interactions.positive)
    likes[chosen.user, chosen.item] = 1
    return likes


def check_against(channel, graph, scores, *, none_at_zero, absolute=1e-5):
    """Every score of every user, seen items included."""
    queries = Queries.of_users(np.arange(len(graph.users)), graph.users)
    answer = by_user(channel.recommend(queries, k=len(graph.items), exclude_seen=False))
    for user, name in enumerate(queries.key):
        expected = {
            item: score
            for item, score in zip(graph.items.ids.to_pylist(), scores[user], strict=True)
            if score > -np.inf and not (none_at_zero and score == 0)
        }
        found = dict(answer.get(name, []))
        assert set(found) == set(expected)
        for item, score in found.items():
            assert score == pytest.approx(expected[item], rel=1e-4, abs=absolute)


def nearest_only(similar, n, liked):
    """Row i keeps its n largest positive entries among liked items, equal ones by position."""
    kept = np.zeros_like(similar)
    for item, row in enumerate(similar):
        allowed = [other for other in range(len(row)) if other != item and liked[other] and row[other] > 0]
        for other in sorted(allowed, key=lambda other: (-np.float32(row[other]), other))[:n]:
            kept[item, other] = row[other]
    return kept


class TestOracles:
    def test_popularity_counts_positives(self, graph):
        scores = np.tile(likes_matrix(graph).sum(axis=0), (len(graph.users), 1))
        check_against(Popularity().fit(graph), graph, scores, none_at_zero=False)

    @pytest.mark.parametrize("neighbours", [40, 5])
    def test_rp3beta_walks_from_user_to_item_to_user_to_item(self, graph, everybody, monkeypatch, neighbours):
        monkeypatch.setattr("recall.channels.rp3beta._BLOCK", 7)
        liked = liked_by(graph)
        likes = [set(liked[user].tolist()) for user in range(len(graph.users))]
        fans = [[user for user in range(len(likes)) if item in likes[user]] for item in range(len(graph.items))]
        W = np.zeros((len(fans), len(fans)))
        for i, j in np.ndindex(W.shape):
            shared = set(fans[i]) & set(fans[j]) if i != j else set()
            W[i, j] = sum((len(fans[j]) * len(likes[v])) ** -0.6 * len(fans[i]) ** -0.25 for v in shared)
            assert shared or W[i, j] == 0
        for row in W:
            row[np.argsort(-row, kind="stable")[neighbours:]] = 0
        config = RP3BetaConfig(alpha=0.6, beta=0.25, neighbours=neighbours)
        answer = by_user(RP3Beta(config).fit(graph).recommend(everybody, k=40))
        seen, ids = seen_by(graph), graph.items.ids.to_pylist()
        for user, name in enumerate(graph.users.ids.to_pylist()):
            scores = {i: sum(W[i, j] for j in likes[user]) for i in range(len(ids)) if i not in seen[user]}
            expected = {ids[i]: score for i, score in scores.items() if score}
            assert dict(answer.get(name, [])) == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("weights", [40, 5])
    def test_ease(self, graph, everybody, monkeypatch, weights):
        monkeypatch.setattr("recall.channels.ease._BLOCK", 7)
        liked = liked_by(graph)
        X = np.zeros((len(graph.users), len(graph.items)))
        X[liked.rows(), liked.values] = 1
        P = np.linalg.inv(X.T @ X + 5.0 * np.eye(X.shape[1]))
        B = -P / np.diag(P)
        np.fill_diagonal(B, 0)
        B[X.sum(axis=0) == 0] = B[:, X.sum(axis=0) == 0] = 0
        for item in range(B.shape[1]):
            B[np.argsort(-np.abs(B[:, item]), kind="stable")[weights:], item] = 0
        answer = by_user(EASE(EASEConfig(regularisation=5.0, weights=weights)).fit(graph).recommend(everybody, k=40))
        seen = seen_by(graph)
        ids = graph.items.ids.to_pylist()
        for user, name in enumerate(graph.users.ids.to_pylist()):
            scores = X[user] @ B
            expected = {ids[i]: scores[i] for i in range(len(ids)) if i not in seen[user] and scores[i] != 0}
            got = dict(answer.get(name, []))
            assert set(got) == set(expected)
            assert got == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert (B < 0).any()

    @pytest.mark.parametrize("start", [0, 300, 590])
    def test_rows_of_a_triangle_take_no_more_memory_than_the_rows(self, start):
        whole = np.random.default_rng(0).normal(size=(600, 600)).astype(np.float32)
        whole = np.asfortranarray(whole + whole.T)
        rows = np.arange(start, start + 10, 2)
        tracemalloc.start()
        found = ease._rows(np.tril(whole), rows)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        ease._rows(whole, rows)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(found, whole[rows])
        assert peak - before < 4 * found.nbytes

    def test_ease_that_cannot_be_inverted_says_so(self, graph):
        with pytest.raises(ConfigError, match="regularisation = 1e-12 is too small"):
            EASE(EASEConfig(regularisation=1e-12)).fit(graph)

    def test_item_knn(self, graph):
        likes = likes_matrix(graph)
        both = likes.T @ likes
        count = likes.sum(axis=0)
        similar = both / (np.sqrt(np.outer(count, count)) + 2.0)
        kept = nearest_only(similar, 15, count > 0)
        check_against(FACTORIES["item_knn"](graph).fit(graph), graph, likes @ kept.T, none_at_zero=True)
        mean = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12)
        channel = ItemKNN(ItemKNNConfig(neighbours=15, shrinkage=2.0, mean=True)).fit(graph)
        check_against(channel, graph, likes @ mean.T, none_at_zero=True)

    def test_spectral(self, graph):
        likes = likes_matrix(graph)
        by_user, by_item = (np.maximum(likes.sum(axis=axis), 1) ** 0.5 for axis in (1, 0))
        normal = likes / by_user[:, None] / by_item[None, :]
        _, _, right = np.linalg.svd(normal, full_matrices=False)
        low = np.diag(1 / by_item) @ right[:6].T @ right[:6] @ np.diag(by_item)
        scores = likes @ (normal.T @ normal + 0.3 * low)
        scores[:, likes.sum(axis=0) == 0] = -np.inf
        scores[likes.sum(axis=1) == 0] = -np.inf
        check_against(FACTORIES["spectral"](graph).fit(graph), graph, scores, none_at_zero=False)

    @pytest.mark.parametrize(
        ("factors", "degree", "flatness", "beta"),
        [(6, 8, 1.5, 0.4), (0, 8, 1.5, 0.4), (1, 5, 3.0, 0.0), (20, 8, 10.0, 0.5), (1000, 3, 1.0, 0.2)],
    )
    def test_cheby(self, graph, factors, degree, flatness, beta):
        likes = likes_matrix(graph)
        by_user, by_item = (np.maximum(likes.sum(axis=axis), 1) ** 0.5 for axis in (1, 0))
        normal = likes / by_user[:, None] / by_item[None, :]
        laplacian = np.eye(len(by_item)) - 2 * normal.T @ normal
        # The recurrence over the whole spectrum, with coefficients summed up at the nodes.
        nodes = np.cos((np.arange(degree + 1) + 0.5) / (degree + 1) * np.pi)
        target = [(1 + (-x) ** flatness) / 2 if x < 0 else (1 - x**flatness) / 2 for x in nodes]
        terms = [np.eye(len(by_item)), laplacian]
        for _ in range(degree - 1):
            terms.append(2 * laplacian @ terms[-1] - terms[-2])
        whole = np.zeros_like(laplacian)
        for order, term in enumerate(terms):
            weight = sum(t * np.cos(order * np.arccos(x)) for t, x in zip(target, nodes, strict=True))
            whole += term * weight * (1 if order == 0 else 2) / (degree + 1)
        _, _, right = np.linalg.svd(normal, full_matrices=False)
        factors_there = min(factors, min((likes.sum(axis=1) > 0).sum(), (likes.sum(axis=0) > 0).sum()) - 1)
        low = right[:factors_there].T @ right[:factors_there]
        popular = by_item ** (2 * beta)
        scores = (likes / popular) @ (whole + 0.2 * low) * popular
        scores[:, likes.sum(axis=0) == 0] = -np.inf
        scores[likes.sum(axis=1) == 0] = -np.inf
        config = ChebyCFConfig(factors=factors, degree=degree, flatness=flatness, beta=beta)
        # The shorter polynomial of the tail may differ by 1e-4 from the whole one.
        check_against(ChebyCF(config).fit(graph), graph, scores, none_at_zero=False, absolute=1e-3)

    def test_cheby_under_other_settings_is_as_fitted_with_them(self, graph, everybody):
        other = ChebyCFConfig(factors=6, beta=0.1, alpha=0.5, flatness=2.0)
        kept = FACTORIES["cheby"](graph).fit(graph).with_config(other)
        fitted = ChebyCF(other).fit(graph)
        assert kept.recommend(everybody, k=10).table.equals(fitted.recommend(everybody, k=10).table)
        with pytest.raises(ConfigError, match=r"cheby\.factors"):
            kept.with_config(ChebyCFConfig(factors=7))

    @pytest.mark.parametrize("neighbours", [10, None])
    @pytest.mark.parametrize("centre", [True, False])
    def test_content_knn(self, graph, neighbours, centre):
        features = text_features(graph)
        rows = features.nodes - Numbering.of(graph).span("movie").start
        vectors = features.vectors.astype(np.float64)
        if centre:
            vectors = vectors - vectors.mean(axis=0)
        unit = np.zeros((len(graph.items), TEXT_DIM))
        unit[rows] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        likes = likes_matrix(graph)
        similar = unit @ unit.T
        if neighbours is not None:
            similar = nearest_only(similar, neighbours, likes.sum(axis=0) > 0)
        scores = likes @ similar.T
        scores[:, ~unit.any(axis=1)] = -np.inf
        scores[likes.sum(axis=1) == 0] = -np.inf
        channel = ContentKNN(features, ContentKNNConfig(neighbours=neighbours, centre=centre)).fit(graph)
        check_against(channel, graph, scores, none_at_zero=neighbours is not None)

    def attribute_vectors(self, graph):
        columns = {}
        for key in (GENRE, DIRECTOR, STARRING):
            for movie, other in zip(*graph.positive_edges(key), strict=True):
                columns.setdefault((key, other), set()).add(movie)
        for movie, other in zip(*graph.positive_edges(SEQUEL), strict=True):
            columns.setdefault((SEQUEL, other), set()).update((movie, other))
            columns.setdefault((SEQUEL, movie), set()).update((movie, other))
        count = len(graph.items)
        names = list(columns)
        idf = np.array([math.log(count / len(columns[name])) for name in names])
        vectors = np.zeros((count, len(names)))
        for at, name in enumerate(names):
            vectors[list(columns[name]), at] = idf[at]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return names, idf, vectors / np.where(norms > 0, norms, 1)

    def test_attribute_knn(self, graph):
        _, _, vectors = self.attribute_vectors(graph)
        likes = likes_matrix(graph)
        similar = np.round(vectors @ vectors.T, 12)
        # Wide enough to keep all: which of two neighbours of equal similarity is cut depends on rounding.
        kept = nearest_only(similar, 40, likes.sum(axis=0) > 0)
        channel = AttributeKNN(AttributeKNNConfig(neighbours=40)).fit(graph)
        check_against(channel, graph, likes @ kept.T, none_at_zero=True)

    def test_attributes_of_a_request(self, graph):
        names, idf, vectors = self.attribute_vectors(graph)
        wanted = {GENRE: np.array([2]), STARRING: np.array([1, 4])}
        profile = np.array([idf[at] if other in wanted.get(key, ()) else 0 for at, (key, other) in enumerate(names)])
        expected = vectors @ (profile / np.linalg.norm(profile))
        channel = FACTORIES["attribute_knn"](graph).fit(graph)
        answer = channel.recommend(asking(attributes=wanted), k=100)
        found = {row["item_id"]: row["score"] for row in answer}
        assert found
        for item, score in zip(graph.items.ids.to_pylist(), expected, strict=True):
            assert found.get(item, 0.0) == pytest.approx(score, abs=1e-5)

    def test_a_text_in_the_request(self, graph):
        for name in ("content_knn", "content_sum"):
            channel = FACTORIES[name](graph).fit(graph)
            answer = channel.recommend(asking(text="slow-burn space drama"), k=100)
            features = text_features(graph)
            mean = features.vectors.mean(axis=0)
            centred = features.vectors - mean
            centred /= np.linalg.norm(centred, axis=1, keepdims=True)
            asked = encode(["slow-burn space drama"])[0] - mean
            expected = centred @ (asked / np.linalg.norm(asked))
            ids = graph.items.take(features.nodes - Numbering.of(graph).span("movie").start).to_pylist()
            found = {row["item_id"]: row["score"] for row in answer}
            assert set(found) == set(ids)
            for item, score in zip(ids, expected, strict=True):
                assert found[item] == pytest.approx(score, abs=1e-5)

    def test_embeddings_rank_by_their_formula(self, graph):
        channel = embedding(graph).fit(graph)
        vectors = channel.embeddings
        scores = (vectors.users.astype("f8") @ vectors.items.T.astype("f8")) * vectors.item_scale
        scores[likes_matrix(graph).sum(axis=1) == 0] = -np.inf
        check_against(channel, graph, scores, none_at_zero=False)


def asking(history=(), text=None, attributes=None):
    lists = RaggedArray.from_pairs(
        np.zeros(len(history), dtype=np.int64), np.array(history, dtype=np.int64), num_rows=1
    )
    return Queries(
        key=["somebody"],
        user=np.array([-1]),
        history=lists,
        text=None if text is None else [text],
        attributes=None if attributes is None else [attributes],
    )


def twins(graph):
    """The graph with a copy of every movie: same likes, same attributes; item n + 40 is the twin of n."""
    count = len(graph.items)
    movies = graph.nodes["movie"]
    copies = movies.set_column(0, "id", pa.array([f"z{name}" for name in movies["id"].to_pylist()]))
    edges = {}
    for key, table in graph.edges.items():
        parts = [table]
        for side, end in (("src", key.source), ("dst", key.target)):
            if end == "movie" and key != SEQUEL:
                shifted = pa.array(table[side].to_numpy() + count)
                parts.append(table.set_column(table.column_names.index(side), side, shifted))
        edges[key] = pa.concat_tables(parts)
    return KnowledgeGraph(graph.schema, {**graph.nodes, "movie": pa.concat_tables([movies, copies])}, edges)


@pytest.mark.parametrize("name", ["popularity", "item_knn", "attribute_knn"])
def test_exact_ties_go_by_position(graph, name):
    doubled = twins(graph.without_relations({SEQUEL, HAS_TAG}))
    channel = FACTORIES[name](doubled)
    if name != "popularity":
        channel = type(channel)(type(channel.config)(neighbours=80))
    answer = channel.fit(doubled).recommend(histories(doubled, [3, 43], [8, 48]), k=80)
    for found in by_user(answer).values():
        place = {item: at for at, (item, _) in enumerate(found)}
        scores = dict(found)
        pairs = [(item, f"z{item}") for item in place if f"z{item}" in place]
        assert len(pairs) > 5
        for item, twin in pairs:
            assert scores[item] == scores[twin]
            assert place[item] < place[twin]


class TestRequests:
    def test_a_text_without_an_encoder_is_refused(self, graph):
        for name in ("content_knn", "embedding"):
            channel = FACTORIES[name](graph).fit(graph)
            channel.encode = None
            with pytest.raises(ConfigError, match="no text encoder"):
                channel.recommend(asking(text="space"), k=3)
            assert len(channel.recommend(asking(history=[1], text=" "), k=3)) == 3

    def test_attributes_that_do_not_exist(self, graph):
        channel = FACTORIES["attribute_knn"](graph).fit(graph)
        with pytest.raises(UnknownIdError, match="4 nodes"):
            channel.recommend(asking(attributes={GENRE: np.array([4])}), k=3)
        with pytest.raises(InvalidDataError, match="by relation"):
            channel.recommend(asking(attributes={"genre": np.array([1])}), k=3)

    def test_content_needs_features_to_fit(self, graph):
        with pytest.raises(ConfigError, match="text features"):
            ContentKNN().fit(graph)

    def test_attribute_relations_can_be_chosen(self, graph):
        channel = AttributeKNN(AttributeKNNConfig(relations=("director",))).fit(graph)
        directors = dict(zip(*graph.positive_edges(DIRECTOR), strict=True))
        for row in channel.recommend(histories(graph, [4]), k=40):
            assert directors[int(graph.items.index([row["item_id"]])[0])] == directors[4]
        with pytest.raises(ConfigError, match=r"'producer'.*director"):
            AttributeKNN(AttributeKNNConfig(relations=("producer",))).fit(graph)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ItemKNNConfig(neighbours=0),
            lambda: ItemKNNConfig(shrinkage=float("nan")),
            lambda: SpectralConfig(factors=0),
            lambda: SpectralConfig(alpha=-1),
            lambda: ChebyCFConfig(degree=0),
            lambda: ChebyCFConfig(alpha=float("nan")),
            lambda: ContentKNNConfig(neighbours=0),
            lambda: AttributeKNNConfig(neighbours=0),
        ],
    )
    def test_hyper_parameters_out_of_range(self, make):
        with pytest.raises(ConfigError, match=r"must be (at least|a finite number)"):
            make()


@pytest.fixture(scope="module")
def fitted(graph):
    return embedding(graph).fit(graph)


class TestEmbeddingChannel:
    def test_text_and_attributes_place_somebody(self, fitted, graph):
        answers = [
            [row["item_id"] for row in fitted.recommend(asking(**given), k=40)]
            for given in (
                {"text": "space"},
                {"attributes": {GENRE: np.array([1])}},
                {"text": "space", "attributes": {GENRE: np.array([1])}, "history": [3]},
            )
        ]
        assert [len(answer) for answer in answers] == [40, 40, 39]
        assert answers[0] != answers[1]

    def test_a_model_that_is_not_linear_takes_histories_only(self, graph):
        channel = FACTORIES["embedding_gcn"](graph).fit(graph)
        vectors = channel.embeddings
        expected = vectors.items[[2, 9]].mean(axis=0) @ vectors.scaled_items.T
        for row in channel.recommend(asking(history=[2, 9]), k=5):
            assert row["score"] == pytest.approx(expected[int(graph.items.index([row["item_id"]])[0])], rel=1e-4)
        with pytest.raises(ConfigError, match="not linear"):
            channel.recommend(asking(text="space"), k=3)

    def test_a_text_without_text_features_in_the_model(self, graph):
        channel = EmbeddingChannel(LightGCNConfig(dim=4), TrainingConfig(max_steps=1), steps=1, encode=encode).fit(
            graph
        )
        with pytest.raises(ConfigError, match="trained without text"):
            channel.recommend(asking(text="space"), k=3)

    def test_parts_that_do_not_belong_together(self, fitted, graph, movie_graph):
        other = movie_graph(movies=41)
        with pytest.raises(ArtifactError, match="other 'movie' nodes"):
            EmbeddingChannel.of(fitted.embeddings, other)
        index = ItemIndex.build(fitted.embeddings.index_vectors * 2)
        with pytest.raises(ArtifactError, match="other item vectors"):
            EmbeddingChannel.of(fitted.embeddings, graph, index=index)
        with pytest.raises(ArtifactError, match="39 vectors"):
            EmbeddingChannel.of(
                fitted.embeddings,
                graph,
                index=ItemIndex.build(fitted.embeddings.index_vectors[:39]),
            )

    def test_made_from_parts_it_answers_as_fitted(self, fitted, graph, everybody):
        made = EmbeddingChannel.of(fitted.embeddings, graph, index=fitted.index)
        assert made.recommend(everybody, k=8).table.equals(fitted.recommend(everybody, k=8).table)
