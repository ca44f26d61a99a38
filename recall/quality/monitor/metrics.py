"""What the monitor says of the run that serves as metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recall.ops.metrics import PREFIX, metrics_text
from recall.quality.monitor.report import MonitorReport

if TYPE_CHECKING:
    from prometheus_client import Metric


def exposition(report: MonitorReport, folder: Path) -> str:
    """The text of a file for the textfile collector of node_exporter, or for a push gateway.

    Args:
        report: of the runs; only the one that serves has samples, and only of what was compared.
        folder: the runs folder, the label `runs` of every sample.
    """
    return metrics_text(lambda: _metrics(report, str(folder.resolve())))


def _metrics(report: MonitorReport, runs: str) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    state = report.serving
    if state is None or state.problem is not None:
        return
    index = GaugeMetricFamily(
        f"{PREFIX}_drift_index",
        "Population stability index of the run that serves against the published run before it.",
        labels=["runs", "part", "name"],
    )
    for each in state.stability:
        index.add_metric([runs, each.part, each.name], each.index)
    yield index
    lists = state.candidates
    values = (None, None, None) if lists is None else (lists.new_items, lists.kept, lists.coverage)
    new_candidates, kept, coverage = values
    for name, help_text, value in (
        ("new_users_ratio", "Share of the users whom the run before did not have.", state.input.new_users),
        ("new_items_ratio", "Share of the items that the run before did not have.", state.input.new_items),
        ("new_candidates_ratio", "Share of the candidates that the run before had not.", new_candidates),
        ("kept_candidates_ratio", "Share of a user's candidates that he had before.", kept),
        ("coverage_ratio", "Share of the items among the candidates of the sample.", coverage),
    ):
        gauge = GaugeMetricFamily(f"{PREFIX}_drift_{name}", help_text, labels=["runs"])
        if value is not None:
            gauge.add_metric([runs], float(value))
        yield gauge
