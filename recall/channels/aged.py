"""Channels that sum over a history, in which newer items may count more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.validation import VALIDATION_K, Validation
from kg import RaggedArray
from kg.interactions import NO_TIME
from kg.settings import Settings
from recall.channels.base import HistoryChannel
from recall.channels.weighted import aged_items
from recall.contracts import FitData, Query
from recall.index.top_k import BLOCK_SCORES

TRIED = (2.0, 5.0, 10.0, 20.0, 50.0)
_WORTH = 0.002  # what weighing by age must add to the NDCG, as a part of it: the simpler history otherwise
_USERS = 2_000


class AgedConfig(Settings):
    """How fast the items of a history lose their weight."""

    half_life: Annotated[float, Field(gt=0)] | Literal["validation"] | None = Field(
        default=None,
        description="Age at which an item of the history counts half of the newest; default: all count the same. "
        '"validation": the one with the best NDCG@20 on the validation part.',
    )
    half_life_in: Literal["places", "days"] = Field(
        default="places",
        description='Unit of ages: how many newer items there are ("places"), or how many days before the newest one '
        '("days").',
    )


class AgedChannel(HistoryChannel):
    """A channel whose configuration may be an `AgedConfig`; the fit chooses the half-life where that is asked for."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._tried: dict[str, float] | None = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The half-life, where the fit chose it; see `recall.contracts.Channel`."""
        return {} if self._tried is None else {"half_life": self.config.half_life}

    @property
    def facts(self) -> Mapping[str, Any]:
        """NDCG@20 on validation by half-life, where the fit chose it; see `recall.contracts.Channel`."""
        return {} if not self._tried else {"half_life": {"chosen": self.config.half_life, "ndcg": self._tried}}

    def fit(self, data: FitData) -> Self:
        """Learn, and choose the half-life where that is asked for; returns itself."""
        if self._half_life != "validation":
            return super().fit(data)
        self.config, self._tried = self.config.changed(half_life=data.recipe.get("half_life")), {}
        super().fit(data)
        if data.validation is not None and not data.recipe and (data.history.events.times != NO_TIME).any():
            self._choose(data.validation)
        return self

    def _choose(self, validation: Validation) -> None:
        able = np.flatnonzero((validation.truth.counts > 0) & (self.history.liked.counts > 0))
        users = np.sort(np.random.default_rng(0).permutation(able)[:_USERS])
        if not len(users):
            return
        plain = self.config
        tried: dict[float | None, float] = {}
        for value in (None, *TRIED):
            self.config = plain.changed(half_life=value)
            tried[value] = self._ndcg(users, validation)
        best = max(tried, key=lambda value: tried[value])
        chosen = best if tried[best] > tried[None] * (1 + _WORTH) else None
        self.config = plain.changed(half_life=chosen)
        self._tried = {str(value or "none"): round(ndcg, 5) for value, ndcg in tried.items()}

    def _ndcg(self, users: Any, validation: Validation) -> float:
        step = max(1, BLOCK_SCORES // self.history.num_items)
        parts = [users[start : start + step] for start in range(0, len(users), step)]
        lists = [
            self.score(Query.of_positions(part)).top(VALIDATION_K, exclude=validation.seen.take(part)).items
            for part in parts
        ]
        metrics = per_user_metrics(np.concatenate(lists), validation.truth.take(users), VALIDATION_K)
        return float(metrics["ndcg"].mean())

    @property
    def _half_life(self) -> Any:
        """As configured; a channel of another package may have a configuration without one."""
        return self.config.half_life if isinstance(self.config, AgedConfig) else None

    def _liked(self, queries: Query) -> RaggedArray:
        half_life = self._half_life
        if half_life is None or half_life == "validation":
            return super()._liked(queries)
        return aged_items(queries, self.history, half_life, self.config.half_life_in)
