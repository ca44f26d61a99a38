"""Every address of a real service gives what the same call in Python gives."""

from __future__ import annotations

from typing import Any

import pytest

from recall.explain.drawing.reason_graph import ReasonGraph
from recall.serve.recommender import Recommender
from recall.service import replies
from tests.recall.service.making import Served, detail


def rows(answer: Any, user: str | None = None) -> list[dict[str, Any]]:
    """The candidates of an answer in Python, as the service writes them."""
    table = [row for row in answer if user is None or row["user_id"] == user]
    return [{name: value for name, value in row.items() if name != "user_id"} for row in table]


def test_users_and_new_people_in_one_request(served: Served, recommender: Recommender) -> None:
    body = {
        "queries": [
            {"user_id": "u1"},
            {"liked": ["m3", "m4"], "text": "a train at night"},
            {"user_id": "u2", "k": 2, "exclude": ["m1"]},
            {"user_id": "u1", "filter": 'name = "none"'},
            {"history": [{"item_id": "m7", "time": "2024-05-01"}, {"item_id": "m5", "time": 1000}]},
        ],
        "k": 4,
    }
    response = served.client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    reply = replies.RecommendReply.model_validate_json(response.content).model_dump(exclude_unset=True)
    assert reply["run"] == recommender.run.name
    users = recommender.recommend(["u1"], k=4, titles=True)
    assert reply["answers"][0] == {"user_id": "u1", "candidates": rows(users)}
    person = recommender.recommend_for(liked=["m3", "m4"], text="a train at night", k=4, titles=True)
    assert reply["answers"][1] == {"user_id": None, "candidates": rows(person)}
    other = recommender.recommend(["u2"], k=2, exclude=["m1"], titles=True)
    assert reply["answers"][2]["candidates"] == rows(other)
    assert reply["answers"][3]["candidates"] == []
    in_order = recommender.recommend_for(history=["m5", "m7"], k=4, titles=True)
    assert reply["answers"][4]["candidates"] == rows(in_order)


def test_one_user_asked_twice_with_different_limits(served: Served) -> None:
    body = [{"user_id": "u1", "k": 1}, {"user_id": " u1 ", "k": 3}, {"user_id": "u1", "candidates": ["m1"]}]
    answers = served.post("/recommend", queries=body, exclude_seen=False).json()["answers"]
    assert [len(answer["candidates"]) for answer in answers] == [1, 3, 1]
    assert answers[2]["candidates"][0]["item_id"] == "m1"
    assert answers[0]["candidates"] == answers[1]["candidates"][:1]


def test_what_counts_for_all_counts_beside_what_one_query_says(served: Served) -> None:
    best = served.post("/recommend", queries=[{"user_id": "u3"}], k=3).json()["answers"][0]["candidates"]
    barred = [row["item_id"] for row in best]
    answers = served.post(
        "/recommend", queries=[{"user_id": "u3", "exclude": barred[:1]}, {"user_id": "u4"}], exclude=barred[1:]
    ).json()["answers"]
    assert not {row["item_id"] for row in answers[0]["candidates"]} & set(barred)
    assert not {row["item_id"] for row in answers[1]["candidates"]} & set(barred[1:])


def test_unknown_ids_follow_the_rule(served: Served) -> None:
    queries = [{"user_id": "nobody"}, {"user_id": "u1"}]
    assert "unknown user id: 'nobody'" in detail(served.post("/recommend", queries=queries), 404)
    answers = served.post("/recommend", queries=queries, on_unknown="skip").json()["answers"]
    assert answers[0]["candidates"] == []
    assert len(answers[1]["candidates"]) == 12
    answers = served.post("/recommend", queries=queries, on_unknown="popular", k=3).json()["answers"]
    assert {row["source"] for row in answers[0]["candidates"]} == {"popularity"}


def test_similar(served: Served, recommender: Recommender) -> None:
    response = served.post("/similar", item_ids=["m2", "m1", "m2"], k=3)
    reply = replies.SimilarReply.model_validate_json(response.content)
    assert [answer.item_id for answer in reply.answers] == ["m2", "m1"]
    expected = recommender.similar(["m2"], k=3, titles=True)
    assert [(row.item_id, row.score, row.title) for row in reply.answers[0].similar] == [
        (row["similar_id"], row["score"], row["title"]) for row in expected
    ]


