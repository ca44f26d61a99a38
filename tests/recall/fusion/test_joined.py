"""Inner products as one: deviations by their definition, the best of all items by one search, explanations, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from recall.channels import (
    GRU4RecChannel,
    GRU4RecChannelConfig,
    ItemKNN,
    LightGCNChannel,
    LightGCNChannelConfig,
    SASRecChannel,
    SASRecChannelConfig,
)
from recall.config.deployment import load_config
from recall.contracts import Channel, FitData, FusedShares, LeaveOneOut, Query
from recall.explain import Explainer
from recall.fusion import FusionConfig
from recall.fusion.joined import JoinedIndex, JoinedScores
from recall.index.item_index import ItemIndex
from recall.jobs.refresh import refresh
from recall.pipeline import Pipeline
from recall.runs.pipeline_file import SavedPipeline
from recall.serve.recommender import Recommender
from tests.recall.channels.making import SEQUENCE_TRAINING, TRAINING
from tests.recall.conftest import CONFIG, write_deployment

SPARSE = {"dim": 8, "item_parts": ("id",), "training": SEQUENCE_TRAINING}
WEIGHTS = {"sasrec": 0.5, "gru4rec": 0.2, "lightgcn": 0.3}


@pytest.fixture(scope="module")
def vectors(graph: KnowledgeGraph) -> dict[str, Channel]:
    """Three channels of inner products; the sequence models know nothing of items that nobody likes."""
    data = FitData.of(graph, recipe={"steps": 4})
    return {
        "sasrec": SASRecChannel(SASRecChannelConfig(**SPARSE)).fit(data),
        "gru4rec": GRU4RecChannel(GRU4RecChannelConfig(**{**SPARSE, "dim": 4})).fit(data),
        "lightgcn": LightGCNChannel(LightGCNChannelConfig(dim=8, training=TRAINING)).fit(data),
    }


@pytest.fixture
def pipeline(vectors: dict[str, Channel], graph: KnowledgeGraph) -> Pipeline:
    return joined(vectors, graph)


def joined(channels: dict[str, Channel], graph: KnowledgeGraph, **more: object) -> Pipeline:
    weights = {name: WEIGHTS.get(name, 1.0) for name in channels}
    fusion = FusionConfig(weights=weights, spread="all", depth=5, **more)  # type: ignore[arg-type]
    return Pipeline(channels, FitData.of(graph).history, fusion=fusion)


def by_definition(channels: dict[str, Channel], queries: Query, items: int) -> np.ndarray:
    """The weighted sum of each channel's scores of all items over their deviation."""
    everything = np.tile(np.arange(items), (len(queries), 1))
    total = np.zeros((len(queries), items))
    for name, channel in channels.items():
        scores = channel.score(queries).at(everything).astype(np.float64)
        total += WEIGHTS[name] * scores / scores.std(axis=1, keepdims=True)
    return total


def test_the_best_of_all_items_are_found_by_one_search(
    pipeline: Pipeline, vectors: dict[str, Channel], graph: KnowledgeGraph, everybody: Query, monkeypatch
) -> None:
    searches = []
    search = ItemIndex.search

    def counted(self: ItemIndex, *arguments: object, **more: object) -> object:
        searches.append(self.dim)
        return search(self, *arguments, **more)  # type: ignore[arg-type]

    items = len(graph.items)
    expected = by_definition(vectors, everybody, items)
    monkeypatch.setattr(ItemIndex, "search", counted)
    batch = pipeline.recommend(everybody, k=items, exclude_seen=False)
    assert set(searches) == {sum(len(vectors[name].scored_items[0]) for name in vectors)}  # type: ignore[attr-defined]
    np.testing.assert_allclose(batch.score, expected[batch.row, batch.item], rtol=1e-4, atol=1e-4)
    described = np.any([channel.scored_items.any(axis=1) for channel in vectors.values()], axis=0)  # type: ignore[attr-defined]
    assert np.bincount(batch.row).tolist() == [described.sum()] * len(everybody)
    for row in range(len(everybody)):
        scores = batch.score[batch.row == row]
        assert (np.diff(scores) <= 0).all()


def test_filters_and_what_is_seen_act_in_the_search(
    pipeline: Pipeline, graph: KnowledgeGraph, everybody: Query
) -> None:
    allowed = np.arange(0, len(graph.items), 3)
    whole = pipeline.recommend(everybody, k=len(graph.items), exclude_seen=False)
    few = pipeline.recommend(everybody, k=4, candidates=allowed)
    seen = pipeline.history.seen
    for row in range(len(everybody)):
        order = whole.item[whole.row == row].tolist()
        wanted = [item for item in order if item in set(allowed.tolist()) - set(seen[row].tolist())][:4]
        assert few.item[few.row == row].tolist() == wanted


def test_scores_of_given_items_are_those_of_the_ranking(pipeline: Pipeline, everybody: Query) -> None:
    block = pipeline.score(everybody)
    assert isinstance(block, JoinedScores)
    top = block.top(6)
    np.testing.assert_array_equal(block.at(top.items), top.scores)


def test_somebody_whom_a_channel_does_not_know_is_answered_by_the_others(
    vectors: dict[str, Channel], graph: KnowledgeGraph
) -> None:
    (unknown, *_) = np.flatnonzero(~vectors["sasrec"].scored_items.any(axis=1))  # type: ignore[attr-defined]
    queries = Query.of_histories(["a", "b"], RaggedArray.from_lists([[unknown], []]))
    pipeline = joined({name: vectors[name] for name in ("sasrec", "lightgcn")}, graph)
    batch = pipeline.recommend(queries, k=3)
    assert set(batch.row.tolist()) == {0}
    assert batch.listed.tolist() == [[False, True]] * 3
    assert np.isfinite(batch.score).all()


