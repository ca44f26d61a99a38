"""What was measured of a run's paths."""

from __future__ import annotations

from pydantic import Field

from recall.runs.report import ReportPart


class Selection(ReportPart):
    """The first path of each candidate under one position of the dial."""

    dial: float = Field(description="0: the path with the largest share; 1: what the dial goes to, alone")
    toward: str = Field(description='"all" for recency, popularity and diversity alike; else "lir", "sep" or "etd"')
    lir: float = Field(description="linking interaction recency, mean over paths")
    sep: float = Field(description="shared entity popularity, mean over paths")
    etd: float = Field(description="explanation type diversity, mean over users")
    share: float = Field(description="part of the score on the path, mean over paths")


class Deletion(ReportPart):
    """What becomes of a score when the edges of its largest paths are deleted."""

    paths: int = Field(description="how many of the largest paths lose their edges")
    held: float = Field(description="part of the score that goes with them, degrees and weights as they were")
    refitted: float | None = Field(description="part that goes when the channel is fitted again without the edges")
    correlation: float | None = Field(description="rank correlation of the two over the pairs; None: fewer than 3")
    pairs: int = Field(description="how many pairs were fitted again")


class Perturbation(ReportPart):
    """What is left of a score as items of the history are taken away, mean over the pairs."""

    removed: int = Field(description="items taken away")
    by_share: float = Field(description="part of the score left, the items with the largest shares first")
    random: float = Field(description="part of the score left, items in random order")
    listed_by_share: float = Field(description="pairs whose item is still among the candidates")
    listed_random: float = Field(description="the same, items in random order")


class PathReport(ReportPart):
    """How good the paths of a run are."""

    channel: str = Field(description="the channel whose scores are sums over paths")
    users: int = Field(description="users asked, drawn by a seed")
    k: int = Field(description="candidates of each")
    pairs: int = Field(description="candidates that were split")
    paths: int = Field(description="paths of all of them")
    valid: float = Field(description="part of the paths of which every edge is in the graph")
    by_paths: float = Field(description="part of the score on paths at all, mean over the pairs")
    sentences: dict[int, float] = Field(description="n -> part of the score that the n largest sentences say")
    single: dict[int, float] = Field(description="n -> part of the score on the n largest single paths")
    types: dict[str, float] = Field(description="type of step -> part of the pairs whose largest path is of that type")
    selections: tuple[Selection, ...] = Field(description="by the dial")
    deletions: tuple[Deletion, ...] = Field(description="by the number of paths")
    perturbations: tuple[Perturbation, ...] = Field(description="by the number of items")
