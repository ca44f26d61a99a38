from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.fold_in import fold_in_items, fold_in_users, split_fold_in
from gnn.graph.shares import Shares, split_scores
from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.errors import ConfigError, InvalidDataError
from kg.topology.adjacency import Adjacency

Model = Callable[..., Embeddings]

RATED = RelationKey("user", "rated", "movie")
GENRE = RelationKey("movie", "genre", "genre")
DIRECTOR = RelationKey("movie", "director", "person")
SEQUEL = RelationKey("movie", "sequel_of", "movie")
KNOWLEDGE = (RATED, GENRE, DIRECTOR)
NOBODY = RaggedArray.empty(1)


def lists(*rows: list[int]) -> RaggedArray:
    row = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    return RaggedArray.from_pairs(row, np.array([i for r in rows for i in r], dtype=np.int64), num_rows=len(rows))


def base_without(graph: KnowledgeGraph, node_type: str, *, seed: int = 0, dim: int = 6) -> np.ndarray:
    """Layer-0 vectors in which one node type has no free embedding."""
    numbering = Adjacency.of(graph).numbering
    base = np.random.default_rng(seed).normal(size=(len(numbering), dim))
    base[numbering.span(node_type)] = 0
    return base


def attributes_of(graph: KnowledgeGraph, item: int, keys: tuple[RelationKey, ...]) -> dict[RelationKey, np.ndarray]:
    ends = {}
    for key in keys:
        source, target = graph.positive_edges(key)
        ends[key] = target[source == item] if key.source == "movie" else source[target == item]
    return ends


@pytest.mark.parametrize("alphas", [(0.5, 0.5), (0.4, 0.3, 0.3), (0.0, 0.2, 0.3, 0.5)])
def test_a_user_without_free_embedding_is_folded_in_to_the_trained_vector(
    toy_graph: KnowledgeGraph, linear_model: Model, alphas: tuple[float, ...]
) -> None:
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, alphas=alphas, base=base_without(toy_graph, "user"))
    user, item = toy_graph.positive_edges(RATED)
    histories = RaggedArray.from_pairs(user, item, num_rows=toy_graph.num_nodes("user"))
    placed = fold_in_users(embeddings, Adjacency.of(toy_graph), histories=histories)
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed, embeddings.users, rtol=1e-5, atol=1e-6)


