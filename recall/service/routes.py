"""The addresses of the service, and what each is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json

from recall.serve.query_answers import recommend_table
from recall.serve.questions import RecommendRequest
from recall.serve.recommender import Recommender
from recall.service import answering, replies
from recall.service.arrow import ArrowRoute, table_bytes
from recall.service.limits import check_count, check_id, check_request
from recall.service.media import ARROW, JSON, wants_arrow
from recall.service.metrics import ServiceMetrics
from recall.service.questions import (
    CypherRequest,
    ExplainRequest,
    FeedbackRequest,
    ScoreRequest,
    SimilarRequest,
)
from recall.service.runner import Runner

ItemId = Annotated[str, Path(description="External id of the item; it may hold slashes.", examples=["260"])]
UserId = Annotated[str, Path(description="External id of the user.", examples=["202"])]
Rows = Annotated[int, Query(ge=1, description="Rows at most.")]
Named = Annotated[int, Query(ge=0, description="Nodes named under each relation.")]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": replies.Problem, "description": "The body is no JSON."},
    401: {"model": replies.Problem, "description": "The key is missing or wrong."},
    404: {"model": replies.Problem, "description": "An id is not in the graph."},
    408: {"model": replies.Problem, "description": "The body came too slowly."},
    413: {"model": replies.Problem, "description": "The body is too large."},
    415: {"model": replies.Problem, "description": "The body is of another type."},
    421: {"model": replies.Problem, "description": "The service is not asked under this name."},
    422: {"model": replies.Problem, "description": "A field is wrong, or asks for more than the service allows."},
    503: {"model": replies.Problem, "description": "Not ready, or too busy."},
    504: {"model": replies.Problem, "description": "The answer takes too long."},
}
IN_GET = (401, 404, 421, 422, 503, 504)


def add_routes(app: FastAPI, runner: Runner, metrics: ServiceMetrics) -> None:
    """Add all addresses to an application.

    Args:
        app: the application.
        runner: answers.
        metrics: counts candidates, and is shown.
    """
    app.include_router(_questions(runner, metrics))
    app.include_router(_reading(runner))
    app.include_router(_operation(runner, metrics))
    if runner.settings.cypher:
        app.include_router(_cypher(runner))


async def _json(runner: Runner, question: Callable[[Recommender], Any]) -> Response:
    """The answer to a question as JSON, written in the thread that answers."""
    body = await runner.ask(lambda recommender: as_json(question(recommender)))
    return Response(body, media_type=JSON)


def as_json(data: Any) -> bytes:
    """Plain data as JSON; a number that JSON has not is null."""
    return to_json(data, inf_nan_mode="null", fallback=str)


def _questions(runner: Runner, metrics: ServiceMetrics) -> APIRouter:
    router, limits = APIRouter(responses=PROBLEMS), runner.settings.limits

    async def recommend(request: RecommendRequest, http: Request) -> Response:
        """Candidates for users, and for people who are not in the graph; an answer for each query.

        In place of JSON, queries can be sent as a table and candidates asked for as one (Arrow IPC streams).
        """
        check_request(request, limits)
        as_table = wants_arrow(http.headers.get("accept", ""))

        def question(recommender: Recommender) -> bytes:
            table = recommend_table(recommender, request)
            metrics.count_candidates(table)
            if as_table:
                return table_bytes(table, answering.run_name(recommender))
            return as_json(answering.recommend_reply(recommender, request, table))

        return Response(await runner.ask(question), media_type=ARROW if as_table else JSON)

    stream = {"schema": {"type": "string", "format": "binary"}}
    router.add_api_route(
        "/recommend",
        recommend,
        methods=["POST"],
        response_model=replies.RecommendReply,
        summary="Candidates",
        responses={200: {"content": {ARROW: stream}}},
        openapi_extra={"requestBody": {"content": {ARROW: stream}}},
        route_class_override=ArrowRoute,
    )

    @router.post("/similar", response_model=replies.SimilarReply, summary="Similar items")
    async def similar(request: SimilarRequest) -> Response:
        """The items that are most like others."""
        check_request(request, limits)
        return await _json(runner, partial(answering.similar, request=request))

    @router.post("/explain", response_model=replies.ExplainReply, summary="Reasons")
    async def explain(request: ExplainRequest) -> Response:
        """Why items are candidates: shares of the score, paths, text, and Cypher that finds the paths again."""
        check_request(request, limits)
        return await _json(runner, partial(answering.explain, request=request))

    @router.post("/score", response_model=replies.ScoreReply, summary="Scores of pairs")
    async def score(request: ScoreRequest) -> Response:
        """The scores of given pairs of a user and an item, in all and by channel."""
        check_request(request, limits)
        return await _json(runner, partial(answering.score, request=request))

    @router.post("/feedback", response_model=replies.FeedbackReply, summary="What users did")
    async def feedback(request: FeedbackRequest) -> Response:
        """Likes, dislikes and impressions. They are on the disk when the answer comes, and count at once."""
        check_request(request, limits)
        return await _json(runner, partial(answering.feedback, request=request))

    return router


def _reading(runner: Runner) -> APIRouter:
    router = APIRouter(responses={status: PROBLEMS[status] for status in IN_GET})
    limits = runner.settings.limits

    @router.get("/items/{item_id:path}", response_model=replies.NodeReply, summary="An item")
    async def item(item_id: ItemId, neighbours: Named = 50) -> Response:
        """What the graph holds about an item, and what it is joined to."""
        return await node(None, item_id, neighbours)

    @router.get("/nodes/{node_type}/{node_id:path}", response_model=replies.NodeReply, summary="A node")
    async def any_node(
        node_type: Annotated[str, Path(examples=["person"])],
        node_id: Annotated[str, Path(description="External id of the node; it may hold slashes.")],
        neighbours: Named = 50,
    ) -> Response:
        """What the graph holds about a node that is no user, and what it is joined to."""
        return await node(node_type, node_id, neighbours)

    async def node(node_type: str | None, node_id: str, neighbours: int) -> Response:
        check_id("the id", node_id, limits)
        check_count("neighbours", neighbours, limits)
        return await _json(runner, partial(answering.node, node_type=node_type, node_id=node_id, neighbours=neighbours))

    @router.get("/users/{user_id:path}/history", response_model=replies.HistoryReply, summary="What a user did")
    async def history(user_id: UserId, limit: Rows = 100) -> Response:
        """What a user did, latest first."""
        check_id("the id", user_id, limits)
        check_count("limit", limit, limits)
        return await _json(runner, partial(answering.history, user_id=user_id, limit=limit))

    @router.get("/search", response_model=replies.SearchReply, summary="Users or items by id or title")
    async def search(
        kind: Annotated[Literal["user", "item"], Query(description="What is searched.")],
        q: Annotated[str, Query(description="A part of an id or title; case and accents do not count.")] = "",
        limit: Rows = 20,
    ) -> Response:
        """Whole ids first, then whole titles, then what begins with the text, then the others."""
        check_id("q", q, limits)
        check_count("limit", limit, limits)
        return await _json(runner, partial(answering.search, kind=kind, text=q, limit=limit))

    @router.get("/runs", response_model=replies.RunsReply, summary="The runs of the folder")
    async def runs() -> Response:
        """The published and the refused runs, oldest first, and which one serves."""
        return await _json(runner, answering.runs)

    @router.get("/runs/{name}", response_model=replies.RunReply, summary="The report of a run")
    async def run(name: Annotated[str, Path(description="Name of a run, or `current`.")]) -> Response:
        """What was measured and found when a run was made; `current` is the one that answers."""
        check_id("the name", name, limits)
        return await _json(runner, partial(answering.run_report, name=name))

    return router


def _operation(runner: Runner, metrics: ServiceMetrics) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", response_model=replies.Health, summary="Whether the process lives")
    async def healthz() -> Response:
        """Always 200: whoever gets no answer starts the process anew."""
        return Response(as_json({"status": "ok"}), media_type=JSON)

    @router.get(
        "/readyz",
        response_model=replies.Health,
        responses={503: {"model": replies.Problem, "description": "No run is loaded and warm yet."}},
        summary="Whether it answers",
    )
    async def readyz() -> Response:
        """200 when a run is loaded and warm."""
        run = answering.run_name(runner.recommender)
        return Response(as_json({"status": "ready", "run": run}), media_type=JSON)

    @router.get("/metrics", response_class=Response, summary="Metrics in Prometheus' format")
    async def shown() -> Response:
        """Latencies, candidates by channel, fallbacks, the age of the run and what its gate said."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router


def _cypher(runner: Runner) -> APIRouter:
    router, limits = APIRouter(responses={**PROBLEMS, 403: PROBLEMS[422]}), runner.settings.limits

    @router.post("/cypher", response_model=replies.CypherReply, summary="A query that only reads")
    async def cypher(request: CypherRequest) -> Response:
        """Ask the graph in Cypher; a query that would write or read files is refused."""
        check_request(request, limits)
        return await _json(runner, partial(answering.cypher, request=request, seconds=limits.seconds))

    return router
