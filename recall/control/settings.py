"""The section `pipeline.control`: rounds of prefetches, quotas, boosts, diversity and the long tail."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kg.settings import Settings
from recall.control.filters import parse_filter


def _understood(text: str) -> str:
    parse_filter(text)
    return text


FilterText = Annotated[str, AfterValidator(_understood)]


class Prefetch(Settings):
    """Where candidates come from: one channel, or several prefetches under one fusion."""

    channel: str | None = Field(default=None, description="A channel of the pipeline; without it, `prefetch`.")
    prefetch: tuple[Prefetch, ...] = Field(default=(), description="Prefetches whose lists become one.")
    fusion: Literal["weighted", "reciprocal_rank"] = Field(
        default="weighted",
        description='How the lists become one: "weighted", by the score of the pipeline; "reciprocal_rank", by the sum '
        "of 1 / (60 + rank) over the lists (Cormack et al., SIGIR 2009).",
    )
    limit: int = Field(default=200, ge=1, description="Items at most, the best ones.")
    threshold: float | None = Field(default=None, description="The least score of the channel that counts.")
    filter: FilterText | None = Field(default=None, description="Which items may come; see Requests.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.channel is None) == (not self.prefetch):
            raise ValueError("a prefetch has either a channel or a list of prefetches")
        if self.threshold is not None and self.channel is None:
            raise ValueError("a threshold is of the scores of a channel: give it beside `channel`")
        return self

    def leaves(self) -> Iterator[Prefetch]:
        """The prefetches of channels in it."""
        if self.channel is not None:
            yield self
        for inner in self.prefetch:
            yield from inner.leaves()


class Quota(Settings):
    """How many of the k candidates are, at least or at most, of one kind."""

    name: str = Field(min_length=1, description='In explanations: "new items".')
    filter: FilterText | None = Field(default=None, description="The kind: items that pass a filter.")
    channel: str | None = Field(default=None, description="The kind: items that a channel has among its best.")
    per: str | None = Field(
        default=None, description="Each value of an attribute or relation is a kind of its own: `brand`, `director`."
    )
    at_least: int | None = Field(default=None, ge=1, description="So many, where there are so many, of k if k is less.")
    at_most: int | None = Field(default=None, ge=0, description="No more than so many.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(kind is not None for kind in (self.filter, self.channel, self.per)) != 1:
            raise ValueError(f"the quota {self.name!r} needs one of filter, channel and per")
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the quota {self.name!r} says neither at_least nor at_most")
        if self.per is not None and (self.at_least is not None or not self.at_most):
            raise ValueError(f"the quota {self.name!r} is of each value of {self.per}: give at_most, 1 or more")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"the quota {self.name!r} wants {self.at_least} at least and {self.at_most} at most")
        return self

    @property
    def kind(self) -> tuple[str | None, ...]:
        """What it counts."""
        return (self.filter, self.channel, self.per)


class Boost(Settings):
    """What is added to the score of some items, in parts of the difference between the best candidate and the last."""

    name: str = Field(min_length=1, description='In explanations: "added lately".')
    weight: float = Field(description="Added at full strength; below 0 it is taken away.")
    filter: FilterText | None = Field(default=None, description="The items that get it; default: all.")
    decay: str | None = Field(
        default=None, description="A time of the items: the boost halves with each half-life of their age."
    )
    half_life_days: float = Field(default=30.0, gt=0, description="Half-life of the boost with `decay`.")

    @model_validator(mode="after")
    def _of_some(self) -> Self:
        if self.filter is None and self.decay is None:
            raise ValueError(f"the boost {self.name!r} is the same for all items: give a filter or a decay")
        return self


class Round(Settings):
    """One round: strict ones first, wider ones until k candidates are there."""

    prefetch: tuple[Prefetch, ...] = Field(
        default=(), description="Where its candidates come from; default: the whole pipeline."
    )
    filter: FilterText | None = Field(default=None, description="Which items may come in this round.")


class ControlSettings(Settings):
    """How the candidates of a pipeline are chosen."""

    section: ClassVar[str] = "pipeline.control"

    rounds: tuple[Round, ...] = Field(default=(Round(),), min_length=1, description="Rounds, strict ones first.")
    quotas: tuple[Quota, ...] = Field(default=(), description="How many of a kind there are.")
    boosts: tuple[Boost, ...] = Field(default=(), description="What some items get on top.")
    diversity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): what the likeness to the items "
        "before it takes from an item, where 1 leaves nothing but that. It compares the vectors of a channel.",
    )
    long_tail: float = Field(
        default=0.0, ge=0, le=1, description="How far rarely liked items are brought forward; its cost is measured."
    )
    pool: int = Field(default=5, ge=1, description="Candidates that are chosen from, times k.")

    @model_validator(mode="after")
    def _quotas_fit(self) -> Self:
        names = [quota.name for quota in self.quotas]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two quotas are called {twice[0]!r}")
        for low, high in permutations(self.quotas, 2):
            if low.at_least is None or high.at_most is None or low.kind != high.kind:
                continue
            if low.at_least > high.at_most:
                raise ValueError(
                    f"the quotas {low.name!r} and {high.name!r} contradict each other: {low.at_least} at least, "
                    f"{high.at_most} at most"
                )
        return self

    def channels(self) -> Iterator[str]:
        """Names of the channels that it mentions."""
        for round_ in self.rounds:
            for prefetch in round_.prefetch:
                yield from (leaf.channel for leaf in prefetch.leaves() if leaf.channel is not None)
        yield from (quota.channel for quota in self.quotas if quota.channel is not None)
