"""When a refresh goes on from the run that serves: the section `refresh`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kg.settings import Settings


class RefreshSettings(Settings):
    """When a refresh goes on from the run that serves, and how much it trains then."""

    section: ClassVar[str] = "refresh"

    full_after: int = Field(
        default=20,
        ge=0,
        description="Incremental runs in a row, after which a full one is made; 0: every run is a full one.",
    )
    full_above: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the interactions, or of the items, that were added, removed or changed since the run "
        "that serves; above it a full run is made.",
    )
    full_below: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Share of the last full run's lead over popularity (NDCG in the gate's measurements). When an "
        "incremental run comes out below it, the next one is a full one. Model and popularity are measured on the same "
        "users, so that data that became harder does not count as a loss.",
    )
    warm_share: float = Field(
        default=0.06,
        gt=0,
        le=1,
        description="Steps of an incremental training, as a share of the steps of the last full one.",
    )
    warm_rate: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Learning rate of an incremental training, as a share of the configured one.",
    )
