"""Channels of sequence models: order, fold-in, leave-one-out, items without a vector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kg import KnowledgeGraph, RaggedArray
from kg.errors import ArtifactError, GateError
from kg.interactions import NO_TIME
from kg.topology.adjacency import Numbering
from recall.channels import (
    BERT4RecChannel,
    BERT4RecChannelConfig,
    GRU4RecChannel,
    GRU4RecChannelConfig,
    NARMChannel,
    NARMChannelConfig,
    SASRecChannel,
    SASRecChannelConfig,
)
from recall.channels.sequence import SequenceChannel
from recall.contracts import FitData, FusedShares, LeaveOneOut, LoadData, NoShares, Query, Start
from recall.explain import Explainer
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from tests.movie_relations import DIRECTOR, GENRE, HAS_TAG, RATED, SEQUEL, STARRING, TAGGED
from tests.recall.channels.making import SEQUENCE_TRAINING, alone, ask, fit_data, made

KINDS = {
    "sasrec": (SASRecChannel, SASRecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "bert4rec": (BERT4RecChannel, BERT4RecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "narm": (NARMChannel, NARMChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
    "gru4rec": (GRU4RecChannel, GRU4RecChannelConfig(dim=8, training=SEQUENCE_TRAINING)),
}


@pytest.fixture(scope="module", params=list(KINDS))
def channel(request: pytest.FixtureRequest, graph: KnowledgeGraph) -> SequenceChannel:
    kind, config = KINDS[request.param]
    return kind(config).fit(fit_data(graph))


def requests(*histories: list[int]) -> Query:
    return Query.of_histories([str(row) for row in range(len(histories))], RaggedArray.from_lists(histories))


def everything(channel: SequenceChannel, queries: Query) -> np.ndarray:
    """The scores of all items."""
    items = np.arange(len(channel.model.vectors))
    return channel.score(queries).at(np.tile(items, (len(queries), 1)))


def test_the_order_of_a_history_counts(channel: SequenceChannel) -> None:
    first, second = everything(channel, requests([1, 5, 9], [9, 5, 1]))
    assert np.abs(first - second).max() > 1e-6


def test_what_comes_with_a_request_follows_what_the_user_did(channel: SequenceChannel, graph: KnowledgeGraph) -> None:
    liked = channel._histories(Query.of_positions(np.array([0])))[0].tolist()
    known = replace(Query.of_users(np.array([0]), graph.users), history=RaggedArray.from_lists([[3, 8]]))
    np.testing.assert_allclose(everything(channel, known), everything(channel, requests([*liked, 3, 8])), rtol=1e-5)


def test_an_unknown_person_is_scored_like_a_user_with_the_same_history(channel: SequenceChannel) -> None:
    liked = channel._histories(Query.of_positions(np.array([4])))[0].tolist()
    as_user = everything(channel, Query.of_positions(np.array([4])))
    np.testing.assert_allclose(everything(channel, requests(liked)), as_user, rtol=1e-5)


def test_effects_are_the_scores_without_each_item(channel: SequenceChannel, graph: KnowledgeGraph) -> None:
    history, item = [7, 2, 7, 30, 11], 20
    (answer,) = channel.attribute(requests(history), np.array([item]))
    assert isinstance(answer, LeaveOneOut)
    first = Numbering.of(graph).span("movie").start
    assert answer.score == pytest.approx(everything(channel, requests(history))[0, item], rel=1e-5)
    assert {share.node - first for share in answer.effects} == set(history)
    for share in answer.effects:
        without = [other for other in history if other != share.node - first]
        lost = answer.score - everything(channel, requests(without))[0, item]
        assert share.value == pytest.approx(lost, abs=1e-6)
        assert share.relation == RATED
    assert sum(share.value for share in answer.effects) != pytest.approx(answer.score, rel=1e-3)


def test_the_only_item_left_out_leaves_no_score(channel: SequenceChannel) -> None:
    (answer,) = channel.attribute(requests([7]), np.array([20]))
    assert isinstance(answer, LeaveOneOut)
    (share,) = answer.effects
    assert share.value == pytest.approx(answer.score)


def test_only_items_that_are_read_have_an_effect(graph: KnowledgeGraph) -> None:
    config = SASRecChannelConfig(dim=8, max_length=3, training=SEQUENCE_TRAINING)
    channel = SASRecChannel(config).fit(fit_data(graph))
    (answer,) = channel.attribute(requests([1, 2, 3, 4, 5]), np.array([20]))
    assert isinstance(answer, LeaveOneOut)
    assert len(answer.effects) == 3
    # Without a newer item the model reads an older one in its place.
    lost = answer.score - everything(channel, requests([2, 3, 5]))[0, 20]
    newest = {share.node: share.value for share in answer.effects}[Numbering.of(graph).span("movie").start + 4]
    assert newest == pytest.approx(lost, abs=1e-6)


def test_an_explanation_names_the_effects_for_what_they_are(channel: SequenceChannel, graph: KnowledgeGraph) -> None:
    pipeline = Pipeline.of(graph, [channel])
    explainer = Explainer(graph, pipeline)
    user = graph.users.ids[0].as_py()
    (explanation,) = explainer.explain([(user, graph.items.ids[20].as_py())])
    assert "Leave-one-out" in explanation.text
    assert "do not add up to it" in explanation.text
    assert explanation.because == ()
    effects = explanation.to_json()["left_out"]
    assert len(effects) == len(set(channel._histories(Query.of_positions(np.array([0])))[0].tolist()))
    assert [effect["share"] for effect in effects] == sorted((effect["share"] for effect in effects), reverse=True)


def test_in_a_fusion_the_effects_are_in_the_unit_of_the_fused_score(
    channel: SequenceChannel, graph: KnowledgeGraph
) -> None:
    knn = made("item_knn", graph).channels["item_knn"]
    fusion = FusionConfig(weights={channel.name: 0.7, "item_knn": 0.3})
    pipeline = Pipeline([channel, knn], FitData.of(graph).history, fusion=fusion)
    queries, items = Query.of_positions(np.array([0])), np.array([20])
    (attribution,) = pipeline.attribute(queries, items)
    assert isinstance(attribution.shares, FusedShares)
    part = next(part for part in attribution.shares.parts if part.channel == channel.name)
    (own,) = channel.attribute(queries, items)
    assert isinstance(part.shares, LeaveOneOut)
    assert isinstance(own, LeaveOneOut)
    factor = attribution.factors[channel.name]
    assert [share.value for share in part.shares.effects] == pytest.approx([s.value * factor for s in own.effects])
    user, item = graph.users.ids[0].as_py(), graph.items.ids[20].as_py()
    (explanation,) = Explainer(graph, pipeline).explain([(user, item)])
    (shown,) = [part for part in explanation.parts if part.channel == channel.name]
    assert len(shown.left_out) == len(own.effects)


def test_a_fusion_that_no_channel_splits_keeps_the_effects(channel: SequenceChannel, graph: KnowledgeGraph) -> None:
    other = GRU4RecChannel(KINDS["gru4rec"][1].changed(dim=4)).fit(fit_data(graph))
    popular = made("popularity", graph).channels["popularity"]
    queries, items = Query.of_positions(np.array([0])), np.array([20])
    (own,), (others,) = channel.attribute(queries, items), other.attribute(queries, items)
    assert isinstance(own, LeaveOneOut)
    assert isinstance(others, LeaveOneOut)
    for more in ({}, {"popularity": popular}):
        channels = {"this": channel, "other": other, **more}
        pipeline = Pipeline(channels, FitData.of(graph).history)
        ((_, split, factors),) = pipeline.attribute(queries, items)
        assert isinstance(split, LeaveOneOut)
        expected = {share.node: share.value * factors["this"] for share in own.effects}
        for share in others.effects:
            expected[share.node] += share.value * factors["other"]
        assert {share.node: share.value for share in split.effects} == pytest.approx(expected)
        score = pipeline.score(queries).at(np.array([[20]]))[0, 0]
        assert split.score == pytest.approx(score, rel=1e-5)
        assert ("popularity is not counted" in split.reason) == bool(more)
        (explanation,) = Explainer(graph, pipeline).explain([(graph.users.ids[0].as_py(), graph.items.ids[20].as_py())])
        assert len(explanation.left_out) == len(own.effects)
        assert "Leave-one-out" in explanation.text


@pytest.mark.parametrize("name", KINDS)
def test_times_are_those_of_the_user_and_unknown_in_a_request(name: str, graph: KnowledgeGraph) -> None:
    kind, config = KINDS[name]
    channel = kind(config.changed(time_parts=("gap", "age"))).fit(fit_data(graph))
    histories = channel._histories(replace(Query.of_positions(np.array([0])), history=RaggedArray.from_lists([[3]])))
    assert histories.times[-1] == NO_TIME
    assert (histories.times[:-1] > 0).all()
    liked = histories[0][:-1].tolist()
    as_user, as_request = everything(channel, Query.of_positions(np.array([0]))), everything(channel, requests(liked))
    assert np.abs(as_user - as_request).max() > 1e-6
    (answer,) = channel.attribute(Query.of_positions(np.array([0])), np.array([20]))
    assert answer.score == pytest.approx(as_user[0, 20], rel=1e-5)


def without_item(graph: KnowledgeGraph, item: int) -> KnowledgeGraph:
    """The graph with an item that nothing is joined to."""
    kept = {}
    for key in (RATED, GENRE, DIRECTOR, STARRING, SEQUEL, TAGGED, HAS_TAG):
        table, keep = graph.edges[key], np.ones(graph.edges[key].num_rows, dtype=bool)
        for side, kind in (("src", key.source), ("dst", key.target)):
            if kind == "movie":
                keep &= table[side].to_numpy() != item
        kept[key] = keep
    return graph.keep_edges(kept)


@pytest.mark.parametrize("name", KINDS)
def test_an_item_that_nothing_describes_is_never_a_candidate(name: str, graph: KnowledgeGraph) -> None:
    bare = without_item(graph, 6)
    kind, config = KINDS[name]
    pipeline = alone(kind(config), bare, features=None)
    channel = pipeline.channels[name]
    assert isinstance(channel, SequenceChannel)
    assert channel.model.described.tolist() == [item != 6 for item in range(40)]
    everybody = Query.of_users(np.arange(30), bare.users)
    answer = ask(pipeline, everybody, k=40, exclude_seen=False)
    assert bare.items.ids[6].as_py() not in answer.table["item_id"].to_pylist()
    assert len(answer) == 29 * 39  # the last user likes nothing
    only = ask(pipeline, everybody, k=5, candidates=np.array([5, 6]))
    assert set(only.table["item_id"].to_pylist()) <= {bare.items.ids[5].as_py()}
    assert len(ask(pipeline, requests([6]), k=5)) == 0
    np.testing.assert_array_equal(everything(channel, requests([6, 3])), everything(channel, requests([3])))
    (answer,) = channel.attribute(requests([3]), np.array([6]))
    assert type(answer) is NoShares
    assert answer.reason == "the model knows nothing of the item"


@pytest.mark.parametrize("name", KINDS)
def test_an_item_of_the_test_part_alone_has_a_vector_by_text_and_knowledge(name: str, graph: KnowledgeGraph) -> None:
    unseen = graph.keep_edges({RATED: graph.interactions.item != 6})
    kind, config = KINDS[name]
    channel = kind(config).fit(fit_data(unseen))
    assert not channel.model.weights.touched[6]
    assert channel.item_vectors is not None
    assert channel.item_vectors[6].any()
    assert everything(channel, requests([6])).any()


def test_a_fit_goes_on_from_an_earlier_one(channel: SequenceChannel, graph: KnowledgeGraph, tmp_path) -> None:
    channel.save(tmp_path)
    barely = channel.config.changed(
        training=channel.config.training.continued(max_steps=1, learning_rate=1e-9, recipe=channel.recipe)
    )
    start = Start(folder=tmp_path, graph=graph)
    later = type(channel)(barely).fit(fit_data(graph, start=start, recipe={}))
    assert later.recipe == {"steps": 1}
    np.testing.assert_allclose(later.model.vectors, channel.model.vectors, atol=1e-6)


def test_its_configuration_is_saved(channel: SequenceChannel, graph: KnowledgeGraph, tmp_path) -> None:
    channel.save(tmp_path)
    loaded = type(channel).load(tmp_path, LoadData.of(graph))
    assert loaded.config == channel.config
    assert loaded.facts == channel.facts


def test_an_index_of_other_vectors_is_refused(channel: SequenceChannel, graph: KnowledgeGraph, tmp_path) -> None:
    channel.save(tmp_path / "this")
    other = type(channel)(channel.config).fit(fit_data(graph, recipe={"steps": 2}))
    other.save(tmp_path / "other")
    (tmp_path / "this" / "index").rename(tmp_path / "gone")
    (tmp_path / "other" / "index").rename(tmp_path / "this" / "index")
    with pytest.raises(ArtifactError, match="built from other item vectors"):
        type(channel).load(tmp_path / "this", LoadData.of(graph))


def test_vectors_that_are_no_numbers_are_refused(graph: KnowledgeGraph) -> None:
    training = SEQUENCE_TRAINING.changed(learning_rate=3e37)  # finite weights whose squares are not
    config = SASRecChannelConfig(dim=8, item_parts=("id", "knowledge"), training=training)
    with pytest.raises(GateError, match=r"lower channels\.sasrec\.training\.learning_rate"):
        SASRecChannel(config).fit(FitData.of(graph, recipe={"steps": 1}))
