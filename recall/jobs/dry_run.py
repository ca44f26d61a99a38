"""What a refresh would do now, with nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gnn.device import check_device
from kg.progress import SILENT, Progress
from recall.config.deployment import RefreshConfig
from recall.config.gate import GateSettings
from recall.jobs.changes import base_report, compare_sources
from recall.jobs.earlier import earlier_run
from recall.jobs.inputs import Inputs
from recall.jobs.privacy import KEY
from recall.jobs.refresh import intact_run, plan_for
from recall.quality.gate import same_verdict
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a refresh would do.

    Attributes:
        run: the run that serves, or None.
        action: "make" a new run; "unchanged"; "serve again" a run of the same inputs; leave alone one that was
            "rolled back"; refuse one that was "rejected".
        reasons: in words.
        plan: of a new run: its `kind`, `base` and `generation`; else the `run` that has these inputs.
        sources: each with its state.
    """

    run: RunLayout | None
    action: str
    reasons: tuple[str, ...]
    plan: dict[str, Any]
    sources: tuple[SourceState, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "status": "planned",
            "run": None if self.run is None else self.run.name,
            "action": self.action,
            "reasons": list(self.reasons),
            "plan": self.plan,
            "sources": [source.to_json() for source in self.sources],
        }


def dry_run(config: RefreshConfig, *, progress: Progress = SILENT, full: bool = False) -> DryRun:
    """Say what `refresh` would do now. Nothing is written, and no lock is taken.

    The sources are read as far as is needed to see whether they changed: files for their checksums, a database
    into a temporary folder, whole or, with a watermark, what changed since the last reading that was kept. How much
    changed is known to a refresh alone, and can make a full run of an incremental one.

    Args:
        config: from `recall.config.deployment.load_config`.
        progress: listener.
        full: what `refresh` would do with it.

    Raises:
        GraphRecallError: what `refresh` raises when it reads the sources.
    """
    check_device(config.device)
    runs = RunsFolder(config.runs_folder)
    current = runs.current()
    with TemporaryDirectory(prefix="graphrecall-") as folder:
        inputs = Inputs.of(without_new_key(config, Path(folder)), Path(folder), progress, fresh=full, base=current)
    intact, problem = intact_run(current)
    sources = tuple(compare_sources(base_report(intact), inputs))
    earlier = None if full else earlier_run(runs, inputs.fingerprint, current)
    if earlier is None:
        plan = plan_for(config, runs, current, full=full)
        reasons = plan.reasons if problem is None else (*plan.reasons, problem)
        return DryRun(run=current, action="make", reasons=reasons, plan=plan.to_json(), sources=sources)
    text = earlier.text
    if earlier.state == "rejected" and _judged_again(earlier.run, config.gate, intact):
        text += "; it is judged again, for the limits or the run that serves have changed"
    return DryRun(run=current, action=earlier.state, reasons=(text,), plan={"run": earlier.run.name}, sources=sources)


def _judged_again(rejected: RunLayout, settings: GateSettings, current: RunLayout | None) -> bool:
    verdict = Report.load(rejected).gate
    return verdict is None or not same_verdict(verdict, settings, current)


def without_new_key(config: RefreshConfig, folder: Path) -> RefreshConfig:
    """The same, but where pseudonyms need a key that is still to be made, it is made in another folder."""
    key = config.privacy.key_file or RunsFolder(config.runs_folder).privacy_root / KEY
    if not config.privacy.pseudonyms or Path(key).exists():
        return config
    elsewhere = config.model_copy(
        update={
            "runs": config.runs.changed(folder=folder / "runs"),
            "privacy": config.privacy.changed(key_file=None),
        }
    )
    elsewhere._base = config.base
    return elsewhere
