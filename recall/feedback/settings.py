"""The section `feedback` of a configuration."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kg.settings import Settings


class FeedbackSettings(Settings):
    """With this section the likes and dislikes of the feedback log beside the runs enter every refresh."""

    section: ClassVar[str] = "feedback"

    exclude_after: int | None = Field(
        default=None,
        ge=1,
        description="How often an item is shown to a user, by the impressions of the log, before it leaves that user's "
        "candidates; default: never.",
    )
