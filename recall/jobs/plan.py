"""What a refresh will make, and why: a full run, or one that continues the run that serves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gnn.graph.warm_start import FILE
from ingest.settings import NodeSettings, RelationSettings
from kg.errors import ArtifactError
from recall.config.refresh import RefreshSettings
from recall.runs.config import read_config
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import OWN, SavedPipeline
from recall.runs.report import Reference, Report

# A change there shows in the difference of the graphs.
IN_THE_GRAPH = ("sources", "quality")
# What people are shown; where a text is made of it, the difference of the graphs shows that.
WORDS = {"nodes": ("title", "noun"), "relations": ("phrase",)}
DEFAULTS = {"nodes": NodeSettings().model_dump(mode="json"), "relations": RelationSettings().model_dump(mode="json")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be made.

    Attributes:
        kind: "full" or "incremental".
        reasons: in words, at least one.
        base: the run to continue, None for a full one.
        generation: incremental runs since the last full one, this one included; 0 for a full one.
        reference: the last full run of the line, None for a full one.
    """

    kind: Literal["full", "incremental"]
    reasons: tuple[str, ...]
    base: RunLayout | None = None
    generation: int = 0
    reference: Reference | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, as a report has it."""
        return {
            "kind": self.kind,
            "base": None if self.base is None else self.base.name,
            "generation": self.generation,
            "reasons": list(self.reasons),
        }

    def full(self, reasons: Sequence[str]) -> Plan:
        """A full run instead."""
        return Plan(kind="full", reasons=tuple(reasons))

    def steps(self, settings: RefreshSettings, channel: str) -> int:
        """Steps of an incremental training of a channel, at least 1."""
        taken = 1 if self.reference is None else self.reference.steps.get(channel, 1)
        return max(1, round(settings.warm_share * taken))


def plan_run(
    settings: RefreshSettings,
    current: RunLayout | None,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    left_out: Collection[str],
    full: bool = False,
    rejected: Collection[str] = (),
) -> Plan:
    """What to make of changed inputs, as far as it is known before they are read.

    Args:
        settings: of the section `refresh`.
        current: the run that serves.
        config: the configuration, plain data.
        versions: of the libraries, as in a report.
        left_out: sections of the configuration that change nothing of what is made.
        full: whether a full run is wished.
        rejected: ids of the runs that incremental runs went on from which the gate has rejected.
    """
    reasons = list(_reasons(settings, current, config, versions, left_out, full, rejected))
    if reasons or current is None:
        return Plan(kind="full", reasons=tuple(reasons))
    report = Report.load(current)
    generation = report.generation + 1
    reference = report.reference
    if not report.generation:
        reference = Reference(run=current.name, steps=reference.steps, lead=report.lead())
    since = "the last full one" if generation == 1 else f"the last full one, {reference.run}"
    reason = f"goes on from {current.name}: number {generation} of at most {settings.full_after} after {since}"
    return Plan(kind="incremental", reasons=(reason,), base=current, generation=generation, reference=reference)


def _reasons(
    settings: RefreshSettings,
    current: RunLayout | None,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    left_out: Collection[str],
    full: bool,
    rejected: Collection[str],
) -> Iterator[str]:
    """Why a full run is due."""
    if full:
        yield "a full run was asked for"
    if current is None:
        yield "no run serves yet"
        return
    if settings.full_after == 0:
        yield "refresh.full_after = 0 makes every run a full one"
    try:
        report, was, pipeline = Report.load(current), read_config(current), SavedPipeline.load(current)
    except ArtifactError as error:
        yield f"the run that serves, {current.name}, cannot be continued: {error}"
        return
    generation, reference = report.generation, report.reference
    try:
        current.verify()
    except ArtifactError as error:
        yield f"the run that serves is damaged: {error}"
        return
    trained = [name for name, channel in pipeline.channels.items() if channel.kind == "models"]
    if not trained:
        yield "no channel of the run that serves is trained: there is nothing to continue"
        return
    needed = [current.lineage]
    for name in trained:
        if pipeline.channels[name].package == OWN:
            needed += [current.artifact("models", name, evaluation=part) / FILE for part in (False, True)]
    if lacking := [str(path.relative_to(current.path)) for path in needed if not path.is_file()]:
        yield f"the run that serves, {current.name}, has no {' and no '.join(lacking)} to go on from"
    if differing := sorted(changed_keys(_parts(was, left_out), _parts(config, left_out))):
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        yield f"the configuration was changed: {', '.join(differing[:5])}{more}"
    if dict(versions) != (before := report.versions):
        names = sorted(name for name in {*versions, *before} if versions.get(name) != before.get(name))
        yield "other versions: " + ", ".join(f"{name} {before.get(name)} to {versions.get(name)}" for name in names)
    if settings.full_after and generation >= settings.full_after:
        yield f"{generation} incremental runs in a row were made, refresh.full_after = {settings.full_after}"
    lead = report.lead()
    if generation and reference.lead and lead is not None and lead < settings.full_below * reference.lead:
        yield (
            f"NDCG is {lead:.2f} times that of popularity, below {settings.full_below:g} of the {reference.lead:.2f} "
            f"times of the last full run, {reference.run}"
        )
    if current.name in rejected:
        yield f"a run that went on from {current.name} was rejected"


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Names of the keys whose values differ, those of sections with a dot."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        name = f"{at}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changed_keys(old, new, f"{name}.")
        elif old != new:
            yield name


def _parts(config: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    parts = {key: value for key, value in config.items() if key not in (*left_out, *IN_THE_GRAPH)}
    if isinstance(graph := parts.get("graph"), Mapping):
        parts["graph"] = {**graph, **{kind: _without_words(kind, graph.get(kind) or {}) for kind in WORDS}}
    return parts


def _without_words(kind: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of node types or relations without those that only people are shown, and without empty ones."""
    bare = {name: {**override, **dict.fromkeys(WORDS[kind])} for name, override in overrides.items()}
    return {name: override for name, override in bare.items() if override != DEFAULTS[kind]}