def test_a_score_splits_over_the_channels(pipeline: Pipeline, graph: KnowledgeGraph, everybody: Query) -> None:
    top = pipeline.score(everybody).top(1)
    splits = pipeline.attribute(everybody, top.items[:, 0])
    for (_, shares, factors), score in zip(splits, top.scores[:, 0].tolist(), strict=True):
        assert isinstance(shares, FusedShares)
        assert set(factors) == set(WEIGHTS)
        assert shares.score == pytest.approx(score, rel=1e-4)
        parts = {part.channel: part.shares for part in shares.parts}
        assert isinstance(parts["sasrec"], LeaveOneOut)
    explainer = Explainer(graph, pipeline)
    pair = (graph.users.ids[0].as_py(), graph.items.ids[int(top.items[0, 0])].as_py())
    assert "from fusion" in explainer.explain([pair])[0].text


def test_items_that_nobody_likes_have_their_factor(vectors: dict[str, Channel], graph: KnowledgeGraph) -> None:
    untouched = np.bincount(graph.interactions.item[graph.interactions.positive], minlength=len(graph.items)) == 0
    assert untouched.any()
    queries = Query.of_users(np.arange(5), graph.users)
    everything = np.tile(np.arange(len(graph.items)), (5, 1))
    plain, raised = (joined(vectors, graph, untouched=factor).score(queries).at(everything) for factor in (1.0, 1.5))
    np.testing.assert_allclose(raised, plain * np.where(untouched, 1.5, 1.0), rtol=1e-4, atol=1e-5)


def test_weights_are_found_on_validation(pipeline: Pipeline, graph: KnowledgeGraph, everybody: Query) -> None:
    truth = RaggedArray.from_lists([[int(item)] for item in pipeline.score(everybody).top(3).items[:, 2]])
    found = pipeline.fit_fusion(everybody, truth, k=5, exclude_seen=False)
    assert found.spread == "all"
    assert sum(found.weights.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "weights", [{"sasrec": 0.1, "gru4rec": 2, "lightgcn": 1}, {"sasrec": 1, "gru4rec": 0, "lightgcn": 1}]
)
def test_other_weights_join_anew_only_where_other_channels_are_asked(
    pipeline: Pipeline, everybody: Query, weights: dict[str, float], monkeypatch
) -> None:
    made = []
    of = JoinedIndex.of
    monkeypatch.setattr(
        JoinedIndex, "of", lambda channels, factors: made.append(list(channels)) or of(channels, factors)
    )
    other = pipeline.with_weights(weights)
    assert made == ([] if all(weights.values()) else [["sasrec", "lightgcn"]])
    anew = Pipeline(pipeline.channels, pipeline.history, fusion=pipeline.fusion.changed(weights=weights))
    ours, theirs = (one.recommend(everybody, k=6) for one in (other, anew))
    assert ours.item.tolist() == theirs.item.tolist()
    np.testing.assert_array_equal(ours.score, theirs.score)


def test_a_channel_that_is_no_inner_product_is_refused(vectors: dict[str, Channel], graph: KnowledgeGraph) -> None:
    with pytest.raises(ConfigError, match=r'fusion\.spread = "all" needs .* item_knn is none'):
        joined({**vectors, "item_knn": ItemKNN().fit(FitData.of(graph))}, graph)


def test_a_run_keeps_it(tmp_path: Path) -> None:
    path = write_deployment(tmp_path)
    text = CONFIG.replace('channels = ["lightgcn"]', 'channels = ["lightgcn", "sasrec"]')
    path.write_text(
        text
        + "[channels.sasrec]\ndim = 8\n[channels.sasrec.training]\nmax_steps = 4\neval_every = 2\n"
        + '[fusion]\nspread = "all"\n[fusion.weights]\nlightgcn = 0.5\nsasrec = 0.5\n'
    )
    result = refresh(load_config(path))
    assert result.run is not None
    assert SavedPipeline.load(result.run).spread == "all"
    recommender = Recommender.load(result.run.path)
    user = np.array([0])
    assert isinstance(recommender.pipeline.score(Query.of_positions(user)), JoinedScores)
    rows = recommender.recommend(["u1"], k=3).table.to_pylist()
    assert {row["source"] for row in rows} == {"fusion(lightgcn+sasrec)"}


def test_without_a_channel_is_what_the_others_rank_alone(
    pipeline: Pipeline, graph: KnowledgeGraph, everybody: Query
) -> None:
    ((_, _, _, whole),) = pipeline.scored_blocks(everybody, k=6)
    assert isinstance(whole, JoinedScores)
    ranked, best, without = whole.with_and_without(6, exclude=whole.seen)
    assert ranked.tolist() == whole.top(6, exclude=whole.seen).items.tolist()
    assert len(best) == len(without) == len(WEIGHTS)
    for left_out, items in zip(WEIGHTS, without, strict=True):
        others = pipeline.with_weights({**WEIGHTS, left_out: 0.0})
        ((_, _, _, expected),) = others.scored_blocks(everybody, k=6)
        assert items.tolist() == expected.top(6, exclude=whole.seen).items.tolist(), left_out