def test_explain_users_and_new_people(served: Served, recommender: Recommender) -> None:
    response = served.post("/explain", user_id="u1", item_ids=["m1", "m2"], paths=2)
    reply = replies.ExplainReply.model_validate_json(response.content)
    first, second = recommender.explain([("u1", "m1"), ("u1", "m2")], paths=2)
    assert [entry.text for entry in reply.explanations] == [first.text, second.text]
    assert response.json()["explanations"][0]["paths"] == first.to_json()["paths"]
    new = served.post("/explain", liked=["m3"], item_ids=["m4"]).json()["explanations"][0]
    assert new["text"] == recommender.explain_for(["m4"], liked=["m3"])[0].text


def test_what_the_page_draws(served: Served, recommender: Recommender) -> None:
    answer = served.post("/explain", user_id="u1", item_ids=["m1"]).json()["explanations"][0]
    assert answer["drawing"] == ReasonGraph(recommender.explain([("u1", "m1")])[0]).to_json()


def test_scores_of_the_channels_and_other_weights(served: Served) -> None:
    queries = [{"user_id": "u1", "k": 2}, {"liked": ["m3"], "k": 2}]
    usual = served.post("/recommend", queries=queries).json()["answers"]
    answers = served.post("/recommend", queries=queries, channel_scores=True, weights={"lightgcn": 3}).json()["answers"]
    for before, after in zip(usual, answers, strict=True):
        assert [row["item_id"] for row in before["candidates"]] == [row["item_id"] for row in after["candidates"]]
        assert all(row["channels"] == {"lightgcn": row["score"]} for row in after["candidates"])
        assert not any("channels" in row for row in before["candidates"])
    for path, body in (
        ("/recommend", {"queries": queries}),
        ("/explain", {"user_id": "u1", "item_ids": ["m1"]}),
        ("/score", {"pairs": [{"user_id": "u1", "item_id": "m1"}]}),
    ):
        assert "'none'; the channels are lightgcn" in detail(served.post(path, **body, weights={"none": 1}), 422)
        assert "weights" in detail(served.post(path, **body, weights={"lightgcn": -1}), 422)
        assert "all 0" in detail(served.post(path, **body, weights={"lightgcn": 0}), 422)
        assert "weights" in detail(served.post(path, **body, weights={}), 422)


def test_rules_of_one_request(served: Served, recommender: Recommender) -> None:
    queries = [{"user_id": "u1"}, {"liked": ["m3"], "disliked": ["m5"]}]
    rules = {"diversity": 0.4, "long_tail": 0.6}
    usual = served.post("/recommend", queries=queries, k=8).json()["answers"]
    assert not any("moves" in row for answer in usual for row in answer["candidates"])
    response = served.post("/recommend", queries=queries, k=8, **rules)
    answers = replies.RecommendReply.model_validate_json(response.content).model_dump(exclude_unset=True)["answers"]
    other = recommender.with_rules(**rules)
    assert answers[0]["candidates"] == rows(other.recommend(["u1"], k=8, titles=True))
    person = {"liked": ["m3"], "disliked": ["m5"]}
    assert answers[1]["candidates"] == rows(other.recommend_for(**person, k=8, titles=True))
    for answer, asker in zip(answers, queries, strict=True):
        moved = next(row for row in answer["candidates"] if row["moves"])
        body = {**asker, "item_ids": [moved["item_id"]], "k": 8, **rules}
        (explanation,) = served.post("/explain", **body).json()["explanations"]
        assert explanation["moves"] == moved["moves"]
    for wrong in ({"diversity": 1.01}, {"long_tail": -0.5}, {"diversity": "1"}, {"long_tail": True}):
        assert next(iter(wrong)) in detail(served.post("/recommend", queries=queries, **wrong), 422)
        assert next(iter(wrong)) in detail(served.post("/explain", user_id="u1", item_ids=["m1"], **wrong), 422)
    assert "k is 100,000" in detail(served.post("/explain", user_id="u1", item_ids=["m1"], k=100_000), 422)


def test_the_rules_of_the_run_that_answers(served: Served) -> None:
    assert served.client.get("/runs/current").json()["rules"] == {"diversity": 0.0, "long_tail": 0.0}


def test_score(served: Served, recommender: Recommender) -> None:
    pairs = [("u1", "m1"), ("u2", "m3")]
    body = [{"user_id": user, "item_id": item} for user, item in pairs]
    reply = replies.ScoreReply.model_validate_json(served.post("/score", pairs=body).content)
    expected = list(recommender.score(pairs))
    assert [row.score for row in reply.scores] == [row["score"] for row in expected]
    assert [row.channels for row in reply.scores] == [{"lightgcn": row["lightgcn"]} for row in expected]


