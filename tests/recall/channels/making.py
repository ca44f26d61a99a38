"""Fitted channels on a small graph, one case for each registered kind, and what the tests ask them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gnn.sequence.settings import SequenceTraining
from gnn.settings import TrainingConfig
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, RaggedArray
from kg.topology.adjacency import Numbering
from recall.channels import (
    EASE,
    AttributeKNN,
    AttributeKNNConfig,
    BERT4RecChannel,
    BERT4RecChannelConfig,
    ChebyCF,
    ChebyCFConfig,
    ContentKNN,
    ContentKNNConfig,
    EASEConfig,
    GCNChannel,
    GCNChannelConfig,
    GRU4RecChannel,
    GRU4RecChannelConfig,
    ItemKNN,
    ItemKNNConfig,
    LightGCNChannel,
    LightGCNChannelConfig,
    NARMChannel,
    NARMChannelConfig,
    Overlooked,
    OverlookedConfig,
    Popularity,
    Recent,
    RP3Beta,
    RP3BetaConfig,
    SASRecChannel,
    SASRecChannelConfig,
    SegmentConfig,
    SegmentPopularity,
    Spectral,
    SpectralConfig,
    TextInterest,
    TextInterestConfig,
    Trending,
    UserKNN,
    UserKNNConfig,
    Walk,
    WalkConfig,
)
from recall.contracts import Candidates, FitData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from tests.movie_relations import SEQUEL

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


TRAINING = TrainingConfig(max_steps=4, batch_size=64, negatives=16)
SEQUENCE_TRAINING = SequenceTraining(max_steps=4, batch_size=16, negatives=16)

CASES = {
    "popularity": Popularity,
    "item_knn": lambda: ItemKNN(ItemKNNConfig(neighbours=15, shrinkage=2.0)),
    "item_knn_aged": lambda: ItemKNN(ItemKNNConfig(neighbours=15, shrinkage=2.0, half_life=3.0)),
    "user_knn": lambda: UserKNN(UserKNNConfig(neighbours=8, shrinkage=1.0)),
    "user_knn_aged": lambda: UserKNN(UserKNNConfig(neighbours=8, shrinkage=1.0, half_life=2.0, half_life_in="days")),
    "recent": Recent,
    "trending": Trending,
    "segment": lambda: SegmentPopularity(SegmentConfig(attribute="country")),
    "overlooked": lambda: Overlooked(OverlookedConfig(ranking="item_knn", shown=1, users=50)),
    "ease": lambda: EASE(EASEConfig(regularisation=5.0, weights=30)),
    "rp3beta": lambda: RP3Beta(RP3BetaConfig(neighbours=20)),
    "spectral": lambda: Spectral(SpectralConfig(factors=6)),
    "cheby": lambda: ChebyCF(ChebyCFConfig(factors=6)),
    "content_knn": lambda: ContentKNN(ContentKNNConfig(neighbours=10)),
    "content_sum": lambda: ContentKNN(ContentKNNConfig(neighbours=None)),
    "text_interest": lambda: TextInterest(TextInterestConfig(interests=4, own_interests=2, reach=25)),
    "attribute_knn": lambda: AttributeKNN(AttributeKNNConfig(neighbours=12)),
    "walk": lambda: Walk(WalkConfig(neighbours=20, text_neighbours=6, age_decay=0.9, dislike=-0.2)),
    "lightgcn": lambda: LightGCNChannel(LightGCNChannelConfig(dim=8, training=TRAINING)),
    "gcn": lambda: GCNChannel(GCNChannelConfig(dim=8, training=TRAINING)),
    "sasrec": lambda: SASRecChannel(SASRecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "bert4rec": lambda: BERT4RecChannel(BERT4RecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "narm": lambda: NARMChannel(NARMChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "gru4rec": lambda: GRU4RecChannel(GRU4RecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
}
SAME_FOR_ALL = ("popularity", "recent", "trending", "segment")
FUSED = {"lightgcn": 1.0, "spectral": 0.5, "item_knn": 0.3}


def fit_data(graph, **parts):
    """What every channel can be fitted on; closed formulas have no use for a recipe."""
    return FitData.of(graph, **{"features": text_features(graph), "recipe": {"steps": 4}, "encode": encode, **parts})


def alone(channel, graph, **parts):
    """A channel fitted on a graph, in a pipeline without a fallback."""
    data = fit_data(graph, **parts)
    return Pipeline([channel.fit(data)], data.history)


def made(case, graph, **parts):
    """The pipeline of a case: one channel, or for "fusion" three."""
    if case != "fusion":
        return alone(CASES[case](), graph, **parts)
    data = fit_data(graph, **parts)
    channels = [CASES[name]().fit(data) for name in FUSED]
    return Pipeline(channels, data.history, fusion=FusionConfig(weights=FUSED))


def ask(pipeline, queries, **options):
    """The answer of a pipeline with external ids."""
    return Candidates(pipeline.recommend(queries, **options).to_arrow(queries.key, pipeline.history.items))


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
    return Query.of_histories(
        [f"q{n}" for n in range(len(lists))], RaggedArray.from_pairs(rows, items, num_rows=len(lists))
    )


def pair_queries(pairs):
    """Users of the graph and an item for each, as `attribute` takes them."""
    users, items = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2).T
    return Query.of_positions(users), items


def assert_same(left, right):
    assert left.table.drop(["score"]).equals(right.table.drop(["score"]))
    np.testing.assert_allclose(left.table["score"].to_numpy(), right.table["score"].to_numpy(), rtol=1e-5, atol=1e-6)


def asking(history=(), text=None, attributes=None):
    lists = RaggedArray.from_pairs(
        np.zeros(len(history), dtype=np.int64), np.array(history, dtype=np.int64), num_rows=1
    )
    return Query(
        key=["somebody"],
        user=np.array([-1]),
        history=lists,
        text=None if text is None else [text],
        attributes=None if attributes is None else [attributes],
    )


def with_countries(graph):
    """The graph with countries of the users; every third user has none."""
    users = graph.nodes["user"]
    countries = [("de", "fr", None)[number % 3] for number in range(len(graph.users))]
    users = users.append_column("country", pa.array(countries, type=pa.string()))
    return KnowledgeGraph(graph.schema, {**graph.nodes, "user": users}, graph.edges)


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


def likes_matrix(graph):
    likes = np.zeros((len(graph.users), len(graph.items)))
    chosen = graph.interactions.select(graph.interactions.positive)
    likes[chosen.user, chosen.item] = 1
    return likes


def check_against(pipeline, graph, scores, *, none_at_zero, absolute=1e-5):
    """Every score of every user, seen items included."""
    queries = Query.of_users(np.arange(len(graph.users)), graph.users)
    answer = by_user(ask(pipeline, queries, k=len(graph.items), exclude_seen=False))
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
