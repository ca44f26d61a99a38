"""What a configuration makes of its sources, with nothing trained and nothing written: `graphrecall check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.assemble.could_be_edges import SharedValues, edges_section, shared_values
from ingest.assemble.findings import grades, has_low_grades, rule_for
from ingest.build import build_graph
from ingest.report import Finding, IdMatch, SourceAccount
from ingest.settings import DataSettings
from kg.errors import InvalidDataError
from kg.graph import KnowledgeGraph
from kg.progress import SILENT, Progress
from kg.schema import PositiveRule, RelationKey
from kg.splits import PARTS, split_interactions
from recall.config.deployment import RefreshConfig
from recall.jobs.cost import Cost, estimate
from recall.jobs.dry_run import without_new_key
from recall.jobs.inputs import Inputs
from recall.runs.registry import RunsFolder

SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCheck:
    """What becomes nodes of one type.

    Attributes:
        type: its name.
        count: how many.
        attributes: name -> Arrow type.
        template: of the texts that are encoded; None: there are none.
        empty_texts: nodes whose text is empty.
        samples: a few nodes, with attributes and `text`.
    """

    type: str
    count: int
    attributes: dict[str, str]
    template: str | None
    empty_texts: int
    samples: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCheck:
    """What becomes edges of one relation; `samples` are a few of them, with the ids of their ends."""

    relation: str
    count: int
    is_event: bool
    samples: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositivesCheck:
    """Which interactions count as liked.

    Attributes:
        rule: of the configuration.
        kept: interactions that do.
        of: all of them.
        grades: rating -> how many, where there are at most 20 different ones.
        rules: rule -> how many it would keep.
        suggestion: a line to write, or None.
    """

    rule: str
    kept: int
    of: int
    grades: dict[str, int]
    rules: dict[str, int]
    suggestion: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgesSuggestion:
    """An attribute that could be edges, and the lines that make them; None where its source is no table."""

    values: SharedValues
    lines: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What `check` found.

    Attributes:
        sources: how much was read.
        matches: ids of the sources beside each other.
        min_match: the smallest share that a refresh takes.
        nodes, edges: what the graph holds.
        positives: None in a graph without interactions.
        split: part -> interactions; empty without interactions.
        problems: what a refresh would refuse.
        findings: what was odd.
        suggestions: attributes that could be edges.
        cost: of a first refresh.
    """

    sources: list[SourceAccount]
    matches: list[IdMatch]
    min_match: float
    nodes: list[NodeCheck]
    edges: list[EdgeCheck]
    positives: PositivesCheck | None
    split: dict[str, int]
    problems: list[str]
    findings: list[Finding]
    suggestions: list[EdgesSuggestion]
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "sources": [
                {"name": s.name, "kind": s.kind, "read": s.read, "set_aside": s.set_aside} for s in self.sources
            ],
            "matches": [{**asdict(match), "share": match.share} for match in self.matches],
            "min_match": self.min_match,
            "nodes": [asdict(node) for node in self.nodes],
            "edges": [asdict(edge) for edge in self.edges],
            "positives": None if self.positives is None else asdict(self.positives),
            "split": self.split,
            "problems": self.problems,
            "findings": [asdict(finding) for finding in self.findings],
            "could_be_edges": [{**asdict(s.values), "lines": s.lines} for s in self.suggestions],
            "cost": asdict(self.cost),
        }


def check(config: RefreshConfig, *, progress: Progress = SILENT) -> Check:
    """Read every source and build the graph; a match of ids that a refresh would refuse is reported like the others.

    Args:
        config: from `recall.config.deployment.load_config`.
        progress: listener.

    Raises:
        GraphRecallError: what a refresh raises when it cannot read its sources.
    """
    current = RunsFolder(config.runs_folder).current()
    with TemporaryDirectory(prefix="graphrecall-") as folder:
        in_folder = without_new_key(config, Path(folder))
        inputs = Inputs.of(in_folder, Path(folder), progress, fresh=True, base=current)
        graph, report = build_graph(
            DataSettings(
                graph=config.graph,
                sources=config.sources,
                quality=config.quality.changed(min_match=0.0),
                neo4j=config.neo4j,
            ),
            base=config.base,
            progress=progress,
            now=inputs.now,
            snapshot=inputs.snapshot,
            people=inputs.people,
        )
    split, problems = _split(graph, config)
    refused = [match for match in report.matches if match.share < config.quality.min_match]
    fitting = {match.node for match in report.matches if match not in refused and match.kind != "edges"}
    problems += [match.to_text() for match in refused if match.kind in ("edges", "events") or match.node not in fitting]
    return Check(
        sources=report.sources,
        matches=report.matches,
        min_match=config.quality.min_match,
        nodes=[_nodes(graph, name) for name in graph.nodes],
        edges=[_edges(graph, key) for key in graph.edges],
        positives=_positives(graph),
        split=split,
        problems=problems,
        findings=sorted(report.findings.values(), key=lambda finding: (finding.severity != "warning", finding.kind)),
        suggestions=list(_suggestions(graph, config)),
        cost=estimate(graph, config),
    )


