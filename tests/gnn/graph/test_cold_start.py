from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import top_items
from gnn.evaluation.validation import Validation
from gnn.graph.cold_start import SCALES, choose_scale, place_cold_items, untouched_items
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.fold_in import fold_in_items, fold_in_users
from gnn.graph.lightgcn import LightGCNConfig, chosen_relations
from gnn.graph.shares import Shares, split_scores
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RaggedArray, RelationKey, hide_items
from kg.errors import ConfigError
from kg.topology.adjacency import Adjacency, Numbering

PLACING = ("genre", "director")
MODEL = LightGCNConfig(dim=8, relations=PLACING, knowledge="cold_items")
BARE = LightGCNConfig(dim=8, relations=(), text=False)
TRAINING = TrainingConfig(max_steps=30, batch_size=64, negatives=0, cold_weight=0.0)


@pytest.fixture(scope="module")
def cold_graph(toy_graph: KnowledgeGraph) -> KnowledgeGraph:
    """A quarter of the movies without any trace of users."""
    return hide_items(toy_graph, fraction=0.25, seed=1).view(toy_graph, "train")


@pytest.fixture(scope="module")
def features(cold_graph: KnowledgeGraph) -> SimpleNamespace:
    """Text vectors of all movies but two, and of a person, who is no item."""
    numbering = Numbering.of(cold_graph)
    movies = np.arange(numbering.span("movie").start, numbering.span("movie").stop)[:-2]
    nodes = np.concatenate([movies, [numbering.span("person").start]])
    vectors = np.random.default_rng(0).normal(size=(len(nodes), 5)).astype(np.float32)
    return SimpleNamespace(nodes=nodes, vectors=vectors)


@pytest.fixture(scope="module")
def placed(cold_graph: KnowledgeGraph, features: SimpleNamespace) -> Embeddings:
    return fit(cold_graph, MODEL, TRAINING, features=features, cold_scale=1.5, context=RunContext(seed=3))


@pytest.fixture(scope="module")
def bare(cold_graph: KnowledgeGraph) -> Embeddings:
    return fit(cold_graph, BARE, TRAINING, context=RunContext(seed=3))


def attributes_of(graph: KnowledgeGraph, item: int) -> dict[RelationKey, np.ndarray]:
    ends = {}
    for key in chosen_relations(graph, PLACING):
        if key.name in PLACING:
            source, target = graph.positive_edges(key)
            ends[key] = target[source == item] if key.source == "movie" else source[target == item]
    return ends


def test_touched_items_and_users_keep_their_vectors_to_the_bit(
    cold_graph: KnowledgeGraph, placed: Embeddings, bare: Embeddings
) -> None:
    untouched = untouched_items(cold_graph)
    assert placed.cold is not None
    assert placed.cold[untouched].all()
    assert not placed.cold[~untouched].any()
    np.testing.assert_array_equal(placed.users, bare.users)
    np.testing.assert_array_equal(placed.scaled_items[~untouched], bare.scaled_items[~untouched])
    assert not bare.items[untouched].any()
    assert placed.items[untouched].any(axis=1).all()


