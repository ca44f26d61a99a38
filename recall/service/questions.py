"""What requests hold besides queries for candidates, as JSON, under the names of the calls in Python."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, FiniteFloat

from recall.serve.questions import Asker, Count, Question, Turned, Weights

UnknownRule = Literal["raise", "skip"]


class SimilarRequest(Question):
    """Items that are most like others."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": ["260"], "k": 5}]})

    item_ids: list[str] = Field(min_length=1)
    k: Count = Field(default=10, description="Similar items of each.")
    by: str | None = Field(
        default=None, description="Channel that compares; default: trained vectors where there are any."
    )
    on_unknown: UnknownRule = "raise"
    titles: bool = True


class ExplainRequest(Asker, Turned):
    """Why items are candidates for a user, or for somebody new."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "202", "item_ids": ["260"]},
                {"liked": ["260", "1196"], "item_ids": ["1210"], "max_hops": 3, "paths": 5},
            ]
        }
    )

    item_ids: list[str] = Field(min_length=1)
    max_hops: int = Field(default=3, ge=1, le=4, description="Longest path.")
    paths: int = Field(default=5, ge=0, le=100, description="How many paths to give.")
    k: Count = Field(default=20, description="Length of the list in which rules moved the items, where there are any.")


class Pair(Question):
    """A user and an item."""

    user_id: str
    item_id: str


class ScoreRequest(Question):
    """The scores of given pairs, in all and by channel."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pairs": [{"user_id": "202", "item_id": "260"}]}]})

    pairs: list[Pair] = Field(min_length=1)
    on_unknown: UnknownRule = "raise"
    titles: bool = True
    weights: Weights = None


class Feedback(Question):
    """One thing that a user did with an item."""

    user_id: str = Field(min_length=1)
    item_id: str = Field(min_length=1)
    kind: Literal["like", "dislike", "impression"] = Field(description="An impression is an item that was shown.")
    time: int | FiniteFloat | str | None = Field(
        default=None, description="Seconds since 1970, or `2024-05-01T12:00`; default: now."
    )
    event_id: str | None = Field(
        default=None, min_length=1, description="The same however often the event is sent, so that it counts once."
    )


class FeedbackRequest(Question):
    """What users did with their candidates; all of it is written down, or nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"events": [{"user_id": "202", "item_id": "260", "kind": "like", "event_id": "click-17"}]}]
        }
    )

    events: list[Feedback] = Field(min_length=1)


class CypherRequest(Question):
    """A query that only reads."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "MATCH (m:Movie {id: $id}) RETURN m.id AS id", "parameters": {"id": "260"}}]
        }
    )

    query: str = Field(min_length=1)
    parameters: dict[str, str | int | FiniteFloat | bool | list[str] | list[int] | list[FiniteFloat] | None] = Field(
        default={}, description="The values by name."
    )
