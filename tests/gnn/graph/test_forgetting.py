"""Trained vectors without some users, against a model that was never propagated over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gnn.graph.cold_start import untouched_items
from gnn.graph.embeddings import Embeddings, item_prior, item_scale
from gnn.graph.fit import fit
from gnn.graph.forgetting import forget_in_embeddings, forget_in_features, forget_in_parameters, kept_rows
from gnn.graph.gcn import GCNConfig
from gnn.graph.lightgcn import LightGCNConfig
from gnn.graph.shares import split_scores
from gnn.settings import TrainingConfig
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RelationKey
from kg.privacy.users import without_users
from kg.topology.adjacency import Adjacency, Numbering

RATED = RelationKey("user", "rated", "movie")
Linear = Callable[..., Embeddings]
TRAINING = TrainingConfig(max_steps=4, batch_size=64, negatives=16)


@pytest.fixture(scope="module")
def graph(toy_graph: KnowledgeGraph) -> KnowledgeGraph:
    """Some movies are touched by user 3 alone."""
    masks = {}
    for key in toy_graph.edges:
        if (columns := toy_graph.event_columns(key)) is not None:
            user, item = columns
            masks[key] = (user == 3) | ~np.isin(item, [0, 1, 2, 3, 4, 5, 6, 7])
    return toy_graph.keep_edges(masks)


@pytest.fixture(scope="module")
def lonely(graph: KnowledgeGraph) -> np.ndarray:
    """Movies that nobody but user 3 touched."""
    left, _ = without_users(graph, np.array([3]))
    untouched = untouched_items(left) & ~untouched_items(graph)
    assert untouched.any()
    return untouched


@pytest.fixture(scope="module")
def features(graph: KnowledgeGraph) -> TextFeatures:
    """Text vectors of every other node, users among them."""
    nodes = np.arange(0, len(Numbering.of(graph)), 2)
    vectors = np.random.default_rng(0).normal(size=(len(nodes), 5)).astype(np.float32)
    return TextFeatures(nodes=nodes, vectors=vectors, model="")


@pytest.mark.parametrize("gone", [[3], [0, 3, 17], [29]])
@pytest.mark.parametrize("prior", [0.0, 0.2])
def test_the_others_stand_where_a_propagation_without_those_who_go_puts_them(
    graph: KnowledgeGraph, linear_model: Linear, gone: list[int], prior: float
) -> None:
    embeddings = linear_model(graph, prior=prior)
    after, kept = without_users(graph, np.array(gone))
    rows = kept_rows(graph, kept)
    assert embeddings.linear is not None
    base = embeddings.linear.base[rows]
    alone = untouched_items(after) & ~untouched_items(graph)
    base[Numbering.of(after).span("movie")][alone] = 0  # its own was learned from those who go
    expected = linear_model(after, prior=prior, base=base)
    forgotten = forget_in_embeddings(embeddings, graph, after, kept)
    assert expected.linear is not None
    assert forgotten.linear is not None
    for name in ("base", "tail", "tail2"):
        np.testing.assert_allclose(
            getattr(forgotten.linear, name), getattr(expected.linear, name), rtol=1e-4, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(forgotten.final, expected.final, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forgotten.item_scale, expected.item_scale, rtol=1e-3)
    likes = np.bincount(after.interactions.item[after.interactions.positive], minlength=len(after.items))
    np.testing.assert_allclose(forgotten.item_prior, item_prior(likes, prior))
    forgotten.check_graph(after)


def test_the_shares_of_a_score_still_add_up(graph: KnowledgeGraph, linear_model: Linear) -> None:
    after, kept = without_users(graph, np.array([3]))
    forgotten = forget_in_embeddings(linear_model(graph), graph, after, kept)
    pairs = [(user, item) for user in range(5) for item in range(5)]
    adjacency = Adjacency.of(after)
    for (user, item), shares in zip(pairs, split_scores(forgotten, adjacency, pairs), strict=True):
        score = float(forgotten.users[user] @ forgotten.scaled_items[item])
        assert shares.score == pytest.approx(score, abs=1e-5)
        assert shares.own + sum(share.value for share in shares.history) == pytest.approx(score, abs=1e-5)


def test_placed_items_stay_and_those_whom_nobody_touches_any_more_are_placed(
    graph: KnowledgeGraph, features: TextFeatures, lonely: np.ndarray
) -> None:
    model = LightGCNConfig(dim=8, relations=("genre", "director"), knowledge="cold_items")
    embeddings = fit(graph, model, TRAINING, features=features, cold_scale=1.5, context=RunContext(seed=3))
    after, kept = without_users(graph, np.array([3]))
    forgotten = forget_in_embeddings(
        embeddings, graph, after, kept, features=forget_in_features(features, kept_rows(graph, kept))
    )
    before, linear = embeddings.linear, forgotten.linear
    assert before is not None
    assert linear is not None
    assert embeddings.cold is not None
    assert forgotten.cold is not None
    assert linear.placed is not None
    np.testing.assert_array_equal(forgotten.items[embeddings.cold], embeddings.items[embeddings.cold])
    np.testing.assert_array_equal(forgotten.cold, embeddings.cold | lonely)
    items = forgotten.numbering.span("movie")
    np.testing.assert_array_equal(linear.placed[items], forgotten.cold)
    np.testing.assert_array_equal(forgotten.item_scale[forgotten.cold], np.float32(1.5))
    at = dict(zip(*[part.tolist() for part in (features.nodes, np.arange(len(features.nodes)))], strict=True))
    shift = Numbering.of(graph).span("movie").start
    assert before.text_projection is not None
    for item in np.flatnonzero(lonely):
        own = np.zeros(8)
        if shift + item in at:
            own = features.vectors[at[shift + item]] @ before.text_projection
        received = np.zeros(8)
        for key in before.placing:
            source, target = after.positive_edges(key)
            span = forgotten.numbering.span(key.target).start
            mine = target[source == item]
            for other in mine:
                received += linear.base[span + other] / np.sqrt(len(mine) * (target == other).sum())
        expected = before.alphas[0] * own + before.alphas[1] * received
        np.testing.assert_allclose(forgotten.items[item], expected, rtol=1e-4, atol=1e-6)


def test_a_model_that_is_not_linear_keeps_the_vectors_of_the_others(graph: KnowledgeGraph) -> None:
    embeddings = fit(graph, GCNConfig(dim=8), TRAINING, context=RunContext(seed=3))
    after, kept = without_users(graph, np.array([3, 4]))
    forgotten = forget_in_embeddings(embeddings, graph, after, kept)
    np.testing.assert_array_equal(forgotten.final, embeddings.final[kept_rows(graph, kept)])
    likes = np.bincount(after.interactions.item[after.interactions.positive], minlength=len(after.items))
    np.testing.assert_array_equal(forgotten.cold, likes == 0)
    np.testing.assert_allclose(
        forgotten.item_scale,
        item_scale(forgotten.items, embeddings.beta, cold=likes == 0, cold_scale=embeddings.cold_scale),
    )


def test_text_vectors_stay_with_their_nodes(graph: KnowledgeGraph, features: TextFeatures) -> None:
    after, kept = without_users(graph, np.array([0, 2, 3]))
    rows = kept_rows(graph, kept)
    forgotten = forget_in_features(features, rows)
    old, new = Numbering.of(graph), Numbering.of(after)
    expected = {}
    for node, vector in zip(features.nodes.tolist(), features.vectors, strict=True):
        if rows[node]:
            name, at = old.locate(node)
            expected[name, graph.vocabulary(name).ids[at].as_py()] = vector.tolist()
    vectors = {}
    for node, vector in zip(forgotten.nodes.tolist(), forgotten.vectors, strict=True):
        name, at = new.locate(node)
        vectors[name, after.vocabulary(name).ids[at].as_py()] = vector.tolist()
    assert vectors == expected


def test_what_a_later_training_begins_with_has_nothing_of_those_who_go(
    graph: KnowledgeGraph, lonely: np.ndarray, tmp_path: Path
) -> None:
    embeddings = fit(graph, LightGCNConfig(dim=8), TRAINING, context=RunContext(seed=3))
    assert embeddings.parameters is not None
    after, kept = without_users(graph, np.array([3]))
    forgotten = forget_in_parameters(embeddings.parameters, graph, after, kept)
    forgotten.save(tmp_path)
    loaded = type(forgotten).load(tmp_path, after)
    begun = loaded.starts(after, loaded.relations)
    before = embeddings.parameters.starts(after, loaded.relations)
    items = Numbering.of(after).span("movie")
    alone = np.zeros(len(Numbering.of(after)), dtype=bool)
    alone[items] = lonely
    for name, value in before.items():
        expected = np.where(alone[:, None], 0, value) if name == "layer0.free" else value
        np.testing.assert_array_equal(begun[name], expected)
    assert not loaded.tensors["layer0.free"][alone].any()
    assert np.abs(before["layer0.free"][alone]).sum() > 0


def test_vectors_are_saved_and_loaded_without_those_who_go(
    graph: KnowledgeGraph, linear_model: Linear, tmp_path: Path
) -> None:
    after, kept = without_users(graph, np.array([3]))
    forgotten = forget_in_embeddings(linear_model(graph), graph, after, kept)
    forgotten.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    loaded.check_graph(after)
    np.testing.assert_array_equal(loaded.final, forgotten.final)
