"""The scores of given pairs: the same as those that are ranked and explained."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kg.errors import ConfigError, UnknownIdError
from recall.contracts.candidates import SCORE_SCHEMA
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.channels.making import CASES, fit_data


@pytest.fixture(scope="module", params=[["lightgcn"], ["walk", "item_knn", "popularity"], ["item_knn"]])
def made(request, graph):
    channels = [CASES[name]().fit(fit_data(graph)) for name in request.param]
    weights = dict(zip(request.param, (1.0, 0.5, 0.0), strict=False))
    return Recommender(graph, Pipeline.of(graph, channels, fusion=FusionConfig(weights=weights)))


def test_they_are_what_is_ranked_and_explained(made):
    users = ["u1", "u2", "u9"]
    answer = made.recommend(users, k=40)
    pairs = [(row["user_id"], row["item_id"]) for row in answer]
    order = np.random.default_rng(0).permutation(len(pairs))
    scored = made.score([pairs[at] for at in order], titles=True)
    assert scored.table.column_names == [*SCORE_SCHEMA.names, *made.pipeline.asked, "title"]
    for row, at in zip(scored, order, strict=True):
        expected = answer.table.slice(int(at), 1).to_pylist()[0]
        assert (row["user_id"], row["item_id"]) == pairs[at]
        assert row["score"] == pytest.approx(expected["score"], rel=1e-5, abs=1e-6)
        assert row["source"] == expected["source"].partition("(")[0]
        assert row["title"] == made.title(row["item_id"])
    for explanation in made.explain([(row["user_id"], row["item_id"]) for row in list(scored)[:10]]):
        (row,) = [row for row in scored.of(explanation.user.id) if row["item_id"] == explanation.item_id]
        assert explanation.score == pytest.approx(row["score"], rel=1e-4, abs=1e-5)


def test_each_channel_has_its_column(made):
    scored = made.score([("u1", "m3"), ("u2", "m3"), ("u1", "m8")])
    for name in made.pipeline.asked:
        alone = Recommender(made.graph, Pipeline([made.pipeline.channels[name]], made.pipeline.history))
        expected = alone.score([("u1", "m3"), ("u2", "m3"), ("u1", "m8")]).table["score"].to_numpy()
        np.testing.assert_allclose(scored.table[name].to_numpy(), expected, rtol=1e-5, atol=1e-6)
    assert "popularity" not in made.pipeline.asked


def test_what_was_seen_has_a_score_and_pairs_may_repeat(made):
    liked = made.graph.interactions
    first = int(np.flatnonzero(liked.positive)[0])
    user = made.graph.users.ids[int(liked.user[first])].as_py()
    item = made.graph.items.ids[int(liked.item[first])].as_py()
    scored = made.score([(user, item), (user, item)])
    assert len(scored) == 2
    assert scored.table["score"][0] == scored.table["score"][1]


def test_unknown_ids_follow_the_rule(made):
    pairs = [("u1", "m3"), ("u_none", "m3"), ("u1", "m_none")]
    with pytest.raises(UnknownIdError, match=r"'u_none'.*skip"):
        made.score(pairs)
    assert made.score(pairs, on_unknown="skip").table.equals(made.score(pairs[:1]).table)


@pytest.mark.parametrize("pairs", ["u1", 5, [("u1",)], ["u1"], [("u1", 5)]])
def test_what_is_no_pair(made, pairs):
    with pytest.raises(ConfigError, match="pairs"):
        made.score(pairs)


def test_no_pairs(made, tmp_path):
    nothing = made.score([])
    assert len(nothing) == 0
    assert nothing.table.column_names == [*SCORE_SCHEMA.names, *made.pipeline.asked]
    made.score([("u1", "m3")]).write(tmp_path / "scores.jsonl")
    assert set(json.loads((tmp_path / "scores.jsonl").read_text())) == set(nothing.table.column_names)
    assert "u1  m3" in repr(made.score([("u1", "m3")]))
