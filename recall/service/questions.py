"""What requests hold, as JSON. Names are those of the calls in Python (`recall.serve`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from kg.times import utc_seconds

UnknownRule = Literal["raise", "skip"]


class Question(BaseModel):
    """The base of all requests: nothing is converted, unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TimedItem(Question):
    """An item of a history, and when."""

    item_id: str
    time: int | FiniteFloat | str = Field(
        description="Seconds since 1970, or `2024-05-01T12:00`; UTC unless it names a zone.", examples=["2024-05-01"]
    )

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, value: int | float | str) -> int | float | str:
        if isinstance(value, str):
            utc_seconds(value)
        return value


class Person(Question):
    """Somebody who is not in the graph: at least one of the five."""

    history: list[str] | list[TimedItem] | None = Field(
        default=None, description="Ids of items, oldest first, or items with times in any order."
    )
    liked: list[str] | None = Field(default=None, description="Ids of items, more like these.", examples=[["260"]])
    disliked: list[str] | None = Field(default=None, description="Ids of items, less like these.")
    text: str | None = Field(default=None, description="What the person looks for, or is like.")
    attributes: dict[str, list[str]] | None = Field(
        default=None, description="Relation of the items -> ids of its other ends."
    )

    @property
    def describes(self) -> bool:
        """Whether any of the five is there."""
        return any(getattr(self, name) is not None for name in Person.model_fields)


class Asker(Person):
    """Who asks: a user of the graph by id, or somebody new."""

    user_id: str | None = Field(default=None, description="Id of a user of the graph.", examples=["202"])

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.user_id is not None) == self.describes:
            raise ValueError(
                "give `user_id`, or what somebody new is like (`history`, `liked`, `disliked`, `text`, `attributes`)"
            )
        return self


Count = Annotated[int, Field(ge=1)]
Weights = Annotated[
    Annotated[dict[str, Annotated[FiniteFloat | int, Field(ge=0)]], Field(min_length=1)] | None,
    Field(description="Weight of each channel of a fusion, in place of the run's; 0 leaves a channel out."),
]


class Query(Asker):
    """One query of a request. What it says counts beside what the request says for all."""

    k: Count | None = Field(default=None, description="Candidates wanted; default: the `k` of the request.")
    exclude: list[str] | None = Field(default=None, description="Ids of items to leave out, beside those for all.")
    candidates: list[str] | None = Field(
        default=None, description="Ids of the only items allowed, in place of those for all."
    )
    filter: str | None = Field(default=None, description="Which items are allowed, in place of the one for all.")


class RecommendRequest(Question):
    """Candidates for users, and for people who are not in the graph."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"queries": [{"user_id": "202"}, {"user_id": "1", "k": 3}], "k": 10},
                {
                    "queries": [{"liked": ["260", "1196"], "disliked": ["2628"], "text": "slow space drama"}],
                    "filter": 'date_published < 1990 and genre in ["Drama"]',
                    "exclude": ["1210"],
                },
            ]
        }
    )

    queries: list[Query] = Field(min_length=1)
    k: Count = Field(default=20, description="Candidates of each query.")
    exclude: list[str] | None = Field(default=None, description="Ids of items to leave out, beside what was seen.")
    candidates: list[str] | None = Field(default=None, description="Ids of the only items allowed.")
    filter: str | None = Field(default=None, description="Which items are allowed; see the page on requests.")
    exclude_seen: bool = Field(default=True, description="Leave out what the user has touched.")
    on_unknown: Literal["raise", "skip", "popular"] = Field(
        default="raise",
        description='For ids that the graph does not hold: "raise" refuses the request, "skip" goes on without, '
        '"popular" also answers unknown users with the most liked items.',
    )
    titles: bool = Field(default=True, description="Give the titles of the items.")
    channel_scores: bool = Field(default=False, description="Give the score of each channel before the fusion.")
    weights: Weights = None


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


class ExplainRequest(Asker):
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
    weights: Weights = None


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
