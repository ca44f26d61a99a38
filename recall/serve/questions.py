"""Queries for candidates as plain data: over HTTP, to assistants, in the files of a batch.

Names are those of the calls in Python (`recall.serve.answers`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from kg.times import utc_seconds


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

Part = Annotated[FiniteFloat | int, Field(ge=0, le=1)]


class Turned(Question):
    """What a request says otherwise than the run."""

    weights: Weights = None
    diversity: Part | None = Field(
        default=None,
        description="What the likeness to the items before it takes from an item; default: what the run has.",
    )
    long_tail: Part | None = Field(
        default=None, description="How far rarely liked items are brought forward; default: what the run has."
    )


class Query(Asker):
    """One query of a request. What it says counts beside what the request says for all."""

    k: Count | None = Field(default=None, description="Candidates wanted; default: the `k` of the request.")
    exclude: list[str] | None = Field(default=None, description="Ids of items to leave out, beside those for all.")
    candidates: list[str] | None = Field(
        default=None, description="Ids of the only items allowed, in place of those for all."
    )
    filter: str | None = Field(default=None, description="Which items are allowed, in place of the one for all.")


class RecommendOptions(Turned):
    """What counts for all queries that are answered together."""

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


class RecommendRequest(RecommendOptions):
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