def _nodes(graph: KnowledgeGraph, name: str) -> NodeCheck:
    table = graph.nodes[name]
    texts = table["text"].to_pylist() if "text" in table.column_names else []
    return NodeCheck(
        type=name,
        count=table.num_rows,
        attributes={f.name: str(f.type) for f in table.schema if f.name not in ("id", "text")},
        template=graph.schema.node_types[name].text,
        empty_texts=sum(not text for text in texts),
        samples=_plain(table.take(_spread(table.num_rows))),
    )


def _edges(graph: KnowledgeGraph, key: RelationKey) -> EdgeCheck:
    table = graph.edges[key]
    sample = table.take(_spread(table.num_rows))
    ends = {
        "source": graph.vocabulary(key.source).take(sample["src"].to_numpy()),
        "target": graph.vocabulary(key.target).take(sample["dst"].to_numpy()),
    }
    others = {name: sample[name] for name in sample.column_names if name not in ("src", "dst", "user")}
    return EdgeCheck(
        relation=str(key),
        count=table.num_rows,
        is_event=key in graph.schema.events(),
        samples=_plain(pa.table({**ends, **others})),
    )


def _spread(count: int) -> Any:
    """Positions of a few rows, from all of a table."""
    return pa.array(np.unique(np.linspace(0, max(count - 1, 0), min(SAMPLES, count)).astype(np.int64)))


def _plain(table: Any) -> list[dict[str, Any]]:
    """Rows without what is null, as JSON can hold them."""
    return [
        {
            name: value if isinstance(value, str | int | float | bool | list) else str(value)
            for name, value in row.items()
            if value is not None
        }
        for row in table.to_pylist()
    ]


def _positives(graph: KnowledgeGraph) -> PositivesCheck | None:
    if graph.schema.interaction is None:
        return None
    table = graph.edges[graph.schema.interaction_key]
    rule = graph.schema.positive
    counts = grades(table["rating"]) if "rating" in table.column_names else {}
    rules = [f"rating >= {value:g}" for value in counts] if 1 < len(counts) <= 20 else []
    asks = rule.column is None and has_low_grades(counts)
    return PositivesCheck(
        rule=str(rule),
        kept=int(graph.interactions.positive.sum()),
        of=table.num_rows,
        grades={f"{value:g}": count for value, count in counts.items()} if len(counts) <= 20 else {},
        rules={text: int(PositiveRule.parse(text).mask(table).sum()) for text in rules},
        suggestion=f'graph.positive = "{rule_for(counts)}"' if asks else None,
    )


def _split(graph: KnowledgeGraph, config: RefreshConfig) -> tuple[dict[str, int], list[str]]:
    """How many interactions are in each part, and what a refresh would refuse."""
    if graph.schema.interaction is None:
        return {}, ["there are no interactions: a source of what users did to items is needed"]
    try:
        split = split_interactions(graph, config.split)
    except InvalidDataError as error:
        return {}, [str(error)]
    counts = {name: int((split.part == part).sum()) for name, part in PARTS.items()}
    problems = []
    if not len(split.positives(graph, "train").values):
        problems.append("no positive interaction is left to train on: see the rule for positives and the split")
    return counts, problems


def _suggestions(graph: KnowledgeGraph, config: RefreshConfig) -> Iterator[EdgesSuggestion]:
    """Attributes that could be edges, but those that are edges already by a table or a relation of their name."""
    schema = graph.schema
    for name, table in graph.nodes.items():
        if name == schema.user_type:
            continue
        relations = {key.name for key in graph.edges if name in (key.source, key.target)}
        title = schema.node_types[name].title
        for values in shared_values(name, table, {title} if title else set()):
            lines, used = _lines(values, config)
            if not used and values.attribute not in relations:
                yield EdgesSuggestion(values=values, lines=lines)


def _lines(values: SharedValues, config: RefreshConfig) -> tuple[str | None, bool]:
    """The lines of a configuration that make edges of an attribute, and whether it has them already."""
    for entry in config.sources.attributes:
        column = values.attribute if entry.columns is None else entry.columns.get(values.attribute)
        if entry.node != values.node or column is None:
            continue
        used = any(edges.files == entry.files and edges.columns.target == column for edges in config.sources.edges)
        extra = entry.model_dump(include={"separator", "header", "encoding", "quotes", "sql"}, exclude_defaults=True)
        return edges_section(values, files=entry.files, id=entry.id, column=column, form=extra), used
    return None, False
