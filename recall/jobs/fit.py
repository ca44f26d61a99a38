"""From tables in memory to a Recommender in one call."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gnn.device import check_device
from ingest.configured.memory import memory_tables
from ingest.settings import InteractionColumns
from kg.errors import ConfigError
from kg.io.files import publish_folder
from kg.progress import SILENT, Progress
from kg.settings import validate
from kg.splits import SplitConfig
from recall.config.deployment import RefreshConfig, parse_config
from recall.config.sections import RunsSettings
from recall.jobs.finish import finish_run
from recall.jobs.inputs import Inputs
from recall.jobs.runner import Stages
from recall.runs.layout import RunLayout
from recall.runs.registry import run_id
from recall.runs.report import Report
from recall.serve.recommender import Recommender

_log = logging.getLogger(__name__)

# What is about a deployment: where data and runs lie, and what happens to them from night to night.
NOT_HERE = ("sources", "runs", "demo", "neo4j", "write_back", "refresh", "gate", "tune", "privacy", "watch", "service")

BASELINES = ("popularity",)  # the others cost more than many a channel, and somebody waits for this call


def fit(
    interactions: Any,
    items: Any = None,
    edges: Any = None,
    *,
    columns: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    **config: Any,
) -> Recommender:
    """Fit the channels of a configuration on tables in memory.

    Everything is as in a refresh: the graph is built, texts are encoded, the channels are fitted on the training part
    and measured on the test part (`rec.report`) beside the most liked items (`evaluation={"baselines": [...]}` adds
    more), and then fitted on everything. What was odd in the tables is logged as warnings.

        rec = recall.fit(ratings, items, pipeline={"channels": ["ease"]}, graph={"positive": "rating >= 4"})
        rec.recommend(["u1"], titles=True)
        rec.save("my-run")

    Args:
        interactions: a table of what users did to items: a pandas or polars data frame, a lazy one, an Arrow table, a
            DuckDB relation, a list of dictionaries or a mapping of columns. Columns `user_id` and `item_id`, and
            perhaps `rating`, `timestamp` and `weight`. Without times the split is random unless `split` is given.
        items: a table with a row an item: the id in `id` or in a column named as in `interactions`; all other columns
            are attributes, and a text column such as `title` becomes a feature.
        edges: a table of knowledge edges (`source`, `target`, perhaps `relation`, `source_type`, `target_type`,
            `weight`, `timestamp`), or such tables by relation; see `ingest.configured.memory.memory_tables`.
        columns: names of the columns of `interactions`, `{"user": "userId", "item": "movieId"}`.
        progress: listener.
        **config: sections of the configuration as dictionaries, and `seed` and `device`: docs/configuration.md.

    Returns:
        A Recommender. Its run lies in a temporary folder, which goes with it; `save` keeps it.

    Raises:
        InvalidDataError: the tables cannot be used.
        ConfigError: a key or value of the configuration is not allowed.
        TrainingError: training diverged.
        GateError: a metric or a vector is not finite.
    """
    settings = _settings(config)
    check_device(settings.device)
    names = validate(InteractionColumns, columns or {}, where="columns")
    sources = memory_tables(interactions, items, edges, graph=settings.graph, columns=names)
    if "split" not in config and (names.timestamp or "timestamp") not in sources[0].table.column_names:
        settings = settings.changed(split=SplitConfig(kind="random"))
    from recall.jobs.stages import make_run

    folder = TemporaryDirectory(prefix="graphrecall-", ignore_cleanup_errors=True)
    root = Path(folder.name).resolve()
    try:
        in_folder = settings.changed(runs=RunsSettings(folder=root))
        staging = root / ".staging"
        staging.mkdir()
        inputs = Inputs.of(in_folder, staging, progress, memory=sources)
        stages = Stages(staging)
        report = make_run(settings, inputs, stages, root / ".cache", progress=progress)
        report = finish_run(stages.run, report, None)
        run = RunLayout(root / run_id(inputs.fingerprint))
        publish_folder(stages.run.path, run.path)
        recommender = Recommender.load(run.path, verify=False)
    except BaseException:
        folder.cleanup()
        raise
    weakref.finalize(recommender, folder.cleanup)
    _log_findings(report)
    return recommender


def _settings(config: Mapping[str, Any]) -> RefreshConfig:
    if deployment := [name for name in config if name in NOT_HERE]:
        raise ConfigError(
            f"{deployment[0]} is of a deployment, and fit makes none: write a configuration for `graphrecall refresh`"
        )
    data = {**config, "sources": {}}
    evaluation = config.get("evaluation", {})
    if isinstance(evaluation, Mapping):  # what is no mapping is refused below
        data["evaluation"] = {"baselines": list(BASELINES), **evaluation}
    return parse_config(data, base=Path.cwd(), name="the configuration of fit")


def _log_findings(report: Report) -> None:
    for finding in report.quality.findings:
        if finding.severity == "warning":
            examples = f" ({', '.join(finding.examples[:3])})" if finding.examples else ""
            _log.warning("%d %s: %s%s", finding.count, finding.kind, finding.explanation, examples)
