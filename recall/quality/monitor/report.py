"""What the monitor says of runs, as plain data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recall.runs.report import ReportPart

Part = Literal["input", "candidates"]


class Moved(ReportPart):
    """A class whose share has changed."""

    label: str = Field(description="the class")
    before: float = Field(description="its share in the run before")
    now: float = Field(description="its share in this run")


class Stability(ReportPart):
    """How far a distribution is from that of the run before."""

    part: Part = Field(description="likes (input) or candidates")
    name: str = Field(description="what the classes are of: popularity, channels, a relation or attribute of the items")
    index: float = Field(description="population stability index: below 0.1 little has moved, from 0.25 on much")
    moved: tuple[Moved, ...] = Field(default=(), description="the classes that have moved most, the largest first")


class InputState(ReportPart):
    """What went into a run."""

    nodes: dict[str, int] = Field(default={}, description="by node type")
    edges: dict[str, int] = Field(default={}, description="by relation")
    interactions: int = Field(default=0, description="edges between users and items that were learned from")
    users: int = Field(default=0, description="users in the graph")
    items: int = Field(default=0, description="items in the graph")
    new_users: float | None = Field(default=None, description="share of the users whom the run before did not have")
    new_items: float | None = Field(default=None, description="share of the items that the run before did not have")
    gone_users: float | None = Field(default=None, description="share of the users before who are not there any more")
    gone_items: float | None = Field(default=None, description="share of the items before that are not there any more")
    warnings: int = Field(default=0, description="kinds of warnings in the sources")


class CandidateState(ReportPart):
    """What a run gives a sample of its users."""

    users: int = Field(description="that were asked, drawn by a seeded hash of their ids from those with a like")
    drawn_from: int | None = Field(default=None, description="of how many they are a sample; None: they are all")
    k: int = Field(description="candidates of each, at most")
    candidates: int = Field(description="of all of them together")
    coverage: float = Field(description="share of the items that any of them gets")
    untouched: float = Field(description="share of the candidates that nobody likes")
    fallback: float = Field(description="share of the candidates that no channel gave, the most liked items")
    channels: dict[str, float] = Field(default={}, description="share by channel; of several, each has an equal part")
    new_items: float | None = Field(default=None, description="share of the candidates that the run before had not")
    kept: float | None = Field(
        default=None, description="share of a user's candidates that he had before; mean over users asked of both runs"
    )


class RunState(ReportPart):
    """A run beside the published one before it."""

    run: str = Field(description="its id")
    created: str = Field(default="", description="ISO 8601, UTC; empty when it cannot be read")
    current: bool = Field(description="whether it serves")
    rejected: bool = Field(description="whether the gate refused it, and nobody accepted it since")
    problem: str | None = Field(default=None, description="why nothing could be read of it")
    gate_passed: bool | None = Field(default=None, description="None where no gate judged")
    gate_reasons: tuple[str, ...] = Field(default=(), description="why it did not pass")
    metrics: dict[str, dict[str, float]] = Field(default={}, description="of what it serves, by group of users")
    headline: dict[str, float] = Field(default={}, description="recall and NDCG of the first group and cut-off")
    compared_with: str | None = Field(default=None, description="id of the run before; None: there is none to compare")
    note: str | None = Field(default=None, description="why nothing was compared although there is a run before")
    input: InputState = Field(default=InputState(), description="what went in")
    candidates: CandidateState | None = Field(default=None, description="what comes out; None: not asked for")
    stability: tuple[Stability, ...] = Field(default=(), description="against the run before, largest index first")

    def largest(self, part: Part) -> Stability | None:
        """The distribution of a part that has moved most."""
        return next((each for each in self.stability if each.part == part), None)


class MonitorReport(ReportPart):
    """The last runs of a folder."""

    there: int = Field(description="runs in the folder, rejected ones too")
    current: str | None = Field(description="id of the run that serves")
    age_seconds: float | None = Field(description="since that run was made")
    runs: tuple[RunState, ...] = Field(description="the last ones, oldest first; the one that serves is among them")
    exceeded: tuple[str, ...] = Field(default=(), description="which limits that were given are exceeded, in words")

    @property
    def serving(self) -> RunState | None:
        """The run that serves."""
        return next((state for state in self.runs if state.current), None)
