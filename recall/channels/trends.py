"""What is liked lately, and what is liked more than before: two channels that are the same for everybody."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.interactions import NO_TIME
from kg.settings import Settings
from recall.channels.popularity import SameForAll
from recall.channels.scores import FloatArray
from recall.contracts import FitData

_DAY = 86_400.0  # seconds


class RecentConfig(Settings):
    """Hyper-parameters of what is popular lately."""

    section: ClassVar[str] = "channels.recent"

    half_life_days: float = Field(
        default=30.0, gt=0, description="Days before the newest interaction after which a like counts half."
    )


class Recent(SameForAll):
    """Items by their likes, each counted 0.5^(days before the newest interaction / half-life)."""

    name: ClassVar[str] = "recent"
    config_type: ClassVar[type[Any]] = RecentConfig

    def _counted(self, data: FitData) -> dict[str, FloatArray]:
        items, age = _likes_by_age(data, self.name)
        worth = np.power(0.5, age / self.config.half_life_days)
        count = data.history.num_items
        return {"worth": np.bincount(items, weights=worth, minlength=count).astype(np.float32)}

    def _values(self) -> FloatArray:
        return self._counts["worth"]

    def _words(self, item: int) -> str:
        worth, days = self._counts["worth"][item], self.config.half_life_days
        return f"its likes come to {worth:.1f}, where one of {days:g} days ago counts half"


class TrendingConfig(Settings):
    """Hyper-parameters of what is liked more than before."""

    section: ClassVar[str] = "channels.trending"

    days: float = Field(
        default=30.0, gt=0, description="Length of the two spans that are compared: the last one and the one before it."
    )


class Trending(SameForAll):
    """Items by how much more they were liked in the last days than in as many days before: (r - e) / sqrt(r + e + 1).

    r are the likes of the last span, e those of the span before times the growth of all likes together. The
    denominator is the standard deviation of the difference of two counts: 30 after 10 counts more than 3 after 1.
    """

    name: ClassVar[str] = "trending"
    config_type: ClassVar[type[Any]] = TrendingConfig

    def _counted(self, data: FitData) -> dict[str, FloatArray]:
        items, age = _likes_by_age(data, self.name)
        span = np.floor(age / self.config.days)
        count = data.history.num_items
        return {
            name: np.bincount(items[span == number], minlength=count).astype(np.float32)
            for number, name in enumerate(("last", "before"))
        }

    def _values(self) -> FloatArray:
        last, before = self._counts["last"], self._counts["before"]
        expected = before * np.float32(last.sum() / max(float(before.sum()), 1.0))
        values: FloatArray = (last - expected) / np.sqrt(last + expected + 1)
        return values

    def _words(self, item: int) -> str:
        last, before = int(self._counts["last"][item]), int(self._counts["before"][item])
        return f"{last} likes in the last {self.config.days:g} days, {before} in as many days before"


def _likes_by_age(data: FitData, channel: str) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """The item of each like, and how many days it is older than the newest interaction, (likes,) each.

    Raises:
        ConfigError: no interaction has a time.
    """
    events = data.history.events
    own = (events.kinds == 0) & (events.times != NO_TIME)
    if not own.any():
        raise ConfigError(
            f"the channel {channel!r} needs the times of the interactions, and these have none: name their column "
            "(columns.timestamp), or leave the channel out"
        )
    liked = data.history.in_order(np.arange(data.history.num_users))
    dated = liked.times != NO_TIME
    age = (events.times[own].max() - liked.times[dated]) / _DAY
    return liked.values[dated], age
