"""Requests of unknown people: histories, texts, attributes, and mistakes in them."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, NodeType, RaggedArray, Relation, RelationKey
from kg.errors import ConfigError, UnknownIdError
from recall.channels import ItemKNN, LightGCNChannel
from recall.contracts import FitData, LoadData, Query
from recall.pipeline import Pipeline
from recall.serve.people import People
from recall.serve.recommender import Recommender
from tests.recall.serve.making import RATED, items


class TestSomebodyUnknown:
    def test_a_history(self, recommender):
        answer = recommender.recommend_for(history=["m1", "m7"], k=5)
        assert answer.table["user_id"].to_pylist() == ["0"] * 5
        assert answer.table["source"].to_pylist() == ["lightgcn"] * 5
        assert not set(items(answer)) & {"m1", "m7"}
        assert {"m1", "m7"} <= set(items(recommender.recommend_for(history=["m1", "m7"], k=40, exclude_seen=False)))

    def test_many_at_once_answer_as_alone(self, recommender):
        together = recommender.recommend_for(history=[["m1", "m7"], [], ["m30"]], k=4)
        assert together.table["user_id"].to_pylist() == [str(row) for row in range(3) for _ in range(4)]
        assert [row["item_id"] for row in together.of("0")] == items(
            recommender.recommend_for(history=["m1", "m7"], k=4)
        )
        assert {row["source"] for row in together.of("1")} == {"popularity"}

    def test_attributes_by_name_and_by_key(self, recommender):
        by_name = recommender.recommend_for(attributes={"director": ["p3"]}, k=5)
        by_key = recommender.recommend_for(attributes={RelationKey("movie", "director", "person"): ["p3"]}, k=5)
        assert items(by_name) == items(by_key)
        assert items(by_name) != items(recommender.recommend_for(attributes={"director": ["p5"]}, k=5))
        mixed = recommender.recommend_for(history=["m2"], attributes={"genre": ["drama"]}, k=5)
        assert "m2" not in items(mixed)

    def test_a_name_of_several_relations(self, graph, movie_graph):
        other = RelationKey("movie", "director", "genre")
        schema = graph.schema.with_(relations=[Relation(key=other)])
        edges = {**graph.edges, other: graph.edges[RelationKey("movie", "genre", "genre")]}
        made = KnowledgeGraph(schema, graph.nodes, edges)
        double = Recommender(made, Pipeline.of(made, [ItemKNN().fit(FitData.of(made))]))
        with pytest.raises(ConfigError, match="2 relations are called 'director'"):
            double.recommend_for(attributes={"director": ["p3"]})

    @pytest.mark.parametrize(
        "given",
        [
            {"history": ["m1", "m7"]},
            {"attributes": {"director": ["p3"]}},
            {"history": ["m2"], "attributes": {"genre": ["drama"]}},
        ],
    )
    def test_candidates_are_explained_with_the_score_they_have(self, recommender, given):
        answer = recommender.recommend_for(**given, k=4)
        explained = recommender.explain_for(items(answer), **given)
        assert [explanation.item_id for explanation in explained] == items(answer)
        for row, explanation in zip(answer, explained, strict=True):
            assert explanation.score == pytest.approx(row["score"], rel=1e-4)
            assert explanation.source == row["source"]
            assert explanation.user_id == row["user_id"]
            assert sum(reason.share for reason in explanation.history) == pytest.approx(explanation.score)
            assert sum(reason.share for reason in explanation.neighbours) == pytest.approx(explanation.score)
            liked = {reason.node.id for reason in explanation.history if reason.node is not None}
            assert liked == set(given.get("history", []))
            asked = [reason.share for reason in explanation.history if reason.text == "of what you asked for"]
            assert bool(asked and asked[0]) == ("attributes" in given)

    def test_one_person_is_explained_at_a_time(self, recommender):
        with pytest.raises(ConfigError, match="explain_for was given 2 people"):
            recommender.explain_for(["m3"], history=[["m1"], ["m7"]])
        with pytest.raises(UnknownIdError, match="unknown movie id: 'm_none'"):
            recommender.explain_for(["m_none"], history=["m1"])
        with pytest.raises(ConfigError, match=r"write \['m3'\]"):
            recommender.explain_for("m3", history=["m1"])
        assert recommender.explain_for([], history=["m1"]) == []

    def test_somebody_nobody_answers_has_what_is_popular(self, recommender):
        (explanation,) = recommender.explain_for(["m3"], history=[])
        assert explanation.source == "popularity"
        assert explanation.reason

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"history": ["m1", "m_none"]}, "unknown movie id: 'm_none'"),
            ({"attributes": {"director": ["p_none"]}}, "unknown person id: 'p_none'"),
        ],
    )
    def test_unknown_ids_are_named_with_the_option(self, recommender, given, message):
        with pytest.raises(UnknownIdError, match=message + '.*on_unknown="skip"'):
            recommender.recommend_for(**given)
        assert len(recommender.recommend_for(**given, k=3, on_unknown="skip")) == 3

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "needs a history, liked items, a text or attributes"),
            ({"history": "m1"}, r"write \['m1'\]"),
            ({"history": [["m1"], ["m2"]], "attributes": [{"genre": ["drama"]}]}, "history for 2, attributes for 1"),
            ({"history": [["m1"], ["m2"]], "text": "space"}, "history for 2, text for 1"),
            ({"attributes": {"producer": ["p1"]}}, "'producer' is no attribute of 'movie'; there are"),
            ({"attributes": {"rated": ["u1"]}}, "'rated' is no attribute"),
            ({"attributes": {"genre": "drama"}}, r"write \['drama'\]"),
            ({"history": ["m1"], "on_unknown": "popularity"}, "'raise' or 'skip'"),
            ({"history": 1}, "history = 1 must be a list of ids"),
            ({"history": [1, 2]}, "history holds 1, ids are strings"),
            ({"history": [["m1"], "m2"]}, r"write \['m2'\]"),
            ({"text": 5}, "text = 5"),
            ({"text": ["space", 5]}, "text holds 5"),
            ({"attributes": "director"}, "attributes holds 'd'"),
            ({"attributes": 5}, "attributes = 5"),
        ],
    )
    def test_mistakes_are_named(self, recommender, given, message):
        with pytest.raises(ConfigError, match=message):
            recommender.recommend_for(**given)

    def test_a_text(self, graph, linear_model):
        rng = np.random.default_rng(0)
        base = linear_model(graph, seed=1)
        projection = rng.normal(size=(5, base.dim)).astype(np.float32)
        made = Embeddings(
            **{
                **{name: getattr(base, name) for name in Embeddings.__dataclass_fields__},
                "linear": type(base.linear)(
                    **{
                        **{name: getattr(base.linear, name) for name in type(base.linear).__dataclass_fields__},
                        "text_projection": projection,
                    }
                ),
            }
        )
        asked = []

        def encode(texts):
            asked.append(list(texts))
            return np.array([[1, 0, 0, 0, 0] if text else [0] * 5 for text in texts], dtype=np.float32)

        texts = Recommender(graph, Pipeline.of(graph, [LightGCNChannel.of(made, LoadData.of(graph, encode=encode))]))
        assert len(texts.recommend_for(text="slow-burn space drama", k=3)) == 3
        assert asked == [["slow-burn space drama"]]
        texts.recommend_for(history=[["m1"], ["m2"]], k=3)
        texts.recommend(["u1"], k=3)
        assert len(asked) == 1, "the encoder is asked for texts only"
        both = texts.recommend_for(text=["a", None], history=[[], ["m4"]], k=3)
        assert [row["item_id"] for row in both.of("1")] == items(texts.recommend_for(history=["m4"], k=3))


def test_a_graph_without_attributes(movie_graph):
    made = movie_graph()
    schema = type(made.schema)(
        node_types={name: NodeType(name=name) for name in ("user", "movie")},
        relations={RATED: made.schema.relations[RATED]},
        user_type="user",
        item_type="movie",
        interaction=RATED,
        positive=made.schema.positive,
    )
    bare = KnowledgeGraph(schema, {n: made.nodes[n] for n in ("user", "movie")}, {RATED: made.edges[RATED]})
    recommender = Recommender(bare, Pipeline.of(bare, [ItemKNN().fit(FitData.of(bare))]))
    assert len(recommender.recommend(["u1"], k=3)) == 3
    with pytest.raises(ConfigError, match="there are none"):
        recommender.recommend_for(attributes={"genre": ["drama"]})


def test_queries_keep_their_meaning_when_taken():
    queries = Query.of_histories(["a", "b"], RaggedArray(np.array([0, 1, 3]), np.array([4, 2, 6])))
    taken = queries.take(np.array([1]))
    assert taken.key == ["b"]
    assert taken.history.values.tolist() == [2, 6]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("plain 映画", "plain 映画"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\udfff", "\ufffd"),
        (None, None),
    ],
)
def test_halves_of_characters_in_a_text_are_joined_or_replaced(recommender, text, whole):
    people = People.of(history=None, liked=None, disliked=None, text=[text, "other"], attributes=None)
    asked = recommender._requests.people(people, "raise")
    assert asked.text == [whole, "other"]