def test_untouched_items_stand_where_the_normal_equations_say(
    cold_graph: KnowledgeGraph, features: SimpleNamespace, placed: Embeddings, bare: Embeddings
) -> None:
    items, degree, attributes = len(cold_graph.items), {}, np.zeros((len(cold_graph.items), len(placed.final)))
    edges = []
    for item in range(items):
        for key, others in attributes_of(cold_graph, item).items():
            span = placed.numbering.span(key.target if key.source == "movie" else key.source)
            edges += [(item, int(other) + span.start, key) for other in others]
    for item, node, key in edges:
        ours = sum(i == item and k == key for i, _, k in edges)
        theirs = sum(n == node and k == key for _, n, k in edges)
        degree[node] = sum(n == node for _, n, _ in edges)
        attributes[item, node] += (degree[node] / (ours * theirs)) ** 0.5
    texts = np.zeros((items, 5))
    texts[: items - 2] = features.vectors[:-1]
    x = np.hstack([texts, TRAINING.cold_attributes**0.5 * attributes])
    counts = np.bincount(cold_graph.interactions.item, minlength=items)
    touched = ~untouched_items(cold_graph)
    weight = np.maximum(counts[touched], 1) ** TRAINING.cold_reliability
    weight /= weight.mean()
    left = (x[touched] * weight[:, None]).T @ x[touched] + TRAINING.cold_ridge * np.eye(x.shape[1])
    expected = x @ np.linalg.solve(left, (x[touched] * weight[:, None]).T @ bare.scaled_items[touched].astype(float))
    np.testing.assert_allclose(placed.items[~touched], expected[~touched], atol=2e-3 * np.abs(expected).max())
    np.testing.assert_allclose(placed.scaled_items[~touched], 1.5 * placed.items[~touched], rtol=1e-6)


def test_what_places_an_item_folds_one_in_and_splits_its_score(
    cold_graph: KnowledgeGraph, features: SimpleNamespace, placed: Embeddings
) -> None:
    adjacency = Adjacency.of(cold_graph)
    cold = np.flatnonzero(untouched_items(cold_graph))
    text = np.zeros((len(cold_graph.items), 5), dtype=np.float32)
    text[:-2] = features.vectors[:-1]
    folded = fold_in_items(
        placed, adjacency, text=text[cold], attributes=[attributes_of(cold_graph, item) for item in cold]
    )
    np.testing.assert_allclose(folded, placed.items[cold], rtol=1e-4, atol=1e-6)
    touched = int(np.flatnonzero(placed.items.any(axis=1) & ~untouched_items(cold_graph))[0])
    pairs = [(user, int(item)) for user in range(5) for item in (*cold[:4], touched)]
    for (user, item), shares in zip(pairs, split_scores(placed, adjacency, pairs), strict=True):
        assert isinstance(shares, Shares)
        total = abs(shares.item_own) + sum(abs(share.value) for share in shares.neighbours)
        assert shares.score == pytest.approx(float(placed.users[user] @ placed.scaled_items[item]), abs=1e-4 * total)
        assert shares.item_own + sum(s.value for s in shares.neighbours) == pytest.approx(shares.score, abs=1e-9)
        kinds = {share.relation.name for share in shares.neighbours}
        assert kinds <= ({"rated"} if item == touched else set(PLACING))
    likes = RaggedArray.from_pairs(np.zeros(1, dtype=np.int64), cold[:1], num_rows=1)
    assert fold_in_users(placed, adjacency, histories=likes).any()


def test_an_item_that_was_rated_badly_is_not_cold(toy_graph: KnowledgeGraph) -> None:
    interactions = toy_graph.interactions
    item = int(interactions.item[~interactions.positive][0])
    key = toy_graph.schema.interaction_key
    kept = {key: (interactions.item != item) | ~interactions.positive}
    assert not untouched_items(toy_graph.keep_edges(kept))[item]
    events = {k: toy_graph.event_columns(k) for k in toy_graph.edges}
    kept = {k: columns[1] != item for k, columns in events.items() if columns is not None}
    assert untouched_items(toy_graph.keep_edges(kept))[item]


def test_texts_alone_or_attributes_alone_place_what_has_them(
    cold_graph: KnowledgeGraph, features: SimpleNamespace, bare: Embeddings
) -> None:
    texts = place_cold_items(bare, cold_graph, TRAINING, relations=(), features=features)
    assert texts.linear is not None
    assert texts.cold is not None
    assert texts.linear.relations == bare.linear.relations  # type: ignore[union-attr]
    assert not texts.cold[-2:].any()  # these two have no text
    keys = chosen_relations(cold_graph, PLACING)
    attributes = place_cold_items(bare, cold_graph, TRAINING, relations=keys)
    assert attributes.linear is not None
    assert attributes.cold is not None
    assert attributes.linear.text_projection is None
    assert attributes.cold.any()
    nothing = place_cold_items(bare, cold_graph, TRAINING, relations=())
    assert not nothing.cold.any()  # type: ignore[union-attr]
    np.testing.assert_array_equal(nothing.final, bare.final)


