"""Where a refresh leaves word of how it ended: the section `watch`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class WatchSettings(BaseModel):
    """How a refresh can be watched.

    Attributes:
        prometheus: text file for node_exporter's textfile collector, written after every refresh; relative to the
            config file. It must end in .prom, or the collector would not read it.
        history: how many summaries are kept in the runs folder, for the plots of the reports.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prometheus: Path | None = None
    history: int = Field(default=500, ge=1, le=100_000)

    @field_validator("prometheus")
    @classmethod
    def _the_collector_reads_it(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError(f"watch.prometheus is {value}: the textfile collector reads names that end in .prom only")
        return value
