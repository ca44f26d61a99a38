"""A summary as metrics in Prometheus' text format, for the textfile collector of node_exporter or a push gateway.

A refresh is not a server that could be scraped, and a counter must outlive the process, so the numbers come from the
summary, which carries them from one refresh to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recall.ops.summary import GOOD, STATUSES

if TYPE_CHECKING:
    from prometheus_client import Metric

PREFIX = "graphrecall"
Samples = Sequence[tuple[Mapping[str, str], float]]


def exposition(summary: Mapping[str, Any]) -> str:
    """The text of the file.

    Args:
        summary: as `SummaryLog.add` returns it.

    Returns:
        Every sample has the label `runs`, the runs folder, so that the files of several deployments can lie side by
        side. A number that the summary lacks has no sample.
    """
    return metrics_text(lambda: _metrics(summary))


def metrics_text(metrics: Callable[[], Iterator[Metric]]) -> str:
    """The text of a file with metrics.

    Args:
        metrics: makes them.
    """
    # Imported here: it takes 0.2 s, and few commands write such a file.
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Metrics(Collector):
        def collect(self) -> Iterator[Metric]:
            return metrics()

    registry = CollectorRegistry()
    registry.register(Metrics())
    return generate_latest(registry).decode("utf-8")


def _metrics(summary: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    runs = str(summary["runs"])
    refreshes = CounterMetricFamily(
        f"{PREFIX}_refreshes", "Refreshes by outcome since the runs folder was made.", labels=["runs", "status"]
    )
    for status in STATUSES:
        refreshes.add_metric([runs, status], summary["totals"][status])
    yield refreshes
    for name, help_text, samples in _gauges(summary):
        if samples:
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=["runs", *samples[0][0]])
            for labels, value in samples:
                gauge.add_metric([runs, *labels.values()], float(value))
            yield gauge


def _gauges(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, Samples]]:
    status = summary["status"]
    statuses = [({"status": name}, float(name == status)) for name in STATUSES]
    yield "refresh_last_status", "1 for the outcome of the last refresh, 0 for the others.", statuses
    yield "refresh_last_exit_code", "Exit code of the last refresh.", _single(summary["exit_code"])
    yield "refresh_last_good", "1 when the last refresh published or found nothing new.", _single(status in GOOD)
    failures = _single(summary["failures_in_a_row"])
    yield "refresh_failures_in_a_row", "Refreshes failed or rejected since the last good one.", failures
    for name, key, help_text in (
        ("refresh_last_start", "started", "When the last refresh began."),
        ("refresh_last_end", "finished", "When the last refresh ended."),
        ("refresh_last_good", "last_good", "When a refresh last published or found nothing new."),
        ("refresh_last_published", "last_published", "When a refresh last published a run."),
        ("run_created", "created", "When the run of the other numbers was made."),
    ):
        moment = summary.get(key)
        seconds = None if moment is None else datetime.fromisoformat(moment).timestamp()
        yield f"{name}_timestamp_seconds", help_text, _single(seconds)
    yield "refresh_last_duration_seconds", "How long the last refresh took.", _single(summary["seconds"])
    memory = _single(summary["peak_memory_bytes"])
    yield "refresh_last_peak_memory_bytes", "Most memory the last refresh had resident.", memory
    run = [] if summary["run"] is None else [({"run": summary["run"]}, 1.0)]
    yield "run_info", "Always 1; its label is the run that serves.", run
    if "counts" in summary:
        yield from _run_gauges(summary)


def _run_gauges(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, Samples]]:
    """The numbers from the report of the run that serves."""
    counts = summary["counts"]
    yield "run_generation", "Incremental refreshes since the last full rebuild.", _single(summary["generation"])
    for name in ("interactions", "positives", "users", "items"):
        yield f"run_{name}", f"Number of {name} of the run.", _single(counts.get(name))
    yield "run_nodes", "Number of nodes by type.", _by("type", counts.get("nodes", {}))
    yield "run_edges", "Number of edges by relation.", _by("relation", counts.get("edges", {}))
    findings = {name: summary["findings"].get(name, 0) for name in sorted({"info", "warning", *summary["findings"]})}
    yield "run_findings", "Kinds of findings in the sources, by severity.", _by("severity", findings)
    metrics: list[tuple[dict[str, str], float]] = []
    for group, values in summary["metrics"].items():
        for name, value in values.items():
            metric, _, k = name.partition("@")
            metrics.append(({"group": str(group), "metric": metric, "k": k}, value))
    yield "run_metric", "Test metrics of what serves, by group of users or items.", metrics
    yield "run_stage_seconds", "How long each stage of making the run took.", _by("stage", summary["timings"])


def _single(value: float | None) -> Samples:
    return [] if value is None else [({}, value)]


def _by(label: str, values: Mapping[str, float]) -> Samples:
    return [({label: str(name)}, value) for name, value in values.items()]
