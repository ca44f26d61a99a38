"""What a new run must hold before it may serve: the section `gate` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Metric = Literal["recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg"]


class FirstLimits(BaseModel):
    """Limits of a run by itself; the first run has no others.

    Attributes:
        minimum: metric -> what it must reach at least, such as `{ndcg = 0.05}`.
        ahead_of_popularity: every judged metric must be above that of the most liked items.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum: dict[Metric, Annotated[float, Field(ge=0, le=1)]] = {}
    ahead_of_popularity: bool = False


class ChangeLimits(FirstLimits):
    """Limits of a run beside the one that serves. All are shares; 1 for those that look at losses switches one off.

    Attributes:
        metric_loss: of a metric that may be lost. A larger loss counts when it is no chance: when the bootstrap
            interval of the paired difference over users lies below 0.
        coverage_loss: of the recommended items that may be lost.
        top_changed: of the users, who may keep fewer than half of their top 10.
        gone: of the users, the items, the interactions or the edges of a relation, that may be missing.
        more: of each of them, that may be there in addition: 1 is twice as many.
    """

    metric_loss: float = Field(default=0.05, ge=0, le=1)
    coverage_loss: float = Field(default=0.2, ge=0, le=1)
    top_changed: float = Field(default=0.3, ge=0, le=1)
    gone: float = Field(default=0.2, ge=0, le=1)
    more: float = Field(default=1.0, ge=0)


class FullLimits(ChangeLimits):
    """The same for a run that was built anew, which differs more.

    On the bundled movies another seed alone changes the top 10 of 20% of the users that much, the metrics by up to 2%
    and the coverage by 3%.
    """

    metric_loss: float = Field(default=0.1, ge=0, le=1)
    coverage_loss: float = Field(default=0.4, ge=0, le=1)
    top_changed: float = Field(default=0.6, ge=0, le=1)


class GateSettings(BaseModel):
    """How a new run is judged.

    Attributes:
        k: cut-off of the metrics.
        metrics: those that are judged.
        users: who are asked, at most; a seeded choice.
        keep: how many rejected runs stay.
        first: limits where no run serves.
        incremental: limits of a run that went on from the one that serves.
        full: limits of one built anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(default=20, ge=1, le=1000)
    metrics: tuple[Metric, ...] = Field(default=("recall", "ndcg"), min_length=1)
    users: int = Field(default=2_000, ge=1)
    keep: int = Field(default=2, ge=1)
    first: FirstLimits = FirstLimits()
    incremental: ChangeLimits = ChangeLimits()
    full: FullLimits = FullLimits()
