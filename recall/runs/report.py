"""What a run says of itself: report.json as classes, one a part.

A key that this version does not know is kept as it is, so that a report made by a later one can be read and rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kg.io.files import read_json, write_json
from recall.runs.damage import damaged
from recall.runs.layout import RunLayout

State = Literal["new", "changed", "unchanged", "removed"]
GateKind = Literal["first", "incremental", "full"]
ReadingKind = Literal["finite", "self-check", "common", "count", "metric", "coverage", "top", "minimum", "popularity"]


class ReportPart(BaseModel):
    """A part of a report: plain data that does not change."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def to_json(self) -> dict[str, Any]:
        """Plain data: what was set, in the order of the fields."""
        return self.model_dump(mode="json", exclude_unset=True)


class Finding(ReportPart):
    """Something noticed in the sources."""

    kind: str = Field(description="what was noticed, in a few words")
    severity: str = Field(description='"warning" or "info"')
    count: int = Field(description="how many rows, statements or nodes")
    explanation: str = Field(description="what was done about it")
    examples: tuple[str, ...] = Field(default=(), description="a few of them")


class SourceRead(ReportPart):
    """What was read from one source."""

    name: str = Field(description="file or part of a database")
    kind: str = Field(description='such as "interactions"')
    read: int = Field(description="rows or statements")
    set_aside: int = Field(description="how many of them were left out")
    lines: int | None = Field(default=None, description="lines of a text file")
    empty: int | None = Field(default=None, description="how many of them are empty")


class Quality(ReportPart):
    """What was found in the sources while the graph was built."""

    sources: tuple[SourceRead, ...] = Field(default=(), description="every source that was read")
    findings: tuple[Finding, ...] = Field(default=(), description="ordered by kind")
    graph: dict[str, dict[str, int]] = Field(default={}, description="counts of nodes and edges")
    matures: int | None = Field(
        default=None, description="UTC seconds from which on the same sources give another graph"
    )
    as_of: int | None = Field(default=None, description="the last such time that was past when the run was made")


class SourceState(ReportPart):
    """A source beside the same source of the run before."""

    name: str = Field(description="path relative to the configuration, or address of a database")
    state: State = Field(description="against the run before")
    kind: str | None = Field(default=None, description='"file", "neo4j" or "memory"')
    fingerprint: str | None = Field(default=None, description="digest of its content")
    bytes: int | None = Field(default=None, description="size of a file")
    modified: int | None = Field(default=None, description="UTC seconds of a file's last change")
    read: dict[str, Any] | None = Field(default=None, description="how a database was read")


class ChangeCounts(ReportPart):
    """How many nodes of a type or edges of a relation changed; see kg.difference."""

    before: int = Field(default=0, description="how many there were")
    after: int = Field(default=0, description="how many there are")
    added: int = Field(default=0, description="new ones")
    removed: int = Field(default=0, description="those that are gone")
    changed: int = Field(default=0, description="those with other values")


class NodeChanges(ChangeCounts):
    """How the nodes of a type changed."""

    text: int = Field(default=0, description="of the changed ones, those with another text")
    examples: dict[str, tuple[str, ...]] | None = Field(default=None, description="a few ids; never those of users")


class EdgeChanges(ChangeCounts):
    """How the edges of a relation changed."""

    examples: dict[str, tuple[tuple[str, str], ...]] | None = Field(default=None, description="ids of both ends")


class InteractionTimes(ReportPart):
    """When the interactions of both runs were newest."""

    newest_before: int = Field(description="UTC seconds, of the run before")
    newest: int = Field(description="UTC seconds, of this run")
    added_late: int = Field(description="added interactions that are not newer than the newest before")


class Changes(ReportPart):
    """What changed since another run."""

    base: str = Field(description="id of that run")
    since: str = Field(default="", description="when it was made, ISO 8601")
    nodes: dict[str, NodeChanges] = Field(default={}, description="by node type")
    edges: dict[str, EdgeChanges] = Field(default={}, description="by relation")
    shares: dict[str, float] = Field(default={}, description="changed share of the interactions and of the items")
    times: InteractionTimes | None = Field(default=None, description="None where interactions have no times")


class GraphCounts(ReportPart):
    """What the graph holds."""

    nodes: dict[str, int] = Field(default={}, description="by node type")
    edges: dict[str, int] = Field(default={}, description="by relation")
    interactions: int = Field(default=0, description="edges between users and items that were learned from")
    positives: int = Field(default=0, description="of these, the positive ones")
    users: int = Field(default=0, description="users in the graph")
    items: int = Field(default=0, description="items in the graph")


