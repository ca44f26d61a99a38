"""Where a refresh records how it ended: the section `watch`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from kg.settings import Settings


class WatchSettings(Settings):
    """How a refresh can be monitored."""

    section: ClassVar[str] = "watch"

    prometheus: Path | None = Field(
        default=None,
        description="Text file for node_exporter's textfile collector, written after every refresh; relative to the "
        "configuration file. Its name must end in .prom, or the collector would not read it.",
    )
    history: int = Field(
        default=500,
        ge=1,
        le=100_000,
        description="How many summaries are kept in the runs folder, for the plots of the reports.",
    )

    @field_validator("prometheus")
    @classmethod
    def _the_collector_reads_it(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError(f"{value}: the textfile collector reads names that end in .prom only")
        return value
