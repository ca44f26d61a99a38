"""A run and what is exported about it, and the tool of Prometheus that checks rules."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime

import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.ops.metrics import exposition as refresh_exposition
from recall.ops.summary import SummaryLog, summarise
from recall.quality.monitor.metrics import exposition as drift_exposition
from recall.quality.monitor.monitor import monitor_runs
from recall.serve.recommender import Recommender
from recall.service.metrics import ServiceMetrics
from tests.operations.exported import labels_by_name
from tests.recall.conftest import ONE_CHANNEL, write_deployment


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RefreshResult:
    """The second run of a deployment that trains nothing."""
    config = write_deployment(tmp_path_factory.mktemp("operations"))
    text = config.read_text().replace(ONE_CHANNEL, 'channels = ["item_knn"]')
    start, end = text.index("[channels.lightgcn]"), text.index("[evaluation]")
    config.write_text(text[:start] + text[end:])
    refresh(load_config(config))
    return refresh(load_config(config), full=True)


@pytest.fixture(scope="session")
def exported(made: RefreshResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of every metric: of the service, of a refresh, and of the monitor."""
    assert made.run is not None
    recommender = Recommender.load(made.run.path)
    service = ServiceMetrics(recommender)
    service.request_seconds.labels("/recommend", "POST", "200").observe(0.01)
    service.count_candidates(recommender.recommend(["u1"], k=3).table)
    labels = labels_by_name(service.exposition().decode())
    log = tmp_path_factory.mktemp("log")
    facts = {"started": datetime.now(UTC), "seconds": 1.0, "exit_code": 0, "runs": log}
    summary = summarise("published", run=made.run.name, report=made.report, **facts)
    labels |= labels_by_name(refresh_exposition(SummaryLog(log).add(summary, keep=1)))
    runs = made.run.path.parent
    return labels | labels_by_name(drift_exposition(monitor_runs(runs, k=3), runs))


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool; Debian has it in its package `prometheus`."""
    path = shutil.which("promtool")
    if path is None:
        if os.environ.get("GRAPHRECALL_REQUIRE_PROMTOOL"):
            pytest.fail("there is no promtool: install Debian's package prometheus")
        pytest.skip("needs promtool, of Debian's package prometheus")
    return path