class Reference(ReportPart):
    """What the last full run came to, to which incremental runs are compared."""

    run: str = Field(default="", description='its id; "" in the report of that run itself, which has no name yet')
    steps: dict[str, int] = Field(default={}, description="steps of its evaluation training, by trained channel")
    lead: float | None = Field(
        default=None, description="NDCG of what it serves as a multiple of popularity's; None where it was not measured"
    )


class Forgotten(ReportPart):
    """The list of forgotten users, as it was when the run was made or rewritten."""

    inputs: str = Field(default="", description="fingerprint of the inputs without the list")
    on_list: int = Field(default=0, description="users on the list")
    weights_may_remember: int = Field(default=0, description="of these, users whom the weights were trained with")
    metrics: str | None = Field(default=None, description="a note where the metrics include forgotten users")


class Texts(ReportPart):
    """The encoded texts."""

    texts: int = Field(description="texts encoded")
    dim: int = Field(description="columns of a vector")
    model: str = Field(description="name of the text model")


class UsersAsked(ReportPart):
    """How many users were ranked for."""

    users: int = Field(description="that were asked")
    drawn_from: int | None = Field(default=None, description="of how many they are a sample; None: they are all")


class Training(ReportPart):
    """One training; further facts are the model's own."""

    steps: int = Field(description="steps taken")
    beta: float = Field(default=0.0, description="exponent of popularity that divides the score")
    prior: float = Field(default=0.0, description="weight of popularity that is added to the score")
    history: tuple[dict[str, Any], ...] = Field(default=(), description="loss and validation metrics by step")
    validation: dict[str, float] | None = Field(default=None, description="metrics on the validation part")
    validated: UsersAsked | None = Field(default=None, description="whom the validations ranked for")


class TrainedChannel(ReportPart):
    """The trainings of one channel."""

    evaluation: Training = Field(description="on the training part, with its steps chosen on the validation part")
    serving: Training | None = Field(default=None, description="on everything; None where it was not finished")


class FusionReport(ReportPart):
    """How channels were combined."""

    weights: dict[str, float] = Field(description="channel -> weight, with the sum 1")
    untouched: float = Field(default=1.0, description="factor of the scores of items that nobody likes")


class MetricsRow(ReportPart):
    """One ranker on one group of users; the metrics are the keys with an `@`, such as "ndcg@20"."""

    __pydantic_extra__: dict[str, float]

    ranker: str = Field(description="name of a channel or of a baseline")
    group: str = Field(description="of users or items")
    users: int = Field(default=0, description="users in the group that were asked")
    drawn_from: int | None = Field(
        default=None, description="users in the group, where those that were asked are a sample of them; else None"
    )
    intervals: dict[str, tuple[float, float]] = Field(default={}, description="95% bootstrap intervals by metric")

    @property
    def metrics(self) -> dict[str, float]:
        """Metric and cut-off -> value."""
        return dict(self.__pydantic_extra__)


class EvaluationReport(ReportPart):
    """Metrics on the test part."""

    k: tuple[int, ...] = Field(default=(), description="cut-offs")
    split: dict[str, int | str] = Field(default={}, description="interactions of each part, and the rule")
    serves: str | None = Field(default=None, description="the ranker that the run serves; None before it was measured")
    metrics: tuple[MetricsRow, ...] = Field(default=(), description="a row a ranker and group")

    def served(self) -> tuple[MetricsRow, ...]:
        """The rows of the ranker that the run serves."""
        return tuple(row for row in self.metrics if row.ranker == self.serves)

    def served_by_group(self) -> dict[str, dict[str, float]]:
        """The metrics of the ranker that the run serves, by group of users."""
        return {row.group: row.metrics for row in self.served()}


class IndexReport(ReportPart):
    """The index that serves."""

    kind: str = Field(description="such as flat or hnsw")
    parameters: dict[str, Any] = Field(default={}, description="of the index")
    recall: float = Field(description="share of the exact top items that it finds")
    items: int = Field(description="indexed items")


class Reading(ReportPart):
    """One thing that the gate looked at."""

    kind: ReadingKind = Field(description="what was looked at")
    name: str = Field(description='such as "ndcg@20"')
    metric: str | None = Field(default=None, description='of a metric, without its cut-off: "ndcg"')
    now: float | None = Field(default=None, description="of the new run")
    before: float | None = Field(
        default=None, description='of the run that serves; of the most liked items where `kind` is "popularity"'
    )
    change: float | None = Field(
        default=None,
        description="what is compared with the limit, a loss of a metric as a share; None where nothing is",
    )
    limit: float | None = Field(default=None, description="in the unit of `change`, None where nothing is judged")
    passed: bool = Field(default=True, description="whether it is within the limit")
    text: str = Field(description="all of it in words")


