"""Which channels a run serves, where each lies, and with which weights their scores are combined: pipeline.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from kg.io.files import read_json, write_json
from recall.runs.damage import damaged
from recall.runs.layout import RunLayout
from recall.runs.report import ReportPart

OWN = "graphrecall"
ArtifactKind = Literal["models", "channels"]


class SavedChannel(ReportPart):
    """One channel of a run."""

    kind: ArtifactKind = Field(description="the kind of its artifact: models are trained, channels closed formulas")
    package: str = Field(description="the package that has the channel, for a message where it is not installed")
    recipe: dict[str, Any] = Field(default={}, description="what the fit on the validation part chose")


class SavedPipeline(ReportPart):
    """The channels of a run."""

    channels: dict[str, SavedChannel] = Field(min_length=1, description="by name, in their order")
    weights: dict[str, float] = Field(default={}, description="of a fusion; empty for a single channel")
    untouched: float = Field(default=1.0, description="of a fusion, see recall.fusion")
    depth: int = Field(default=200, description="of a fusion, see recall.fusion")
    spread: Literal["best", "all"] = Field(default="best", description="of a fusion, see recall.fusion")

    @classmethod
    def load(cls, run: RunLayout) -> SavedPipeline:
        """Read pipeline.json of a run.

        Raises:
            ArtifactError: the run is of another format, or the file is missing or damaged.
        """
        run.check_format()
        try:
            return cls.model_validate(read_json(run.pipeline))
        except ValidationError as error:
            raise damaged(run.pipeline, error) from error

    def save(self, run: RunLayout) -> None:
        """Write pipeline.json of a run."""
        write_json(run.pipeline, self.to_json())
