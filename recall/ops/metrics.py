"""A summary as metrics in Prometheus' text format, for the textfile collector of node_exporter or a push gateway.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. A refresh is not a server
that could be scraped, and a counter must outlive the process, so the numbers come from the summary, which carries them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from recall.ops.summary import GOOD, STATUSES

PREFIX = "graphrecall"
Sample = tuple[dict[str, str], float]


def exposition(summary: Mapping[str, Any]) -> str:
    """The text of the file.

    Args:
        summary: as `SummaryLog.add` returns it.

    Returns:
        Every sample has the label `runs`, the runs folder, so that the files of several deployments can lie side by
        side. What the summary does not tell has no sample.
    """
    lines: list[str] = []
    for name, kind, help_text, samples in _families(summary):
        if not samples:
            continue
        lines += [f"# HELP {PREFIX}_{name} {_escaped(help_text, quotes=False)}", f"# TYPE {PREFIX}_{name} {kind}"]
        for labels, value in samples:
            every = {"runs": str(summary["runs"]), **labels}
            told = ",".join(f'{label}="{_escaped(text)}"' for label, text in every.items())
            lines.append(f"{PREFIX}_{name}{{{told}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _families(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    def one(value: float | None) -> list[Sample]:
        return [] if value is None else [({}, float(value))]

    status, counts = summary["status"], summary.get("counts", {})
    statuses: list[Sample] = [({"status": name}, float(name == status)) for name in STATUSES]
    totals: list[Sample] = [({"status": name}, float(summary["totals"][name])) for name in STATUSES]
    yield "refreshes_total", "counter", "Refreshes by outcome since the runs folder was made.", totals
    yield "refresh_last_status", "gauge", "1 for the outcome of the last refresh, 0 for the others.", statuses
    yield "refresh_last_exit_code", "gauge", "Exit code of the last refresh.", one(summary["exit_code"])
    yield "refresh_last_good", "gauge", "1 when the last refresh published or found nothing new.", one(status in GOOD)
    yield (
        "refresh_failures_in_a_row",
        "gauge",
        "Refreshes failed or rejected since the last good one.",
        one(summary["failures_in_a_row"]),
    )
    for name, key, help_text in (
        ("refresh_last_start_timestamp_seconds", "started", "When the last refresh began."),
        ("refresh_last_end_timestamp_seconds", "finished", "When the last refresh ended."),
        ("refresh_last_good_timestamp_seconds", "last_good", "When a refresh last published or found nothing new."),
        ("refresh_last_published_timestamp_seconds", "last_published", "When a refresh last published a run."),
        ("run_created_timestamp_seconds", "created", "When the run of the other numbers was made."),
    ):
        yield name, "gauge", help_text, one(_seconds(summary.get(key)))
    yield "refresh_last_duration_seconds", "gauge", "How long the last refresh took.", one(summary["seconds"])
    yield (
        "refresh_last_peak_memory_bytes",
        "gauge",
        "Most memory the last refresh had resident.",
        one(summary["peak_memory_bytes"]),
    )
    run: list[Sample] = [] if summary["run"] is None else [({"run": summary["run"]}, 1.0)]
    yield "run_info", "gauge", "Always 1; its label is the run that serves.", run
    if "counts" not in summary:
        return
    yield "run_generation", "gauge", "Incremental refreshes since the last full rebuild.", one(summary["generation"])
    for name in ("interactions", "positives", "users", "items"):
        yield f"run_{name}", "gauge", f"Number of {name} of the run.", one(counts.get(name))
    nodes: list[Sample] = [({"type": str(name)}, float(count)) for name, count in counts.get("nodes", {}).items()]
    yield "run_nodes", "gauge", "Number of nodes by type.", nodes
    edges: list[Sample] = [({"relation": str(name)}, float(count)) for name, count in counts.get("edges", {}).items()]
    yield "run_edges", "gauge", "Number of edges by relation.", edges
    findings: list[Sample] = [
        ({"severity": str(name)}, float(summary["findings"].get(name, 0)))
        for name in sorted({"info", "warning", *summary["findings"]})
    ]
    yield "run_findings", "gauge", "Kinds of findings in the sources, by severity.", findings
    metrics: list[Sample] = []
    for group, values in summary["metrics"].items():
        for name, value in values.items():
            metric, _, k = name.partition("@")
            metrics.append(({"group": str(group), "metric": metric, "k": k}, float(value)))
    yield "run_metric", "gauge", "Test metrics of what serves, by group of users or items.", metrics
    stages: list[Sample] = [({"stage": str(name)}, float(value)) for name, value in summary["timings"].items()]
    yield "run_stage_seconds", "gauge", "How long each stage of making the run took.", stages


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
