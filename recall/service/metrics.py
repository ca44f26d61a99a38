"""Metrics of the service in Prometheus' format, summed over all workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from kg.errors import ArtifactError
from recall.contracts import FALLBACK
from recall.ops.metrics import PREFIX
from recall.runs.report import Report
from recall.serve.recommender import Recommender
from recall.service.answering import run_name

WORKERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the workers of a service write their numbers
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def count_as(slot: int) -> None:
    """Let this process add to the numbers of a slot, in place of those that it has by its number.

    Workers come and go with the runs: where each left numbers of its own, there would be more and more files. No two
    that live at the same time may have one slot.
    """
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: slot)  # type: ignore[no-untyped-call]


class ServiceMetrics:
    """Counts requests and candidates, and tells about the run that answers.

    Attributes:
        request_seconds: by route, method and status.
    """

    def __init__(self, recommender: Recommender | None) -> None:
        """Begin to count.

        Args:
            recommender: the one that answers; None while there is none.
        """
        self._own = CollectorRegistry()
        self._recommender = recommender
        self.request_seconds = Histogram(
            f"{PREFIX}_request_seconds",
            "How long requests took, with what they waited.",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=self._own,
        )
        self._candidates = Counter(
            f"{PREFIX}_candidates",
            "Candidates given out, by the channels that list them.",
            ("channel",),
            registry=self._own,
        )
        self._fallbacks = Counter(
            f"{PREFIX}_fallback_candidates",
            "Candidates given out to queries that no channel answers.",
            registry=self._own,
        )

    def count_candidates(self, table: Any) -> None:
        """Count the candidates of an answer, an Arrow table with the column `source`."""
        for entry in table["source"].value_counts().to_pylist():
            source, count = entry["values"], entry["counts"]
            if source == FALLBACK:
                self._fallbacks.inc(count)
            for channel in source.removeprefix("fusion(").removesuffix(")").split("+"):
                self._candidates.labels(channel).inc(count)

    def exposition(self) -> bytes:
        """The text of /metrics."""
        registry = self._own
        if os.environ.get(WORKERS_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        facts = CollectorRegistry()
        facts.register(_RunFacts(self._recommender))
        return generate_latest(registry) + generate_latest(facts)


class _RunFacts(Collector):
    """What is known of the run that this process answers from."""

    def __init__(self, recommender: Recommender | None) -> None:
        self._recommender = recommender

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        recommender = self._recommender
        ready = GaugeMetricFamily(f"{PREFIX}_ready", "1 when a run is loaded and warm.")
        ready.add_metric([], float(recommender is not None))
        yield ready
        if recommender is None:
            return
        serving = GaugeMetricFamily(f"{PREFIX}_serving_info", "Always 1; its label is the run.", labels=["run"])
        serving.add_metric([run_name(recommender)], 1.0)
        yield serving
        try:
            report = recommender.report
        except ArtifactError:
            return
        if report is not None:
            yield from _of_report(report)


def _of_report(report: Report) -> Iterator[Metric]:
    age = GaugeMetricFamily(f"{PREFIX}_serving_age_seconds", "Time since the run was made.")
    age.add_metric([], (datetime.now(UTC) - datetime.fromisoformat(report.created)).total_seconds())
    yield age
    if report.gate is None:
        return
    passed = GaugeMetricFamily(f"{PREFIX}_serving_gate_passed", "1 when the gate let the run pass, 0 when people did.")
    passed.add_metric([], float(report.gate.passed))
    yield passed
    readings = GaugeMetricFamily(
        f"{PREFIX}_serving_gate_readings", "What the gate looked at, by kind and result.", labels=["kind", "passed"]
    )
    counts: dict[tuple[str, str], int] = {}
    for reading in report.gate.readings:
        key = (reading.kind, str(reading.passed).lower())
        counts[key] = counts.get(key, 0) + 1
    for labels, count in counts.items():
        readings.add_metric(labels, float(count))
    yield readings
