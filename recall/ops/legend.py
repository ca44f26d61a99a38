"""What the numbers of an evaluation and of a gate mean, in words, for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from recall.runs.report import EvaluationReport, Reading, Verdict

METRICS = {
    "recall": "share of a user's held-out items that are among the k best",
    "precision": "share of the k places that hold a held-out item",
    "f1": "harmonic mean of recall and precision",
    "hit_rate": "share of users with at least one held-out item among the k best",
    "mrr": "1 / rank of the first held-out item, 0 without one",
    "map": "mean of the precision at the rank of each held-out item",
    "ndcg": "like recall, but places near the top count more; 1 is the best order there is",
    "coverage": "share of all items that are recommended to somebody",
    "gini": "how unequally the places are shared among all items: 0 equally, near 1 a few items have all",
    "novelty": "how rare the recommended items are, in bits: 0 is an item that everybody likes",
    "long_tail": "share of the places that go to items outside the most liked fifth",
    "calibration": "how far the classes of the list are from those of what the user liked: 0 the same proportions",
}
"""The metrics of a report, without their cut-offs. The first seven are means over users, from 0 to 1."""

NOTHING_HELD_OUT = (
    "nothing was held out, so nothing could be measured: no user has enough interactions for a test part, or the split "
    "leaves none (section split)"
)
POPULARITY = "popularity"
MOST_LIKED = "the most liked items"


def behind_popularity(evaluation: EvaluationReport) -> Iterator[str]:
    """Where the most liked items, the same for everybody, are ahead of what the run serves: a sentence a group."""
    if not evaluation.k:
        return
    metric = f"ndcg@{evaluation.k[0]}"
    popular = {row.group: row.metrics for row in evaluation.metrics if row.ranker == POPULARITY}
    for row in evaluation.served():
        other = popular.get(row.group, {}).get(metric)
        if row.ranker != POPULARITY and other is not None and other > row.metrics[metric]:
            yield (
                f"{row.group}: {MOST_LIKED} are ahead of {row.ranker}, {metric} {other:.4f} against "
                f"{row.metrics[metric]:.4f}"
            )


def gate_rows(verdict: Verdict) -> list[dict[str, Any]]:
    """The readings of a gate as rows for people.

    Returns:
        For each reading `reading`, `now`, `against` (what it is compared with), `before` (the value of that), `change`,
        `limit`, `passed` and `text`.
    """
    return [_gate_row(reading) for reading in verdict.readings]


def _gate_row(reading: Reading) -> dict[str, Any]:
    against = ""
    if reading.before is not None:
        against = MOST_LIKED if reading.kind == "popularity" else "the run before"
    return {
        "reading": reading.name,
        "now": _value(reading, reading.now),
        "against": against,
        "before": _value(reading, reading.before),
        "change": f"{reading.now / reading.before - 1:+.1%}" if reading.before and reading.now is not None else "",
        "limit": _limit(reading),
        "passed": reading.passed,
        "text": reading.text,
    }


def _value(reading: Reading, value: float | None) -> str:
    if value is None:
        return ""
    if reading.kind in ("count", "common", "finite", "self-check"):
        return f"{value:,.0f}"
    return f"{value:.1%}" if reading.kind == "top" else f"{value:.4f}"


def _limit(reading: Reading) -> str:
    """What the change may be; in a reading it is a loss, so that an improvement is below zero there."""
    if reading.limit is None:
        return "not judged" if reading.kind == "count" else ""
    if reading.kind == "finite":
        return "none"
    if reading.kind == "common":
        return f"at least {reading.limit:.1%} of those before"
    if reading.kind == "minimum":
        return f"at least {reading.limit:.4f}"
    if reading.kind == "top":
        return f"at most {reading.limit:.1%} of the users"
    if reading.kind == "count":
        return f"at most {reading.limit:.1%} {'more' if _grew(reading) else 'gone'}"
    return f"at most {reading.limit:.1%} less"


def _grew(reading: Reading) -> bool:
    """Whether a count was judged by how much it grew; otherwise by how many of those before are gone."""
    if reading.now is None or not reading.before or reading.change is None:
        return False
    return reading.change > 0 and math.isclose(reading.change, reading.now / reading.before - 1)
