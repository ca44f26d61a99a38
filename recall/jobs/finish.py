"""The last writes to a finished run: its report, the page made of it, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kg import __version__
from kg.io.files import write_manifest
from recall.ops.html_report import write_html
from recall.runs.layout import RunLayout
from recall.runs.report import Report, Verdict


def finish_run(
    run: RunLayout, report: Report, verdict: Verdict | None, *, history: Sequence[Mapping[str, Any]] = ()
) -> Report:
    """Write what depends on the verdict, and the manifest last; nothing of the run is changed afterwards.

    Args:
        run: complete but for that.
        report: without the verdict.
        verdict: of the gate; None where nobody has judged.
        history: summaries of earlier refreshes, oldest first.

    Returns:
        The report with the verdict.
    """
    report = report.changed(gate=verdict)
    report.save(run)
    write_html(run, report, history)
    facts: dict[str, Any] = {
        "fingerprint": report.fingerprint,
        "created": report.created,
        "library_version": __version__,
        "metrics": report.headline(),
    }
    if verdict is not None and not verdict.passed:
        facts["rejected"] = list(verdict.reasons)
    write_manifest(run.path, facts)
    return report