def test_an_item_its_neighbours_and_theirs(served: Served) -> None:
    item = replies.NodeReply.model_validate_json(served.client.get("/items/m1").content)
    assert item.title == "The river of the [garden] 1"
    (director,) = [part for part in item.neighbours if part.relation == "director"]
    assert director.count == 1
    (person,) = director.nodes
    assert person.title == "Person 1"
    (raters,) = [part for part in item.neighbours if part.relation == "rated"]
    assert (raters.nodes, raters.count) == ([], item.liked_by)
    node = served.client.get(f"/nodes/{director.type}/{person.id}").json()
    (movies,) = node["neighbours"]
    assert {"id": "m1", "title": item.title} in movies["nodes"]
    assert movies["count"] == len(movies["nodes"])
    few = served.client.get(f"/nodes/{director.type}/{person.id}", params={"neighbours": 2}).json()
    assert len(few["neighbours"][0]["nodes"]) == 2


def test_users_are_no_nodes_to_look_at(served: Served) -> None:
    assert "no node type 'user'" in detail(served.client.get("/nodes/user/u1"), 422)


def test_history_is_latest_first(served: Served) -> None:
    reply = replies.HistoryReply.model_validate_json(served.client.get("/users/u1/history?limit=3").content)
    assert reply.count == 12
    times = [entry.timestamp for entry in reply.history]
    assert times == sorted(times, reverse=True)
    assert all(entry.liked == (entry.rating >= 4) for entry in reply.history)
    assert "unknown user id" in detail(served.client.get("/users/nobody/history"), 404)


def test_search(served: Served) -> None:
    def hits(**parameters: Any) -> list[str]:
        response = served.client.get("/search", params=parameters)
        return [hit.id for hit in replies.SearchReply.model_validate_json(response.content).hits]

    assert hits(kind="user", q="u1")[0] == "u1"
    assert set(hits(kind="user", q="u1")) == {"u1", "u10", "u11", "u12", "u13", "u14", "u15"}
    assert set(hits(kind="item", q="THE RIVER")) == {"m1", "m9", "m17"}
    assert len(hits(kind="item", limit=5)) == 5


def test_runs_and_reports(served: Served, recommender: Recommender) -> None:
    (run,) = replies.RunsReply.model_validate_json(served.client.get("/runs").content).runs
    assert (run.name, run.current, run.answers, run.problem) == (recommender.run.name, True, True, None)
    for name in ("current", run.name):
        response = served.client.get(f"/runs/{name}")
        assert response.json()["report"] == recommender.report.to_json()


@pytest.mark.parametrize(
    "name", ["..", "../..", "..%2f..", "%2e%2e%2f", ".records", ".cache", "current%00", "20260131T235959123Z-1a2b3c4d"]
)
def test_a_name_of_a_run_is_no_path(served: Served, name: str) -> None:
    response = served.client.get(f"/runs/{name}")
    assert response.status_code in (200, 404)
    if response.status_code == 200:  # the client has taken the dots away
        assert response.url.path in ("/", "/runs", "/runs/")


def test_health_and_metrics(served: Served, recommender: Recommender) -> None:
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").json() == {"status": "ready", "run": recommender.run.name}
    served.post("/recommend", queries=[{"user_id": "u1"}, {"user_id": "u2"}], k=2)
    text = served.client.get("/metrics").text
    assert f'graphrecall_serving_info{{run="{recommender.run.name}"}} 1.0' in text
    assert 'graphrecall_request_seconds_count{method="POST",route="/recommend",status="200"}' in text
    assert 'graphrecall_candidates_total{channel="lightgcn"}' in text
    assert "graphrecall_serving_gate_passed 1.0" in text
    assert "u1" not in text


def test_the_description_gives_every_request_an_example_that_is_valid(served: Served) -> None:
    from recall.serve import questions as of_candidates
    from recall.service import questions

    description = served.client.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        if "post" not in operations:
            continue
        (name,) = operations["post"]["requestBody"]["content"]["application/json"]["schema"].values()
        schema = description["components"]["schemas"][name.rpartition("/")[2]]
        assert schema["examples"], path
        assert schema["additionalProperties"] is False
        for example in schema["examples"]:
            kind = name.rpartition("/")[2]
            getattr(of_candidates if hasattr(of_candidates, kind) else questions, kind).model_validate(example)
