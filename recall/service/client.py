"""A client of the service, whose requests and answers are the classes that the service has.

with Client("http://127.0.0.1:8000") as client:
    reply = client.recommend([Query(user_id="202"), Query(liked=["260"])], k=5)
    print(reply.run, reply.answers[0].candidates[0].title)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
import pyarrow as pa
from pydantic import BaseModel

from kg.errors import GraphRecallError
from recall.serve.questions import Query, RecommendRequest
from recall.service import replies
from recall.service.media import ARROW, JSON, media_type
from recall.service.questions import (
    CypherRequest,
    ExplainRequest,
    Feedback,
    FeedbackRequest,
    Pair,
    ScoreRequest,
    SimilarRequest,
)

_Reply = TypeVar("_Reply", bound=BaseModel)


class ServiceProblemError(GraphRecallError, RuntimeError):
    """The service refused a request, or could not answer it; the message is the detail of its problem.

    Attributes:
        status: of the answer.
        errors: a line for each field that is wrong.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.status, self.errors = status, tuple(errors)


class Client:
    """Asks a service. Threads can share one; a forked process makes its own."""

    def __init__(
        self, address: str, *, api_key: str | None = None, timeout: float = 30.0, http: httpx.Client | None = None
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            address: such as http://127.0.0.1:8000.
            api_key: that the service asks for.
            timeout: seconds that an answer may take.
            http: what sends the requests, for proxies, certificates and the like; it is not closed.
        """
        self._http = httpx.Client(timeout=timeout) if http is None else http
        self._is_own = http is None
        self._address = address.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            self._http.close()

    def recommend(self, queries: Iterable[Query], **options: Any) -> replies.RecommendReply:
        """Candidates for queries.

        Args:
            queries: users, and people who are not in the graph.
            **options: fields of `recall.serve.questions.RecommendRequest`, such as `k=5`.

        Raises:
            ServiceProblemError: the service refuses, or cannot answer; so do the other calls.
            pydantic.ValidationError: a field is wrong; nothing was sent.
        """
        return self._post("/recommend", RecommendRequest(queries=list(queries), **options), replies.RecommendReply)

    def recommend_table(self, queries: Any, options: Mapping[str, Any] | None = None) -> Any:
        """Candidates as an Arrow table, for queries as one; for many at once.

        Args:
            queries: a table with a row for each query, whose columns are fields of `Query`.
            options: see `recommend`.

        Returns:
            Columns `query` (the row of the query), `user_id`, `item_id`, `score`, `rank`, `source`, `title`; the name
            of the run is in the metadata, as `run`.
        """
        table = pa.table(queries).replace_schema_metadata({"options": json.dumps(dict(options or {}))})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        answer = self._send("POST", "/recommend", content=sink.getvalue().to_pybytes(), kind=ARROW, accept=ARROW)
        return pa.ipc.open_stream(answer.content).read_all()

    def similar(self, item_ids: Iterable[str], **options: Any) -> replies.SimilarReply:
        """The items most like others; options are fields of `recall.service.questions.SimilarRequest`."""
        return self._post("/similar", SimilarRequest(item_ids=list(item_ids), **options), replies.SimilarReply)

    def explain(self, item_ids: Iterable[str], **asker: Any) -> replies.ExplainReply:
        """Why items are candidates; the others are fields of `recall.service.questions.ExplainRequest`."""
        return self._post("/explain", ExplainRequest(item_ids=list(item_ids), **asker), replies.ExplainReply)

    def score(self, pairs: Iterable[tuple[str, str]], **options: Any) -> replies.ScoreReply:
        """The scores of pairs (user id, item id); options are fields of `recall.service.questions.ScoreRequest`."""
        asked = [Pair(user_id=user, item_id=item) for user, item in pairs]
        return self._post("/score", ScoreRequest(pairs=asked, **options), replies.ScoreReply)

    def feedback(self, events: Iterable[Feedback]) -> replies.FeedbackReply:
        """Write down what users did; events with an `event_id` can be sent again."""
        return self._post("/feedback", FeedbackRequest(events=list(events)), replies.FeedbackReply)

    def item(self, item_id: str, *, neighbours: int = 50) -> replies.NodeReply:
        """What the graph holds about an item."""
        return self._get(f"/items/{quote(item_id, safe='')}", replies.NodeReply, neighbours=neighbours)

    def node(self, node_type: str, node_id: str, *, neighbours: int = 50) -> replies.NodeReply:
        """What the graph holds about a node that is no user."""
        path = f"/nodes/{quote(node_type, safe='')}/{quote(node_id, safe='')}"
        return self._get(path, replies.NodeReply, neighbours=neighbours)

    def history(self, user_id: str, *, limit: int = 100) -> replies.HistoryReply:
        """What a user did, latest first."""
        return self._get(f"/users/{quote(user_id, safe='')}/history", replies.HistoryReply, limit=limit)

    def search(self, kind: Literal["user", "item"], text: str, *, limit: int = 20) -> replies.SearchReply:
        """Users or items with a text in their id or title."""
        return self._get("/search", replies.SearchReply, kind=kind, q=text, limit=limit)

    def runs(self) -> replies.RunsReply:
        """The runs of the folder."""
        return self._get("/runs", replies.RunsReply)

    def report(self, name: str = "current") -> replies.RunReply:
        """What was measured and found when a run was made."""
        return self._get(f"/runs/{quote(name, safe='')}", replies.RunReply)

    def cypher(self, query: str, **parameters: Any) -> replies.CypherReply:
        """Ask the graph, where the service allows it."""
        return self._post("/cypher", CypherRequest(query=query, parameters=parameters), replies.CypherReply)

    def ready(self) -> replies.Health:
        """The run that answers."""
        return self._get("/readyz", replies.Health)

    def _post(self, path: str, request: BaseModel, reply: type[_Reply]) -> _Reply:
        content = request.model_dump_json(exclude_defaults=True).encode()
        return reply.model_validate_json(self._send("POST", path, content=content, kind=JSON).content)

    def _get(self, path: str, reply: type[_Reply], **parameters: Any) -> _Reply:
        return reply.model_validate_json(self._send("GET", path, parameters=parameters).content)

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        kind: str = JSON,
        accept: str = JSON,
        parameters: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        headers = {**self._headers, "Accept": accept, **({} if content is None else {"Content-Type": kind})}
        response = self._http.request(
            method, f"{self._address}{path}", content=content, headers=headers, params=parameters
        )
        if response.is_success:
            return response
        if media_type(response.headers.get("content-type", "")) == "application/problem+json":
            problem = replies.Problem.model_validate_json(response.content)
            raise ServiceProblemError(problem.status, problem.detail, problem.errors or ())
        raise ServiceProblemError(response.status_code, f"{self._address} answers {response.status_code}")
