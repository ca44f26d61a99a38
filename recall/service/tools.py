"""The same answers for assistants, as tools of the Model Context Protocol; nothing can be changed through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from kg import __version__
from kg.errors import GraphRecallError
from recall.config.service import ServiceLimits
from recall.serve.query_answers import recommend_table
from recall.serve.questions import Query, RecommendRequest
from recall.serve.recommender import Recommender
from recall.serve.watch import RunWatch
from recall.service import answering, replies
from recall.service.limits import check_count, check_id, check_request
from recall.service.questions import ExplainRequest, SimilarRequest

_Reply = TypeVar("_Reply", bound=BaseModel)

INSTRUCTIONS = (
    "Recommendations from a knowledge graph. `search` finds the ids of users and items by a part of their title. "
    "`recommend` gives candidates for a user, or for somebody new by liked items and a text; `explain` says why an "
    "item is one, with the paths of the graph behind it; every number in it is computed, none is guessed."
)
READING = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
Rows = Annotated[int, Field(ge=1, le=100)]


class Reasons(replies.Reply):
    """Why items are candidates, in words, and a query that finds the paths in the graph."""

    reasons: list[Reason]


class Reason(BaseModel):
    """Why one item is a candidate."""

    item_id: str
    title: str
    score: float
    text: str = Field(description="Shares of the score, and paths.")
    cypher: str | None = Field(description="Finds the paths again.")


def make_server(recommender: Callable[[], Recommender], limits: ServiceLimits) -> MCPServer[Any]:
    """The tools.

    Args:
        recommender: gives the one that answers now.
        limits: of requests.
    """
    server: MCPServer[Any] = MCPServer(
        "graphrecall", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )

    def tool(function: Callable[..., _Reply]) -> Callable[..., _Reply]:
        @wraps(function)
        def told(*arguments: Any, **named: Any) -> _Reply:
            try:
                return function(*arguments, **named)
            except (GraphRecallError, ValueError) as error:
                raise ToolError(str(error)) from error

        server.tool(annotations=READING)(told)
        return told

    @tool
    def search(kind: Literal["user", "item"], text: str, limit: Rows = 10) -> replies.SearchReply:
        """Users or items by a part of their id or title; case and accents do not count."""
        check_id("text", text, limits)
        return replies.SearchReply.model_validate(answering.search(recommender(), kind, text, limit=limit))

    @tool
    def recommend(
        queries: list[Query], k: Rows = 10, filter: str | None = None, exclude: list[str] | None = None
    ) -> replies.RecommendReply:
        """Candidates for users of the graph (user_id), or for somebody new (liked, disliked, text, attributes).

        `filter` says which items may come, such as `year >= 1990 and genre in ["Drama"]`.
        """
        request = RecommendRequest(queries=queries, k=k, filter=filter, exclude=exclude)
        check_request(request, limits)
        asked = recommender()
        table = recommend_table(asked, request)
        return replies.RecommendReply.model_validate(answering.recommend_reply(asked, request, table))

    @tool
    def similar(item_ids: list[str], k: Rows = 10) -> replies.SimilarReply:
        """The items most like others."""
        request = SimilarRequest(item_ids=item_ids, k=k)
        check_request(request, limits)
        return replies.SimilarReply.model_validate(answering.similar(recommender(), request))

    @tool
    def explain(
        item_ids: list[str],
        user_id: str | None = None,
        liked: list[str] | None = None,
        disliked: list[str] | None = None,
        text: str | None = None,
    ) -> Reasons:
        """Why items are candidates for a user of the graph (user_id), or for somebody new (liked, disliked, text)."""
        request = ExplainRequest(item_ids=item_ids, user_id=user_id, liked=liked, disliked=disliked, text=text)
        check_request(request, limits)
        asked = answering.explain(recommender(), request)
        reasons = [
            {
                "item_id": each["item_id"],
                "title": each["item_title"],
                "score": each["score"],
                "text": each["text"],
                "cypher": None if each["query"] is None else each["query"]["text"],
            }
            for each in asked["explanations"]
        ]
        return Reasons.model_validate({"run": asked["run"], "reasons": reasons})

    @tool
    def item(item_id: str, neighbours: Rows = 20) -> replies.NodeReply:
        """What the graph holds about an item, and what it is joined to; users are counted, not named."""
        check_id("item_id", item_id, limits)
        return replies.NodeReply.model_validate(answering.node(recommender(), None, item_id, neighbours=neighbours))

    @tool
    def history(user_id: str, limit: Rows = 20) -> replies.HistoryReply:
        """What a user did, latest first."""
        check_id("user_id", user_id, limits)
        check_count("limit", limit, limits)
        return replies.HistoryReply.model_validate(answering.history(recommender(), user_id, limit=limit))

    return server


def serve_tools(run: Path, limits: ServiceLimits, *, reload_every: float) -> None:
    """Answer on standard input and output until the input ends.

    Args:
        run: the link to the run that serves.
        limits: of requests.
        reload_every: seconds between two looks whether another run serves.

    Raises:
        ArtifactError: there is no run, or it cannot be loaded.
    """
    with RunWatch(run, every=reload_every) as watch:
        make_server(lambda: watch.recommender, limits).run("stdio")
