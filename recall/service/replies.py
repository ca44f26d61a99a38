"""What answers hold, as JSON: the shapes that the OpenAPI description promises."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kg.cypher.query import CypherQuery
from recall.explain.entries import ChannelPart, Connection, PathReasons, Reason
from recall.runs.report import Report


class Reply(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(description="Name of the run that answered; no answer mixes two.", examples=[""])


class Candidate(BaseModel):
    """An item, and its place."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    score: float
    rank: int = Field(description="From 1.")
    source: str = Field(description='The channels that list it, or "popularity" where none answers the query.')
    title: str | None = Field(default=None, description="Where titles were asked for.")
    round: int | None = Field(default=None, description="Which round of the rules brought it, where the run has rules.")
    moves: str | None = Field(default=None, description="Which rules moved it, where the run has rules.")
    channels: dict[str, float] | None = Field(
        default=None, description="Score of each channel before the fusion, where it was asked for."
    )


class QueryAnswer(BaseModel):
    """The candidates of one query, best first."""

    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(description="As it was asked; null for somebody new.")
    candidates: list[Candidate] = Field(description="None for a user whom `on_unknown` skips.")


class RecommendReply(Reply):
    """An answer for each query, in their order."""

    answers: list[QueryAnswer]


class SimilarItem(BaseModel):
    """An item that is like another."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    score: float
    rank: int
    title: str | None = None


class SimilarAnswer(BaseModel):
    """What is like one item, most like it first."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    similar: list[SimilarItem]


class SimilarReply(Reply):
    """An answer for each item that was asked about, in their order."""

    answers: list[SimilarAnswer]


class PairScore(BaseModel):
    """The score of a pair."""

    model_config = ConfigDict(extra="forbid")

    user_id: str
    item_id: str
    score: float = Field(description="What candidates are ranked by.")
    source: str
    channels: dict[str, float] = Field(description="Score of each channel before the fusion.")
    title: str | None = None


class ScoreReply(Reply):
    """The score of each pair, in their order; without those that `on_unknown` skips."""

    scores: list[PairScore]


class Shares(BaseModel):
    """A score split over the first hops of either side; each side adds up to it."""

    model_config = ConfigDict(extra="forbid")

    history: list[Reason]
    neighbours: list[Reason]
    cross: list[float]
    linked: float | None
    linked_fraction: float | None


class DrawnNode(BaseModel):
    """A node of the paths; see `recall.explain.drawing.reason_graph.DrawnNode`."""

    model_config = ConfigDict(extra="forbid")

    title: str
    caption: str
    kind: str
    type: str
    id: str = Field(description="Empty for what stands for several nodes, and for somebody new.")
    column: int


class DrawnEdge(BaseModel):
    """An edge of the paths between two nodes by their position."""

    model_config = ConfigDict(extra="forbid")

    near: int
    far: int
    label: str
    share: float | None = Field(description="Of the score; null where it carries none of its own.")
    fraction: float | None


class Drawing(BaseModel):
    """The paths as a graph in columns, each node and edge once."""

    model_config = ConfigDict(extra="forbid")

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]


class ItemExplanation(BaseModel):
    """Why an item is a candidate; see `recall.explain.explanation.Explanation`."""

    model_config = ConfigDict(extra="forbid")

    user_id: str
    item_id: str
    item_title: str
    source: str
    score: float
    reason: str | None = Field(description="Why the score is not split; null where it is.")
    parts: list[ChannelPart] = Field(description="What each of several fused channels adds; they add up to the score.")
    shares: Shares | None
    by_paths: PathReasons | None = Field(description="The score as a sum over paths; null where it is none.")
    left_out: list[Reason] = Field(description="What the score loses without each item of the history.")
    paths: list[Connection] = Field(description="Paths of the graph that connect the two.")
    paths_found: int
    query: CypherQuery | None = Field(description="Finds all these paths in a store.")
    score_queries: dict[str, CypherQuery] = Field(description="Channel -> recomputes its part of the score in a store.")
    moves: str = Field(description="Which rules of the run moved it in the list; empty without any.")
    text: str = Field(description="All of it in English.")
    drawing: Drawing


class ExplainReply(Reply):
    """An explanation for each item, in their order."""

    explanations: list[ItemExplanation]


class FeedbackReply(Reply):
    """What became of events that were sent; they are on the disk and count from the next request on."""

    accepted: int = Field(description="Events that are in the log now and were not before.")
    repeated: int = Field(description="Events whose id the log had already, or that came twice.")
    unknown_users: list[str] = Field(description="Users whom the graph does not hold; they are kept as well.")
    unknown_items: list[str] = Field(description="Items that the graph does not hold; they are kept as well.")


class NodeName(BaseModel):
    """A node, and what to call it before people."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str


class RelationNeighbours(BaseModel):
    """The other ends of the edges of one relation."""

    model_config = ConfigDict(extra="forbid")

    relation: str
    forward: bool = Field(description="Whether the edges lead from the node to these.")
    type: str = Field(description="Node type of the other ends.")
    count: int
    nodes: list[NodeName] = Field(description="The first of them; users are counted and not named.")


class NodeReply(Reply):
    """What the graph holds about a node."""

    type: str
    id: str
    title: str
    attributes: dict[str, Any]
    neighbours: list[RelationNeighbours]
    liked_by: int | None = Field(description="How many users like it; null for what is no item.")


class HistoryEntry(BaseModel):
    """What a user did to an item."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    title: str
    liked: bool
    rating: float | None = None
    timestamp: int | None = Field(default=None, description="Seconds since 1970.")


class HistoryReply(Reply):
    """What a user did, latest first."""

    user_id: str
    count: int = Field(description="How many there are in all.")
    history: list[HistoryEntry]


class Hit(BaseModel):
    """A user or an item that a search gives."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str
    likes: int = Field(description="How many items the user likes, or users the item.")


class SearchReply(Reply):
    """Closest first."""

    kind: Literal["user", "item"]
    hits: list[Hit]


class RunFacts(BaseModel):
    """A run of the runs folder."""

    model_config = ConfigDict(extra="forbid")

    name: str
    current: bool = Field(description="Whether it is the one that serves.")
    answers: bool = Field(description="Whether this process answers from it.")
    created: str
    bytes: int
    metrics: dict[str, float]
    refused: list[str] = Field(description="Why the gate refused it; empty where it did not.")
    problem: str | None = Field(description="What is wrong with it.")


class RunsReply(Reply):
    """The runs of the folder, oldest first."""

    runs: list[RunFacts]


class RunRules(BaseModel):
    """What a run says where a request does not."""

    model_config = ConfigDict(extra="forbid")

    diversity: float | None = Field(description="null where no channel has vectors of the items to compare.")
    long_tail: float


class RunReply(Reply):
    """What was measured and found when a run was made."""

    name: str
    report: Report
    rules: RunRules | None = Field(description="How candidates are ordered, of the run that answers; null of others.")


class CypherReply(Reply):
    """The rows of a query."""

    rows: list[dict[str, Any]]


class Health(BaseModel):
    """Whether the process lives, or is ready."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ok", "ready"]
    run: str | None = Field(default=None, description="Name of the run that answers.")


class Problem(BaseModel):
    """What went wrong (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(default="about:blank")
    title: str = Field(description="The kind of problem.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What was wrong, where, and what to do.")
    errors: list[str] | None = Field(default=None, description="A line for each field that is wrong.")
