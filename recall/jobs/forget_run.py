"""A published run made anew without some users: the graph first, then all that follows from it.

What is a closed formula of the graph (the channels beside the model, the index, the embedded store) is made again. The
model keeps what it learned, without the rows of those who go and propagated without them (gnn.graph.forgetting).
Metrics are those that were measured when the run was made.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnn.graph.embeddings import Embeddings
from gnn.graph.forgetting import forget_in_embeddings, forget_in_features, forget_in_parameters, kept_rows
from gnn.graph.warm_start import FILE as PARAMETERS
from gnn.graph.warm_start import Parameters
from gnn.text.features import TextFeatures
from ingest.people import FORGOTTEN_USERS, WHY_LEFT_OUT
from kg import KnowledgeGraph
from kg.errors import StoreError
from kg.io.files import MANIFEST, write_json, write_manifest
from kg.io.graph_folder import load_graph, save_graph
from kg.io.parquet import read_table
from kg.lineage import Lineage
from kg.privacy.users import without_users
from kg.progress import SILENT, Progress
from kg.stores.embedded.build import build_store
from recall.channels import LightGCNChannel
from recall.config.deployment import RefreshConfig, parse_config
from recall.contracts import LoadData
from recall.jobs.fit_channels import keep_channels
from recall.jobs.prepare import Prepared
from recall.ops.html_report import NAME as PAGE
from recall.ops.html_report import write_html
from recall.quality.assess import exact_channel, read_split, write_split
from recall.runs.config import read_config
from recall.runs.layout import RunLayout
from recall.runs.report import Finding, GraphCounts, IndexReport, Quality, Report

_log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
Wanted = Callable[[Sequence[str]], Mask]

OF_BEFORE = "the metrics were measured before these users were forgotten"


def mentions(run: RunLayout, wanted: Wanted) -> bool:
    """Whether a run may name one of some users: in its graph, in what its line knows, or in an example it quotes.

    Which users an example quotes nobody can tell from a keyed hash, so every example counts.

    Args:
        run: intact.
        wanted: what the run calls users (n,) -> which of them, bool (n,).
    """
    if wanted(load_graph(run.graph).users.ids.to_pylist()).any():
        return True
    if run.lineage.exists() and wanted(_lineage_users(run)).any():
        return True
    return quotes(Report.load(run).to_json()) or _named_demo(read_config(run), wanted)


def quotes(report: Any) -> bool:
    """Whether a report has examples."""
    if isinstance(report, Mapping):
        return any(_filled(value) if name == "examples" else quotes(value) for name, value in report.items())
    return isinstance(report, list) and any(quotes(value) for value in report)


def unquoted(report: Any, *, here: bool = False) -> Any:
    """A report with its examples taken out; all else as it was."""
    if isinstance(report, Mapping):
        return {name: unquoted(value, here=here or name == "examples") for name, value in report.items()}
    if isinstance(report, list):
        return [] if here else [unquoted(value) for value in report]
    return "" if here and isinstance(report, str) else report


def without(
    run: RunLayout,
    folder: Path,
    wanted: Wanted,
    *,
    fingerprint: str,
    on_list: int,
    names: Mapping[str, str],
    history: Sequence[Mapping[str, Any]] = (),
    progress: Progress = SILENT,
) -> RunLayout | None:
    """Make a run again in another folder, without some users.

    Args:
        run: intact; stays as it is.
        folder: must not exist.
        wanted: what the run calls users (n,) -> which of them go, bool (n,).
        fingerprint: of the inputs without them.
        on_list: users on the list of the forgotten.
        names: old -> new names of runs that were made again, for what refers to them.
        history: summaries of refreshes, for the page.
        progress: hears of every part.

    Returns:
        The new run, its manifest written; None where nothing is left to recommend from.

    Raises:
        ArtifactError: the run is damaged.
    """
    made = RunLayout(folder)
    graph = load_graph(run.graph)
    gone = np.flatnonzero(wanted(graph.users.ids.to_pylist()))
    settings = read_config(run)
    if _named_demo(settings, wanted):
        settings = {**settings, "demo": {**settings["demo"], "user": None}}
    report = Report.parse(unquoted(Report.load(run).to_json()))
    if len(gone):
        with progress.task(f"making {run.name} again without {len(gone)} users"):
            facts = _Again(run, made, graph, gone, parse_config(settings, base=run.path, name=str(run.config))).make()
        if facts is None:
            return None
        report = report.changed(quality=_with_forgotten(report.quality, len(gone)), **facts)
    else:
        shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns(MANIFEST))
    learned = set(graph.users.take(gone).to_pylist())
    if run.lineage.exists():
        table = Lineage.load(run.lineage).table
        users = table["user_id"].to_pylist()
        out = wanted(users)
        learned.update(np.array(users, dtype=object)[out])
        Lineage(table.filter(pa.array(~out))).save(made.lineage)
    forgotten = {
        "on_list": on_list,
        "weights_may_remember": report.forgotten.weights_may_remember + len(learned),
        "metrics": OF_BEFORE,
    }
    reference = report.reference
    report = report.changed(
        fingerprint=fingerprint,
        forgotten=report.forgotten.model_copy(update=forgotten),
        base=None if report.base is None else names.get(report.base, report.base),
        reference=reference.model_copy(update={"run": names.get(reference.run, reference.run)}),
    )
    write_json(made.config, settings)
    report.save(made)
    if (run.path / PAGE).exists():
        write_html(made, report, [line for line in history if line.get("finished", "") <= report.created])
    manifest = run.manifest()
    kept = {name: value for name, value in manifest.items() if name not in ("format_version", "files", "digest")}
    write_manifest(folder, {**kept, "fingerprint": fingerprint, "made_from": run.name})
    if lost := sorted(set(manifest["files"]) - set(made.manifest()["files"])):
        _log.warning("%s: %s is of another version and was left out of the run made without users", run.name, lost)
    return made


class _Again:
    """The parts of a run whose graph loses users."""

    def __init__(
        self, run: RunLayout, made: RunLayout, graph: KnowledgeGraph, gone: npt.NDArray[np.int64], config: RefreshConfig
    ) -> None:
        self.run, self.made, self.config = run, made, config
        self.before = graph
        self.after, self.kept = without_users(graph, gone)
        self.rows = kept_rows(graph, self.kept)

    def make(self) -> dict[str, Any] | None:
        """All parts; returns what changes in the report, or None where nobody likes anything any more."""
        run, made = self.run, self.made
        stays = self.kept[self.before.schema.user_type][self.before.interactions.user]
        old = read_split(run.split, self.before)
        split = replace(old, part=old.part[stays])
        view = split.view(self.after, "train")
        if not view.interactions.positive.any():
            return None
        save_graph(self.after, made.graph)
        features = forget_in_features(TextFeatures.load(run.features), self.rows)
        made.features.mkdir()
        features.save(made.features)
        write_split(split, self.after, made.split)
        self._model(run.evaluation_model, made.evaluation_model, old.view(self.before, "train"), view, features)
        self._model(run.model, made.model, self.before, self.after, features)
        report = Report.load(run)
        prepared = Prepared(graph=self.after, features=features, split=split, view=view, quality={}, texts={})
        for theirs, folder, model, graph in (
            (run.evaluation_channels, made.evaluation_channels, made.evaluation_model, view),
            (run.channels, made.channels, made.model, self.after),
        ):
            if theirs.is_dir():
                weights = None if report.fusion is None else report.fusion.weights
                channel = exact_channel(Embeddings.load(model), LoadData.of(graph))
                keep_channels(self.config, prepared, channel, folder, graph, weights=weights)
        data = LoadData.of(self.after)
        channel = LightGCNChannel.of(Embeddings.load(made.model), data, index_config=self.config.index)
        made.index.mkdir()
        channel.index.save(made.index)
        if run.store.exists():
            self._store()
        return {
            "data": GraphCounts.model_validate(self.after.facts()),
            "index": IndexReport(**channel.facts["index"]),
        }

    def _model(
        self, theirs: Path, folder: Path, before: KnowledgeGraph, after: KnowledgeGraph, features: TextFeatures
    ) -> None:
        forget_in_embeddings(Embeddings.load(theirs), before, after, self.kept, features=features).save(folder)
        if (theirs / PARAMETERS).exists():
            forget_in_parameters(Parameters.load(theirs, before), before, after, self.kept).save(folder)

    def _store(self) -> None:
        try:
            build_store(self.made.graph, self.made.store)
        except StoreError as error:
            _log.warning("%s has no embedded store any more: %s", self.run.name, error)


def _with_forgotten(quality: Quality, users: int) -> Quality:
    """What was found in the sources, with users whom they name and who are left out."""
    others = [finding for finding in quality.findings if finding.kind != FORGOTTEN_USERS]
    before = sum(finding.count for finding in quality.findings if finding.kind == FORGOTTEN_USERS)
    finding = Finding(
        kind=FORGOTTEN_USERS, severity="info", count=before + users, explanation=WHY_LEFT_OUT, examples=()
    )
    return quality.model_copy(update={"findings": tuple(sorted([*others, finding], key=lambda one: one.kind))})


def _lineage_users(run: RunLayout) -> list[str]:
    return list(dict.fromkeys(read_table(run.lineage)["user_id"].to_pylist()))


def _filled(examples: Any) -> bool:
    if isinstance(examples, Mapping):
        return any(_filled(value) for value in examples.values())
    return bool(examples)


def _named_demo(config: Any, wanted: Wanted) -> bool:
    user = (config.get("demo") or {}).get("user")
    return user is not None and bool(wanted([user])[0])
