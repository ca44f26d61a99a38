"""People who are not in the graph: histories with times, liked and disliked examples, and mistakes in them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kg.errors import ConfigError, UnknownIdError
from recall.channels import Walk, WalkConfig
from recall.contracts import FitData
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.serve.making import items


@pytest.fixture(scope="module")
def walking(graph):
    """A recommender to which the order of a history matters."""
    walk = Walk(WalkConfig(age_decay=0.3)).fit(FitData.of(graph))
    return Recommender(graph, Pipeline.of(graph, [walk]))


def table(answer):
    return [(row["item_id"], row["score"]) for row in answer]


class TestTimes:
    def test_the_newest_counts_most(self, walking):
        order = ["m1", "m7", "m20", "m3"]
        forward = walking.recommend_for(history=order, k=9)
        assert table(forward) != table(walking.recommend_for(history=order[::-1], k=9))
        assert table(walking.recommend_for(history=["m3", *order], k=9)) == table(forward), "it counts where it is last"

    @pytest.mark.parametrize(
        "history",
        [
            [("m7", 200), ("m1", 100.5), ("m3", 400), ("m20", 300)],
            [("m3", date(2024, 5, 2)), ("m20", date(2024, 5, 1)), ("m1", date(1969, 1, 1)), ("m7", date(2020, 1, 1))],
            [("m3", np.int64(4)), ["m20", np.float32(3)], ("m1", 1), ("m7", 2)],
            [("m3", pd.Timestamp(2024, 5, 2)), ("m20", pd.Timestamp(2024, 5, 1)), ("m1", 0), ("m7", 1)],
            [("m3", datetime(2024, 5, 1, 1, tzinfo=UTC)), ("m20", datetime(2024, 5, 1)), ("m1", 0), ("m7", 0)],
            {"m20": "2024-05-01", "m3": "2024-05-01T00:00:01", "m1": "2023-01-01", "m7": 1_690_000_000},
        ],
    )
    def test_times_in_any_order_are_an_order(self, walking, history):
        expected = walking.recommend_for(history=["m1", "m7", "m20", "m3"], k=9)
        assert table(walking.recommend_for(history=history, k=9)) == table(expected)
        both = walking.recommend_for(history=[history, ["m5"]], k=9)
        assert [(row["item_id"], row["score"]) for row in both.of("0")] == table(expected)
        assert both.of("1") != []

    @pytest.mark.parametrize(
        ("history", "message"),
        [
            ([("m1", 1), "m2"], "'m2' without a time"),
            ({"m1": "yesterday"}, "the time 'yesterday': write seconds"),
            ({"m1": None}, "the time None"),
            ([("m1", float("nan"))], "the time nan"),
            ([("m1", True)], "the time True"),
            ([[("m1", 1)], [("m2", 2), "m3"]], "'m3' without a time"),
        ],
    )
    def test_mistakes_are_named(self, walking, history, message):
        with pytest.raises(ConfigError, match=message):
            walking.recommend_for(history=history)


class TestExamples:
    def test_liked_items_are_the_newest_of_a_history(self, walking):
        expected = table(walking.recommend_for(history=["m1", "m7", "m3"], k=9))
        assert table(walking.recommend_for(history=["m1", "m7"], liked=["m3"], k=9)) == expected
        assert table(walking.recommend_for(liked=["m1", "m7", "m3"], k=9)) == expected
        assert table(walking.recommend_for(liked=pa.array(["m1", "m7", "m3"]), k=9)) == expected

    def test_disliked_items_push_away_what_is_like_them(self, walking):
        plain = dict(table(walking.recommend_for(liked=["m1"], k=40)))
        against = dict(table(walking.recommend_for(liked=["m1"], disliked=["m2", "m9"], k=40)))
        assert not {"m1", "m2", "m9"} & set(against)
        assert all(against[item] <= plain[item] + 1e-6 for item in against)
        assert any(against[item] < plain[item] - 1e-3 for item in against)

    def test_many_people(self, walking):
        together = walking.recommend_for(liked=[["m1"], ["m4", "m5"]], disliked=[[], ["m2"]], k=5)
        assert together.table["user_id"].to_pylist() == ["0"] * 5 + ["1"] * 5
        alone = table(walking.recommend_for(liked=["m4", "m5"], disliked=["m2"], k=5))
        assert [(row["item_id"], row["score"]) for row in together.of("1")] == alone

    def test_dislikes_alone_get_what_is_popular_without_them(self, walking):
        answer = walking.recommend_for(disliked=["m2"], k=40)
        assert {row["source"] for row in answer} == {"popularity"}
        assert "m2" not in items(answer)
        assert len(answer) == 39

    @pytest.mark.parametrize("name", ["liked", "disliked"])
    def test_unknown_ids_follow_the_rule(self, walking, name):
        given = {"history": ["m1"], name: ["m2", "m_none"]}
        with pytest.raises(UnknownIdError, match=r"unknown movie id: 'm_none'.*\"skip\""):
            walking.recommend_for(**given)
        known = walking.recommend_for(**{**given, name: ["m2"]}, k=5)
        assert table(walking.recommend_for(**given, on_unknown="skip", k=5)) == table(known)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"liked": ["m1", "m2"], "disliked": ["m2"]}, "'m2' is liked and disliked at once"),
            ({"history": {"m2": 5}, "disliked": ["m2"]}, "'m2' is liked and disliked at once"),
            ({"liked": "m1"}, r"write \['m1'\]"),
            ({"disliked": 5}, "must be a list of ids"),
            ({"liked": [1]}, "liked holds 1, ids are strings"),
            ({"liked": [["m1"], ["m2"]], "disliked": ["m3"]}, "liked for 2, disliked for 1"),
            ({"liked": [("m1", 5)]}, "liked holds"),
            ({}, "needs a history, liked items"),
        ],
    )
    def test_mistakes_are_named(self, walking, given, message):
        with pytest.raises(ConfigError, match=message):
            walking.recommend_for(**given)

    def test_explanations_say_what_was_not_liked(self, walking):
        given = {"history": {"m7": 1}, "liked": ["m1"], "disliked": ["m2", "m9"]}
        answer = walking.recommend_for(**given, k=5)
        explained = walking.explain_for(items(answer), **given, paths=100)
        texts = [line.text for explanation in explained for line in explanation.by_paths.lines if line.share < 0]
        assert texts
        assert all("not like" in text for text in texts)
        for explanation, row in zip(explained, answer, strict=True):
            assert explanation.score == pytest.approx(row["score"], rel=1e-4)
            disliked = [reason for reason in explanation.history if reason.text.startswith("you did not like")]
            assert all(reason.share <= 0 and reason.node.id in ("m2", "m9") for reason in disliked)
            assert sum(reason.share for reason in explanation.history) == pytest.approx(explanation.score)


class TestTexts:
    """Whatever stands in a text, there is an answer or a clear error."""

    @pytest.mark.parametrize("text", ["", "   ", "\n\t"])
    def test_a_blank_text_is_no_text(self, walking, text):
        assert {row["source"] for row in walking.recommend_for(text=text, k=3)} == {"popularity"}
        plain = walking.recommend_for(liked=["m1"], k=5)
        assert table(walking.recommend_for(liked=["m1"], text=text, k=5)) == table(plain)

    @pytest.mark.parametrize("text", ["x" * 100_000, "\ud83d\ude00 \ud800", "静かな映画", "فيلم هادئ", "a\x00b"])
    def test_any_text_reaches_the_encoder_as_whole_characters(self, graph, text):
        from tests.recall.channels.making import CASES, encode, fit_data

        texts = []

        def noted(batch):
            texts.extend(batch)
            return encode(batch)

        channel = CASES["content_knn"]().fit(fit_data(graph, encode=noted))
        asked = Recommender(graph, Pipeline.of(graph, [channel]))
        assert len(asked.recommend_for(text=text, k=4)) == 4
        assert all(entry.encode() for entry in texts)
        assert {len(entry) for entry in texts} <= {len(text), len(text) - 1}
