"""When a refresh goes on from the run that serves: the section `refresh`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kg.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSettings:
    """When a refresh goes on from the run that serves, and how much it trains then.

    Attributes:
        full_after: incremental runs in a row, after which a full one is made; 0: every run is a full one.
        full_above: share of the interactions, or of the items, that were added, removed or changed since the run that
            serves; above it a full run is made.
        full_below: share of the last full run's lead over popularity (NDCG in the gate's readings); when an incremental
            run comes out below it, the next one is a full one. Model and popularity are asked for the same, so that
            data that became harder is no drift.
        warm_share: steps of an incremental training, as a share of those of the last full one.
        warm_rate: its learning rate, as a share of training.learning_rate.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    full_after: int = 20
    full_above: float = 0.2
    full_below: float = 0.9
    warm_share: float = 0.06
    warm_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.full_after < 0:
            raise ConfigError(f"refresh.full_after = {self.full_after} must not be negative; 0 makes every run full")
        for name in ("full_above", "full_below"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"refresh.{name} = {getattr(self, name)} must be a share, from 0 to 1")
        for name in ("warm_share", "warm_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"refresh.{name} = {getattr(self, name)} must be above 0 and at most 1")
