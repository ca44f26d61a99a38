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
from kg.errors import ArtifactError, StoreError
from kg.history import InteractionHistory
from kg.io.files import MANIFEST, write_json, write_manifest
from kg.io.graph_folder import load_graph, save_graph
from kg.io.parquet import read_table
from kg.lineage import Lineage
from kg.privacy.users import without_users
from kg.progress import SILENT, Progress
from kg.stores.embedded.build import build_store
from kg.topology.adjacency import Adjacency
from recall.channels.vectors import VectorChannel
from recall.config.deployment import RefreshConfig, parse_config
from recall.contracts import Channel, FitData, LoadData
from recall.index.settings import IndexConfig
from recall.ops.html_report import NAME as PAGE
from recall.ops.html_report import write_html
from recall.quality.assess import read_split, write_split
from recall.runs.config import read_config
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import SavedPipeline
from recall.runs.report import Finding, GraphCounts, IndexReport, Quality, Report
from recall.serve.loading import channel_kinds, vector_models

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
        progress: listener.

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
    trained = any(channel.kind == "models" for channel in SavedPipeline.load(run).channels.values())
    learned = set(graph.users.take(gone).to_pylist())
    if run.lineage.exists():
        table = Lineage.load(run.lineage).table
        users = table["user_id"].to_pylist()
        out = wanted(users)
        learned.update(np.array(users, dtype=object)[out])
        Lineage(table.filter(pa.array(~out))).save(made.lineage)
    forgotten = {
        "on_list": on_list,
        "weights_may_remember": report.forgotten.weights_may_remember + (len(learned) if trained else 0),
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
    lost = sorted(set(manifest["files"]) - set(made.manifest()["files"]))
    if lost := [name for name in lost if not name.startswith("graph/")]:  # a table of the graph may have become empty
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
        self.features = forget_in_features(TextFeatures.load(run.features), kept_rows(graph, self.kept))
        self.pipeline, self.kinds = SavedPipeline.load(run), channel_kinds(run)

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
        made.features.mkdir()
        self.features.save(made.features)
        write_split(split, self.after, made.split)
        self._channels(old.view(self.before, "train"), view, evaluation=True)
        indexes = self._channels(self.before, self.after, evaluation=False)
        self.pipeline.save(made)
        if run.store.exists():
            self._store()
        return {"data": GraphCounts.model_validate(self.after.facts()), "index": indexes}

    def _channels(self, before: KnowledgeGraph, after: KnowledgeGraph, *, evaluation: bool) -> dict[str, IndexReport]:
        """All channels of either kind; returns the indexes of those that have one."""
        history = InteractionHistory.of(after)
        history.save(self.made.history(evaluation=evaluation))
        index = IndexConfig(exact_up_to=history.num_items) if evaluation else self.config.index
        data = FitData(graph=after, history=history, features=self.features, index=index)
        models = vector_models(self.run, evaluation=evaluation)
        indexes = {}
        for name, kind in self.kinds.items():
            folder = self.made.artifact(self.pipeline.channels[name].kind, name, evaluation=evaluation)
            if issubclass(kind, VectorChannel):
                if name not in models:
                    raise ArtifactError(f"{self.run.path} lacks its channel {name!r}: it was never finished")
                channel: Channel = self._without_rows(kind, models[name], before, data)
                channel.save(folder)
                if (models[name] / PARAMETERS).exists():
                    parameters = Parameters.load(models[name], self.before)
                    forget_in_parameters(parameters, self.before, self.after, self.kept).save(folder)
            else:
                config = getattr(self.config.channels, name, None)
                channel = kind(config).fit(replace(data, recipe=self.pipeline.channels[name].recipe))
                channel.save(folder)
            if "index" in channel.facts:
                indexes[name] = IndexReport.model_validate(channel.facts["index"])
        return indexes

    def _without_rows(
        self, kind: type[VectorChannel], folder: Path, before: KnowledgeGraph, data: FitData
    ) -> VectorChannel:
        """A graph model as it was trained, without the rows of those who go."""
        embeddings = forget_in_embeddings(
            Embeddings.load(folder), before, data.graph, self.kept, features=self.features
        )
        load = LoadData(graph=data.graph, history=data.history, adjacency=Adjacency.of(data.graph))
        return kind.of(embeddings, load, index_config=data.index)

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
