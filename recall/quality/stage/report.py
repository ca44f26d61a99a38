"""The evaluation of a recall stage as plain data."""

from __future__ import annotations

from pydantic import Field

from recall.runs.report import EvaluationReport, ReportPart

Interval = tuple[float, float]


class Curve(ReportPart):
    """Precision over recall as lists grow, over all pairs of a user and an item of a group."""

    ranker: str = Field(description="name of a channel or baseline")
    group: str = Field(description="of users")
    average_precision: float = Field(description="area under the curve, as scikit-learn adds it up")
    places: tuple[int, ...] = Field(default=(), description="length of the lists at each point")
    recall: tuple[float, ...] = Field(default=(), description="at each point: found pairs of all that are to be found")
    precision: tuple[float, ...] = Field(default=(), description="at each point: found pairs of all listed ones")


class Overlap(ReportPart):
    """How alike the lists of two channels are."""

    group: str = Field(description="of users")
    k: int = Field(description="length of the lists")
    channels: tuple[str, str] = Field(description="their names")
    jaccard: float = Field(description="items of both / items of either, mean over users")


class OwnHits(ReportPart):
    """What only one channel finds."""

    group: str = Field(description="of users")
    k: int = Field(description="length of the lists")
    channel: str = Field(description="its name")
    hits: int = Field(description="held-out items among its k best")
    alone: int = Field(description="of these, those that no other channel has among its k best")


class Added(ReportPart):
    """What a channel adds to a metric of the fusion: with it less without it, the others' weights as they are."""

    group: str = Field(description="of users")
    channel: str = Field(description="that is left out")
    metric: str = Field(description='such as "recall@100"')
    whole: float = Field(description="with all channels")
    without: float = Field(description="without this one")
    difference: float = Field(description="mean over users")
    interval: Interval = Field(description="95% bootstrap interval of the difference, users drawn in pairs")


class StageReport(EvaluationReport):
    """Each channel and what serves on held-out data."""

    run: str = Field(default="", description="its id")
    calibrated_by: str = Field(
        default="", description="what the classes of items are that lists are compared with histories by"
    )
    curves: tuple[Curve, ...] = Field(default=(), description="one a ranker and group")
    overlaps: tuple[Overlap, ...] = Field(default=(), description="one a pair of channels, group and k")
    own_hits: tuple[OwnHits, ...] = Field(default=(), description="one a channel, group and k")
    added: tuple[Added, ...] = Field(default=(), description="one a channel, group and metric; empty of one channel")
    seconds: float = Field(default=0.0, description="that the rankings took")
