"""The widget in Python: its state, and what it answers."""

from __future__ import annotations

import pytest
import traitlets

from kg.errors import ConfigError, UnknownIdError
from recall.explain.drawing.reason_graph import ReasonGraph
from tests.recall.view.making import asked, wired


@pytest.fixture
def view(recommender):
    with wired():
        return recommender.show("u1")


def test_its_state(view, recommender) -> None:
    state = view.get_state()
    assert (state["asker"], state["chosen"]) == ({"user_id": "u1"}, "")
    assert "export default" in state["_esm"]
    with pytest.raises(traitlets.TraitError):
        view.asker = {"user_id": "u2"}
    bundle = view._repr_mimebundle_()[0]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert "u1" in repr(view)
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "chosen")
    view.comm.receive({"method": "update", "state": {"chosen": "m3"}})  # a click in the browser
    assert (view.chosen, seen) == ("m3", ["m3"])
    view.chosen = ""
    assert view.comm.taken()[-1] == {"method": "update", "state": {"chosen": ""}, "buffer_paths": []}


def test_candidates_are_those_of_recommend(view, recommender) -> None:
    (answer,) = asked(view, "recommend", k=6, queries=[{"user_id": "u2"}])["answer"]["answers"]
    expected = list(recommender.recommend(["u1"], k=6, titles=True, channel_scores=True))
    assert [row["item_id"] for row in answer["candidates"]] == [row["item_id"] for row in expected]
    assert answer["candidates"][0]["channels"] == {name: expected[0][name] for name in ("lightgcn", "item_knn")}
    turned = {"weights": {"lightgcn": 0, "item_knn": 1}, "long_tail": 0.7, "filter": "year >= 1990"}
    (answer,) = asked(view, "recommend", k=6, **turned)["answer"]["answers"]
    other = recommender.with_weights(turned["weights"]).with_rules(long_tail=0.7)
    expected = list(other.recommend(["u1"], k=6, filter=turned["filter"], titles=True))
    assert [(row["item_id"], row["moves"]) for row in answer["candidates"]] == [
        (row["item_id"], row["moves"]) for row in expected
    ]


def test_reasons_are_those_of_explain(view, recommender) -> None:
    (item,) = recommender.recommend(["u1"], k=1).table["item_id"].to_pylist()
    (given,) = asked(view, "explain", item_ids=[item], k=20)["answer"]["explanations"]
    (explanation,) = recommender.explain([("u1", item)])
    assert given == explanation.to_json() | {"drawing": ReasonGraph(explanation).to_json()}


def test_somebody_new(recommender) -> None:
    with wired():
        view = recommender.show(liked=["m5"], disliked=["m8"], chosen="m1")
    assert (view.asker, view.chosen) == ({}, "m1")
    (answer,) = asked(view, "recommend", k=5)["answer"]["answers"]
    expected = recommender.recommend_for(liked=["m5"], disliked=["m8"], k=5)
    assert [row["item_id"] for row in answer["candidates"]] == expected.table["item_id"].to_pylist()
    (given,) = asked(view, "explain", item_ids=["m1"], k=5)["answer"]["explanations"]
    assert given["text"] == recommender.explain_for(["m1"], liked=["m5"], disliked=["m8"])[0].text


def test_the_graph_around(view, recommender) -> None:
    answer = asked(view, "users/u1/history", limit=3)["answer"]
    rows = recommender.lookup.user_history("u1")
    assert answer == {"count": len(rows), "history": rows[:3]}
    node = asked(view, "items/m1", neighbours=2)["answer"]
    assert node == recommender.lookup.node("movie", "m1", neighbours=2).to_json()
    assert node["title"] == recommender.title("m1")
    facts = asked(view, "facts")["answer"]
    assert facts == {"weights": dict(recommender.pipeline.fusion.weights), "rules": recommender.rules}


def test_what_is_wrong_is_said_in_the_view(view) -> None:
    assert "'nothing'" in asked(view, "recommend", k=3, filter="nothing > 3")["problem"]
    assert "unknown" in asked(view, "items/m999", neighbours=2)["problem"]
    assert "which nothing answers" in asked(view, "cypher", query="MATCH (n) RETURN n")["problem"]


def test_what_is_wrong_is_said_before_there_is_a_view(recommender) -> None:
    with pytest.raises(UnknownIdError, match="nobody"):
        recommender.show("nobody")
    with pytest.raises(UnknownIdError, match="m999"):
        recommender.show("u1", chosen="m999")
    with pytest.raises(ConfigError, match="give a user id"):
        recommender.show()
    with pytest.raises(ConfigError, match="give a user id"):
        recommender.show("u1", liked=["m1"])