def test_the_factor_is_the_largest_that_costs_no_more_than_allowed(movie_graph: Callable[..., KnowledgeGraph]) -> None:
    whole = movie_graph(users=60, movies=300, ratings=20)
    interactions = whole.interactions
    later = np.arange(len(interactions)) % 4 == 0
    cold = interactions.item % 5 == 0
    view = whole.keep_edges({whole.schema.interaction_key: ~later & ~cold})

    def lists(rows: np.ndarray) -> RaggedArray:
        return RaggedArray.from_pairs(interactions.user[rows], interactions.item[rows], num_rows=len(whole.users))

    validation = Validation(truth=lists(interactions.positive & later & ~cold), seen=lists(~later))
    training = TRAINING.changed(cold_cost=0.1)
    embeddings = fit(view, MODEL, training, validation=validation)
    users = np.flatnonzero(validation.truth.counts)

    def recall(scale: float) -> float:
        """By ranking everything; without the placed items where the factor is 0."""
        seen = validation.seen.take(users)
        if not scale:
            pairs = [(row, item) for row in range(len(users)) for item in np.flatnonzero(embeddings.cold).tolist()]
            rows, items = np.array(pairs).T
            seen = RaggedArray.from_pairs(
                np.concatenate([seen.rows(), rows]), np.concatenate([seen.values, items]), num_rows=len(users)
            )
        vectors = embeddings.with_cold_scale(scale or 1.0).scaled_items
        ranked = top_items(embeddings.users[users], vectors, 20, seen=seen)
        return float(per_user_metrics(ranked, validation.truth.take(users), 20)["recall"].mean())

    facts = embeddings.facts["cold_items"]
    assert facts["scale"] == embeddings.cold_scale
    assert SCALES[0] < embeddings.cold_scale < SCALES[-1]
    assert facts["recall@20 without them"] == pytest.approx(recall(0))
    assert facts["recall@20"] == pytest.approx(recall(embeddings.cold_scale))
    assert recall(embeddings.cold_scale) >= 0.9 * recall(0)
    louder = SCALES[SCALES.searchsorted(embeddings.cold_scale) + 1 :]
    assert max(recall(scale) for scale in louder.tolist()) < 0.9 * recall(0)
    strict, _, _ = choose_scale(embeddings, validation, training.changed(cold_cost=0.0))
    assert strict <= embeddings.cold_scale


def test_a_placed_model_survives_being_saved(placed: Embeddings, tmp_path: Path) -> None:
    placed.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    assert loaded.linear is not None
    assert placed.linear is not None
    assert loaded.linear.placing == placed.linear.placing != ()
    np.testing.assert_array_equal(loaded.linear.placed, placed.linear.placed)
    np.testing.assert_array_equal(loaded.with_cold_scale(0.7).item_scale, placed.with_cold_scale(0.7).item_scale)
    np.testing.assert_array_equal(loaded.item_scale, placed.item_scale)


def test_only_a_model_of_the_interactions_alone_is_placed_beside(
    cold_graph: KnowledgeGraph, placed: Embeddings, bare: Embeddings
) -> None:
    for wrong in (placed, replace(bare, linear=None)):
        with pytest.raises(ConfigError, match="interactions alone"):
            place_cold_items(wrong, cold_graph, TRAINING, relations=())
    with pytest.raises(ConfigError, match=r"channels.lightgcn.knowledge"):
        LightGCNConfig(knowledge="nowhere")  # type: ignore[arg-type]
