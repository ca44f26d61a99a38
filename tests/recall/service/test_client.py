"""The client asks a real service."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from recall.serve.questions import Query
from recall.serve.recommender import Recommender
from recall.service.client import Client, ServiceProblemError
from tests.recall.service.making import Served


@pytest.fixture
def client(served: Served):
    with Client(served.address + "/") as made:
        yield made


def test_every_call(client: Client, recommender: Recommender) -> None:
    name = recommender.run.name
    reply = client.recommend([Query(user_id="u1"), Query(liked=["m3"], k=2)], k=3)
    assert reply.run == client.ready().run == name
    assert [len(answer.candidates) for answer in reply.answers] == [3, 2]
    assert reply.answers[0].candidates[0].item_id == next(iter(recommender.recommend(["u1"], k=1)))["item_id"]
    assert client.similar(["m1"], k=2).answers[0].item_id == "m1"
    explanation = client.explain(["m1"], user_id="u1").explanations[0]
    assert explanation.text == recommender.explain([("u1", "m1")])[0].text
    assert client.score([("u1", "m1")]).scores[0].score == next(iter(recommender.score([("u1", "m1")])))["score"]
    assert client.item("m1", neighbours=1).id == "m1"
    person = next(part for part in client.item("m1").neighbours if part.relation == "director")
    assert client.node(person.type, person.nodes[0].id).title == "Person 1"
    assert len(client.history("u1", limit=2).history) == 2
    assert client.search("item", "river").hits
    assert [run.name for run in client.runs().runs] == [name]
    assert client.report().report.to_json() == recommender.report.to_json()


def test_tables(client: Client, recommender: Recommender) -> None:
    users = [f"u{number}" for number in range(16)]
    answer = client.recommend_table({"user_id": users}, {"k": 4})
    expected = recommender.recommend(users, k=4, titles=True).table
    assert answer.drop_columns(["query"]).replace_schema_metadata(None) == expected
    assert answer["query"].to_pylist() == [number for number in range(16) for _ in range(4)]
    assert answer.schema.metadata[b"run"].decode() == recommender.run.name
    assert client.recommend_table(pa.table({"text": ["a night"]}), {"k": 2}).num_rows == 2


def test_problems(client: Client) -> None:
    with pytest.raises(ServiceProblemError, match="unknown user id: 'nobody'") as raised:
        client.recommend([Query(user_id="nobody")])
    assert raised.value.status == 404
    with pytest.raises(ServiceProblemError, match="nothing at /cypher") as raised:
        client.cypher("RETURN 1")
    with pytest.raises(ServiceProblemError, match="unknown movie id: 'a/b\\?c#d'"):
        client.item("a/b?c#d")
    with pytest.raises(ValidationError):
        client.similar([])
