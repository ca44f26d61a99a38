"""Which metrics there are, with their labels, and which ones a query asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

# Of Prometheus itself and of the kubelet.
FOREIGN = {"up", "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}
ADDED = {"job", "instance"}  # labels that Prometheus adds when it scrapes
_METRIC = re.compile(r"\b(graphrecall_\w+|kubelet_\w+|up)\b(?:\{([^}]*)\})?")


def labels_by_name(text: str) -> dict[str, set[str]]:
    """The labels of each metric in an exposition; a histogram has the names of its parts, too."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def asked_for(query: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric that a query names, with the labels that it is selected by."""
    for name, selectors in _METRIC.findall(query):
        yield name, set(re.findall(r"(\w+)\s*(?:=|!)", selectors))


def missing(query: str, exported: dict[str, set[str]]) -> list[str]:
    """What a query asks for and nobody exports."""
    return [
        f"{name}{sorted(labels)}"
        for name, labels in asked_for(query)
        if name not in FOREIGN and (name not in exported or not labels <= exported[name] | ADDED)
    ]