def test_the_split_of_somebody_folded_in_is_that_of_the_trained_user(
    toy_graph: KnowledgeGraph, linear_model: Model
) -> None:
    # Users without own vector whose edges are all in their histories.
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, base=base_without(toy_graph, "user"))
    embeddings = replace(embeddings, prior=0.3, item_prior=np.linspace(-0.5, 1, 40).astype(np.float32))
    adjacency = Adjacency.of(toy_graph)
    user, item = toy_graph.positive_edges(RATED)
    histories = RaggedArray.from_pairs(user, item, num_rows=toy_graph.num_nodes("user"))
    people, items = np.array([0, 3, 3, 11]), np.array([5, 5, 17, 39])
    folded = split_fold_in(embeddings, adjacency, items, histories=histories.take(people))
    trained = split_scores(embeddings, adjacency, list(zip(people.tolist(), items.tolist(), strict=True)))
    for ours, theirs in zip(folded, trained, strict=True):
        assert isinstance(ours, Shares)
        assert isinstance(theirs, Shares)
        assert [share[:2] for share in ours.history] == [share[:2] for share in theirs.history]
        for name in ("score", "own", "item_own", "cross", "prior"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(ours.pairs, theirs.pairs, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose([s.value for s in ours.history], [s.value for s in theirs.history], rtol=1e-9)


def test_what_a_description_adds_is_a_share_of_its_own(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    projection = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, text_projection=projection)
    adjacency = Adjacency.of(toy_graph)
    asked = {
        "text": np.ones((1, 5), dtype=np.float32),
        "attributes": [{GENRE: np.array([2, 0])}],
    }
    (split,) = split_fold_in(embeddings, adjacency, np.array([7]), histories=lists([4, 9]), **asked)
    # Beside the same history, what is described makes the difference of the vectors.
    whole = fold_in_users(embeddings, adjacency, histories=lists([4, 9]), **asked)[0].astype(np.float64)
    history = fold_in_users(embeddings, adjacency, histories=lists([4, 9]))[0].astype(np.float64) * (2 / 3) ** 0.5
    item = embeddings.items[7].astype(np.float64) * embeddings.item_scale[7]
    assert isinstance(split, Shares)
    assert split.own == pytest.approx((whole - history) @ item, rel=1e-4)
    assert split.score == pytest.approx(whole @ item, rel=1e-4)


@pytest.mark.parametrize("alphas", [(0.5, 0.5), (0.4, 0.3, 0.3), (0.1, 0.2, 0.3, 0.4)])
def test_items_without_free_embedding_are_folded_in_to_the_trained_vectors(
    toy_graph: KnowledgeGraph, linear_model: Model, alphas: tuple[float, ...]
) -> None:
    random = np.random.default_rng(3)
    text = random.normal(size=(40, 5)).astype(np.float32)
    projection = random.normal(size=(5, 6)).astype(np.float32)
    base = base_without(toy_graph, "movie")
    base[Adjacency.of(toy_graph).numbering.span("movie")] = text @ projection
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, alphas=alphas, base=base, text_projection=projection)
    attributes = [attributes_of(toy_graph, item, KNOWLEDGE) for item in range(40)]
    placed = fold_in_items(embeddings, Adjacency.of(toy_graph), text=text, attributes=attributes)
    np.testing.assert_allclose(placed, embeddings.items, rtol=1e-4, atol=1e-5)


def test_a_description_counts_like_an_average_liked_item(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    random = np.random.default_rng(1)
    projection = random.normal(size=(5, 6)).astype(np.float32)
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, text_projection=projection)
    adjacency = Adjacency.of(toy_graph)
    text = random.normal(size=(1, 5)).astype(np.float32)
    genres = np.array([2, 0])
    placed = fold_in_users(embeddings, adjacency, histories=lists([4, 9]), text=text, attributes=[{GENRE: genres}])
    linear = embeddings.linear
    assert linear is not None
    w_rated, w_genre = float(linear.weights[0]), float(linear.weights[1])
    span = adjacency.numbering.span
    likes = adjacency.degree[adjacency.relations.index(RATED)]
    mean = np.mean([likes[span("movie").start + m] ** -0.5 for m in toy_graph.positive_edges(RATED)[1]])
    h = float(linear.alphas[1]) * (text[0] @ projection)
    for genre in genres:
        node = span("genre").start + genre
        degree = adjacency.degree[adjacency.relations.index(GENRE), node]
        h = h + w_genre / (2 * degree) ** 0.5 * linear.tail2[node]
    expected = w_rated * mean / 3**0.5 * h
    for movie in (4, 9):
        node = span("movie").start + movie
        expected = expected + w_rated / (3 * likes[node]) ** 0.5 * linear.tail[node]
    np.testing.assert_allclose(placed[0], expected, rtol=1e-4)


def test_nothing_known_gives_zero_and_rows_do_not_mix(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    projection = np.ones((5, 6), dtype=np.float32)
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE, text_projection=projection)
    adjacency = Adjacency.of(toy_graph)
    text = np.zeros((3, 5), dtype=np.float32)
    text[1] = 1
    attributes = [{}, {GENRE: np.array([1, 1])}, {}]
    batch = fold_in_users(embeddings, adjacency, histories=lists([], [3], [3]), text=text, attributes=attributes)
    assert not batch[0].any()
    alone = fold_in_users(
        embeddings, adjacency, histories=lists([3]), text=text[1:2], attributes=[{GENRE: np.array([1])}]
    )
    np.testing.assert_allclose(batch[1], alone[0], rtol=1e-6)  # a doubled attribute counts once
    np.testing.assert_allclose(batch[2], fold_in_users(embeddings, adjacency, histories=lists([3]))[0], rtol=1e-6)
    assert fold_in_users(embeddings, adjacency, histories=lists()).shape == (0, 6)


def test_items_that_nobody_has_touched_can_be_liked(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    cold = toy_graph.keep_edges({RATED: np.asarray(toy_graph.edges[RATED]["dst"]) != 6})
    embeddings = linear_model(cold, relations=KNOWLEDGE)
    placed = fold_in_users(embeddings, Adjacency.of(cold), histories=lists([6]))
    assert np.isfinite(placed).all()
    assert placed.any()


def test_relations_of_the_item_type_at_either_end(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings = linear_model(toy_graph, relations=(*KNOWLEDGE, SEQUEL))
    adjacency = Adjacency.of(toy_graph)
    placed = fold_in_items(embeddings, adjacency, attributes=[{SEQUEL: np.array([2])}, {}])
    assert placed[0].any()
    assert not placed[1].any()
    unused = RelationKey("movie", "starring", "person")
    assert not fold_in_items(embeddings, adjacency, attributes=[{unused: np.array([2])}]).any()


def test_wrong_requests_say_what_is_wrong(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings = linear_model(toy_graph, relations=KNOWLEDGE)
    adjacency = Adjacency.of(toy_graph)
    with pytest.raises(ConfigError, match="not linear, so text and attributes place nobody"):
        fold_in_users(replace(embeddings, linear=None), adjacency, histories=NOBODY, attributes=[{}])
    with pytest.raises(ConfigError, match="only a linear model"):
        fold_in_items(replace(embeddings, linear=None), adjacency, attributes=[{}])
    with pytest.raises(InvalidDataError, match="position 40, there are 40 nodes of 'movie'"):
        fold_in_users(embeddings, adjacency, histories=lists([40]))
    with pytest.raises(InvalidDataError, match="without text features"):
        fold_in_users(embeddings, adjacency, histories=NOBODY, text=np.ones((1, 5), dtype=np.float32))
    with pytest.raises(InvalidDataError, match="no relation of 'movie' here"):
        fold_in_users(
            embeddings, adjacency, histories=NOBODY, attributes=[{RelationKey("movie", "mood", "mood"): np.array([0])}]
        )
    with pytest.raises(InvalidDataError, match="position -1"):
        fold_in_users(embeddings, adjacency, histories=NOBODY, attributes=[{GENRE: np.array([-1])}])
    with pytest.raises(InvalidDataError, match="2 rows, the batch has 1"):
        fold_in_users(embeddings, adjacency, histories=NOBODY, attributes=[{}, {}])
    with pytest.raises(InvalidDataError, match="a text or attributes"):
        fold_in_items(embeddings, adjacency)
    texts = linear_model(toy_graph, relations=KNOWLEDGE, text_projection=np.ones((5, 6), dtype=np.float32))
    with pytest.raises(InvalidDataError, match=r"shape \(1, 4\), the model needs \(1, 5\)"):
        fold_in_users(texts, adjacency, histories=NOBODY, text=np.ones((1, 4), dtype=np.float32))
    with pytest.raises(InvalidDataError, match="not finite"):
        fold_in_users(texts, adjacency, histories=NOBODY, text=np.full((1, 5), np.nan, dtype=np.float32))


def test_without_a_linear_model_a_new_user_is_the_mean_of_the_liked_items(
    toy_graph: KnowledgeGraph, linear_model: Model
) -> None:
    embeddings = replace(linear_model(toy_graph), linear=None)
    placed = fold_in_users(embeddings, Adjacency.of(toy_graph), histories=lists([3, 8], [], [5]))
    np.testing.assert_allclose(placed[0], embeddings.items[[3, 8]].mean(axis=0), rtol=1e-6)
    assert not placed[1].any()
    np.testing.assert_allclose(placed[2], embeddings.items[5], rtol=1e-6)
    with pytest.raises(InvalidDataError, match="position 40"):
        fold_in_users(embeddings, Adjacency.of(toy_graph), histories=lists([40]))


def test_the_interaction_must_be_clear(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings, adjacency = linear_model(toy_graph), Adjacency.of(toy_graph)
    with pytest.raises(ConfigError, match="2 relations from user to movie"):
        fold_in_users(embeddings, adjacency, histories=lists([3]))
    assert fold_in_users(embeddings, adjacency, histories=lists([3]), interaction=RATED).any()
    with pytest.raises(ConfigError, match="no relation of the model"):
        fold_in_users(embeddings, adjacency, histories=lists([3]), interaction=GENRE)
