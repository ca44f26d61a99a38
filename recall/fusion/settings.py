"""How the scores of several channels become one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from kg.settings import Settings

Spread = Literal["best", "all"]


class FusionConfig(Settings):
    """How the scores of several channels become one."""

    section: ClassVar[str] = "fusion"

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Weight of each channel, by name; a channel of weight 0 is not asked. Only the ratios of the "
        "weights matter to the ranking.",
    )
    untouched: float = Field(
        default=1.0,
        ge=1,
        description="Factor of the score of an item that nobody likes: channels that learn from likes add nothing to "
        "it, so that it would stand behind all others.",
    )
    depth: int = Field(
        default=200,
        ge=2,
        description="How many of its best items each channel contributes, and over how many the spread of its scores "
        "is taken.",
    )

    spread: Spread = Field(
        default="best",
        description='What the scores of a channel are divided by for a request: "best", the deviation of its best '
        'ones; "all", that of its scores of all items, where all channels are inner products (recall.fusion.joined).',
    )

    @field_validator("weights")
    @classmethod
    def _weights_are_not_all_0(cls, value: dict[str, float]) -> dict[str, float]:
        if value and not any(value.values()):
            raise ValueError("are all 0: give at least one channel a weight above 0")
        return value
