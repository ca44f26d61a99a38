"""What a new run must hold before it may serve: the section `gate` of the configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kg.settings import Settings

Metric = Literal["recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg"]


class FirstLimits(Settings):
    """Limits of a run by itself; the first run has no others."""

    section: ClassVar[str] = "gate.first"

    minimum: dict[Metric, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description="Metric -> what it must reach at least, such as `{ ndcg = 0.05 }`."
    )
    ahead_of_popularity: bool = Field(
        default=False, description="Every judged metric must be above that of the most liked items."
    )


class ChangeLimits(FirstLimits):
    """Limits of a run beside the one that serves. All are shares; 1 switches off those that look at losses."""

    section: ClassVar[str] = "gate.incremental"

    metric_loss: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of a metric that may be lost. A larger loss counts when it is not due to chance: when the "
        "bootstrap interval of the paired difference over users lies below 0.",
    )
    coverage_loss: float = Field(
        default=0.2, ge=0, le=1, description="Share of the recommended items that may be lost."
    )
    top_changed: float = Field(
        default=0.3, ge=0, le=1, description="Share of the users who may keep fewer than half of their top 10."
    )
    gone: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the users, of the items, of the interactions or of the edges of a relation that may be "
        "missing.",
    )
    in_common: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the users, and of the items, of the run that serves that must be in the new one, also "
        "after the sources were changed: with fewer there is nothing to compare. 0 lets such a run serve.",
    )
    more: float = Field(
        default=1.0, ge=0, description="Share of each of them that may be there in addition: 1 is twice as many."
    )


class FullLimits(ChangeLimits):
    """The same for a run that was built anew, which differs more.

    On the bundled movies another seed alone changes the top 10 of 20% of the users that much, the metrics by up to 2%
    and the coverage by 3%.
    """

    section: ClassVar[str] = "gate.full"

    metric_loss: float = Field(default=0.1, ge=0, le=1, description="As in `gate.incremental`.")
    coverage_loss: float = Field(default=0.4, ge=0, le=1, description="As in `gate.incremental`.")
    top_changed: float = Field(default=0.6, ge=0, le=1, description="As in `gate.incremental`.")


class GateSettings(Settings):
    """How a new run is judged."""

    section: ClassVar[str] = "gate"

    k: int = Field(default=20, ge=1, le=1000, description="Cut-off of the metrics.")
    metrics: tuple[Metric, ...] = Field(
        default=("recall", "ndcg"), min_length=1, description="The metrics that are judged."
    )
    users: int = Field(default=2_000, ge=1, description="Users that are measured, at most; a seeded choice.")
    keep: int = Field(default=2, ge=1, description="How many rejected runs stay.")
    first: FirstLimits = Field(default=FirstLimits(), description="Limits where no run serves yet.")
    incremental: ChangeLimits = Field(
        default=ChangeLimits(), description="Limits of a run that went on from the one that serves."
    )
    full: FullLimits = Field(default=FullLimits(), description="Limits of a run that was built anew.")