class Verdict(ReportPart):
    """What the gate decided."""

    passed: bool = Field(description="whether the run may serve")
    reasons: tuple[str, ...] = Field(description="texts of the readings that did not pass")
    kind: GateKind = Field(description="whose limits were applied")
    against: str | None = Field(description="id of the run that served, or None")
    note: str | None = Field(default=None, description="why nothing was compared although a run serves")
    users: int = Field(description="users who were asked for held-out items")
    limits: dict[str, Any] = Field(description="the section `gate` of the configuration")
    unfinished: bool = Field(default=False, description="the run holds values that are not finite and can never serve")
    readings: tuple[Reading, ...] = Field(description="everything that was looked at")

    @classmethod
    def of(cls, readings: Sequence[Reading], **facts: Any) -> Verdict:
        """A verdict whose `passed` and `reasons` follow from its readings."""
        reasons = tuple(reading.text for reading in readings if not reading.passed)
        return cls(passed=not reasons, reasons=reasons, readings=tuple(readings), **facts)

    def lead(self) -> float | None:
        """How many times popularity's NDCG the run reached; None where it was not measured, or popularity has 0."""
        for reading in self.readings:
            if reading.kind == "popularity" and reading.metric == "ndcg" and reading.now is not None:
                return reading.now / reading.before if reading.before else None
        return None


class Report(ReportPart):
    """report.json of a run."""

    created: str = Field(description="ISO 8601, UTC")
    fingerprint: str = Field(description="of the inputs")
    kind: Literal["full", "incremental"] = Field(default="full", description="how the run was made")
    base: str | None = Field(default=None, description="id of the run that it continues")
    generation: int = Field(default=0, description="incremental runs since the last full one")
    reasons: tuple[str, ...] = Field(default=(), description="why it is full or incremental")
    reference: Reference = Field(default=Reference(), description="the last full run")
    sources: tuple[SourceState, ...] = Field(default=(), description="each source beside that of the run before")
    changes: Changes | None = Field(default=None, description="since the run before; None for the first")
    stayed_known: dict[str, int] = Field(
        default={}, description="interactions kept in a part because an earlier run was trained on them"
    )
    data: GraphCounts = Field(default=GraphCounts(), description="what the graph holds")
    quality: Quality = Field(default=Quality(), description="what was found in the sources")
    forgotten: Forgotten = Field(default=Forgotten(), description="the list of forgotten users")
    texts: Texts | None = Field(default=None, description="the encoded texts")
    training: dict[str, TrainedChannel] = Field(default={}, description="by trained channel")
    fitted: dict[str, dict[str, Any]] = Field(
        default={},
        description="by channel without a training, what its fit says, such as the weights of a walk; under "
        "control, what the rules cost on validation",
    )
    fusion: FusionReport | None = Field(default=None, description="None where one channel serves")
    evaluation: EvaluationReport = Field(default=EvaluationReport(), description="metrics on the test part")
    timings: dict[str, float] = Field(default={}, description="seconds of each stage")
    seed: int = Field(default=0, description="of the configuration")
    device: str = Field(default="", description="that trained")
    index: dict[str, IndexReport] = Field(default={}, description="by channel that serves by an index")
    versions: dict[str, str] = Field(default={}, description="of the libraries")
    gate: Verdict | None = Field(default=None, description="None until the gate has judged the run")

    @classmethod
    def load(cls, run: RunLayout) -> Report:
        """The report of a run.

        Raises:
            ArtifactError: the run is of another format, or there is no report, or it is damaged.
        """
        run.check_format()
        return cls.parse(read_json(run.report), str(run.report))

    @classmethod
    def parse(cls, data: Any, name: str = "report.json") -> Report:
        """A report from plain data.

        Args:
            data: what `to_json` gave.
            name: of the file, for errors.

        Raises:
            ArtifactError: it is no report.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise damaged(name, error) from error

    def save(self, run: RunLayout) -> None:
        """Write report.json of a run."""
        write_json(run.report, self.to_json())

    def changed(self, **values: Any) -> Report:
        """A copy with some values replaced."""
        return self.model_copy(update=values)

    def headline(self) -> dict[str, float]:
        """Recall and NDCG of what serves, in the first group at the first cut-off: what a list of runs shows."""
        rows = self.evaluation.served()
        if not rows or not self.evaluation.k:
            return {}
        names = [f"{metric}@{self.evaluation.k[0]}" for metric in ("recall", "ndcg")]
        return {name: rows[0].metrics[name] for name in names}

    def lead(self) -> float | None:
        """See `Verdict.lead`; None where the gate has not judged."""
        return None if self.gate is None else self.gate.lead()
