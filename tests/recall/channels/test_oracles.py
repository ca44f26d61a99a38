"""Each channel against a naive formula."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from kg.errors import ConfigError
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
    ItemKNN,
    ItemKNNConfig,
    Popularity,
    RP3Beta,
    RP3BetaConfig,
    ease,
)
from recall.pipeline import Pipeline
from tests.movie_relations import DIRECTOR, GENRE, HAS_TAG, SEQUEL, STARRING
from tests.recall.channels.making import (
    CASES,
    TEXT_DIM,
    alone,
    ask,
    asking,
    by_user,
    check_against,
    encode,
    fit_data,
    histories,
    liked_by,
    likes_matrix,
    made,
    nearest_only,
    seen_by,
    text_features,
    twins,
)


class TestOracles:
    def test_popularity_counts_positives(self, graph):
        scores = np.tile(likes_matrix(graph).sum(axis=0), (len(graph.users), 1))
        check_against(alone(Popularity(), graph), graph, scores, none_at_zero=False)

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
        answer = by_user(ask(alone(RP3Beta(config), graph), everybody, k=40))
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
        answer = by_user(ask(alone(EASE(EASEConfig(regularisation=5.0, weights=weights)), graph), everybody, k=40))
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
            alone(EASE(EASEConfig(regularisation=1e-12)), graph)

    def test_item_knn(self, graph):
        likes = likes_matrix(graph)
        both = likes.T @ likes
        count = likes.sum(axis=0)
        similar = both / (np.sqrt(np.outer(count, count)) + 2.0)
        kept = nearest_only(similar, 15, count > 0)
        check_against(made("item_knn", graph), graph, likes @ kept.T, none_at_zero=True)
        mean = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12)
        channel = alone(ItemKNN(ItemKNNConfig(neighbours=15, shrinkage=2.0, mean=True)), graph)
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
        check_against(made("spectral", graph), graph, scores, none_at_zero=False)

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
        check_against(alone(ChebyCF(config), graph), graph, scores, none_at_zero=False, absolute=1e-3)

    def test_cheby_under_other_settings_is_as_fitted_with_them(self, graph, everybody):
        other = ChebyCFConfig(factors=6, beta=0.1, alpha=0.5, flatness=2.0)
        channel = CASES["cheby"]().fit(fit_data(graph))
        kept = Pipeline([channel.with_config(other)], channel.history)
        assert ask(kept, everybody, k=10).table.equals(ask(alone(ChebyCF(other), graph), everybody, k=10).table)
        with pytest.raises(ConfigError, match=r"cheby\.factors"):
            channel.with_config(ChebyCFConfig(factors=7))

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
        channel = alone(ContentKNN(ContentKNNConfig(neighbours=neighbours, centre=centre)), graph)
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
        channel = alone(AttributeKNN(AttributeKNNConfig(neighbours=40)), graph)
        check_against(channel, graph, likes @ kept.T, none_at_zero=True)

    def test_attributes_of_a_request(self, graph):
        names, idf, vectors = self.attribute_vectors(graph)
        wanted = {GENRE: np.array([2]), STARRING: np.array([1, 4])}
        profile = np.array([idf[at] if other in wanted.get(key, ()) else 0 for at, (key, other) in enumerate(names)])
        expected = vectors @ (profile / np.linalg.norm(profile))
        channel = made("attribute_knn", graph)
        answer = ask(channel, asking(attributes=wanted), k=100)
        found = {row["item_id"]: row["score"] for row in answer}
        assert found
        for item, score in zip(graph.items.ids.to_pylist(), expected, strict=True):
            assert found.get(item, 0.0) == pytest.approx(score, abs=1e-5)

    def test_a_text_in_the_request(self, graph):
        for name in ("content_knn", "content_sum"):
            channel = made(name, graph)
            answer = ask(channel, asking(text="slow-burn space drama"), k=100)
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

    def test_vectors_rank_by_their_formula(self, graph):
        pipeline = made("lightgcn", graph)
        vectors = pipeline.channels["lightgcn"].embeddings
        scores = (vectors.users.astype("f8") @ vectors.items.T.astype("f8")) * vectors.item_scale
        scores[likes_matrix(graph).sum(axis=1) == 0] = -np.inf
        check_against(pipeline, graph, scores, none_at_zero=False)


@pytest.mark.parametrize("name", ["popularity", "item_knn", "attribute_knn"])
def test_exact_ties_go_by_position(graph, name):
    doubled = twins(graph.without_relations({SEQUEL, HAS_TAG}))
    channel = CASES[name]()
    if name != "popularity":
        channel = type(channel)(type(channel.config)(neighbours=80))
    answer = ask(alone(channel, doubled), histories(doubled, [3, 43], [8, 48]), k=80)
    for found in by_user(answer).values():
        place = {item: at for at, (item, _) in enumerate(found)}
        scores = dict(found)
        pairs = [(item, f"z{item}") for item in place if f"z{item}" in place]
        assert len(pairs) > 5
        for item, twin in pairs:
            assert scores[item] == scores[twin]
            assert place[item] < place[twin]
