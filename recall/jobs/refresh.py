"""The main job: sources in, a published run out.

It is safe to kill at any moment. Every stage leaves its result in `.staging/<fingerprint of the inputs>` and a mark
that it is complete; the next refresh of the same inputs continues after the last mark, inside a training from its last
checkpoint. A full disk stops a refresh, too: its unfinished work is removed, so that the disk does not stay full for
everybody else, and once there is room the next refresh starts anew, with the text vectors that were encoded. A Neo4j
database is read first, into `.staging/neo4j-<digest of what is read>`, because only its content shows whether anything
changed. Until the last moment the old run serves, untouched, and a run that the gate (recall.quality.gate) rejects
never takes its place by itself: it is kept aside, and the same inputs are not trained on again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from gnn.device import check_device
from kg.errors import ArtifactError, GateError, GraphRecallError, StoreError
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from recall.config.deployment import RefreshConfig
from recall.jobs.disk import disk_full_explained, staging_dropped_on_full_disk
from recall.jobs.earlier import EarlierRun, earlier_run
from recall.jobs.finish import finish_run
from recall.jobs.forget import finish_forgetting
from recall.jobs.inputs import NOT_FINGERPRINTED, Inputs
from recall.jobs.plan import Plan, plan_run
from recall.jobs.runner import Stages
from recall.ops.summary import SummaryLog
from recall.quality.gate import judge, same_verdict, unfinished_verdict
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.runs.versions import library_versions

# Most nights find nothing changed. Importing torch and the driver of a database takes longer than to find that out, so
# what needs them is imported where there is something to do.
if TYPE_CHECKING:
    from gnn.distributed import Ranks
    from kg.stores.neo4j.write.write_back import WriteBackFacts

AGAIN = "start the refresh again: it begins anew, but does not encode again what was encoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """What a refresh came to.

    Attributes:
        status: "published"; "unchanged" when the run that serves stays, because it has these inputs, or because the run
            that has them was rolled back; "rejected" when the gate refused the run.
        run: the run that serves now; None when the first one was rejected.
        report: of the run that was published or rejected; of the one that serves when nothing changed.
        rejected: the run that the gate refused.
        reasons: why a run does not serve, in words.
        again: whether no run was made: one that an earlier refresh made of the same sources serves from now on.
        written_back: what went into the database, or None where nothing is to be written back.
    """

    status: Literal["published", "unchanged", "rejected"]
    run: RunLayout | None
    report: Report
    rejected: RunLayout | None = None
    reasons: tuple[str, ...] = ()
    again: bool = False
    written_back: WriteBackFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        back = None if self.written_back is None else self.written_back.to_json()
        return {
            "status": self.status,
            "run": None if self.run is None else self.run.name,
            "path": None if self.run is None else str(self.run.path),
            "rejected": None if self.rejected is None else str(self.rejected.path),
            "reasons": list(self.reasons),
            "again": self.again,
            "written_back": back,
            "report": self.report.to_json(),
        }


def refresh(
    config: RefreshConfig, *, progress: Progress = SILENT, full: bool = False, ranks: Ranks | None = None
) -> RefreshResult:
    """Make a run of what the sources hold now and let it serve, unless the one that serves was made of the same.

    The gate compares it with the one that serves first. When it refuses, the status is "rejected", the old run serves
    on, and the new one lies in `.rejected` of the runs folder (recall.jobs.decide.accept publishes it all the same).
    The next refresh of the same inputs is rejected at once, unless the limits or the run that serves have changed: then
    the run that is there is judged again.

    Args:
        config: from `recall.config.deployment.load_config`.
        progress: listener.
        full: start anew, also when nothing changed and when there is unfinished work to continue; text vectors, which
            depend on text and model alone, are still taken from the cache.
        ranks: processes that share the trainings, this one being the first (gnn.distributed.process_group); None:
            this one alone.

    Raises:
        RefreshInProgressError: another process refreshes the same runs folder.
        InvalidDataError: the sources cannot be used.
        ConfigError: the device, a relation or a file that the configuration names is not there.
        TrainingError: training diverged.
        StoreError: a database did not answer while it was read, or while results were written back; in the second
            case the new run is published and serves.
        GraphRecallError: the disk is full.
    """
    check_device(config.device)
    runs = RunsFolder(config.runs_folder)
    with disk_full_explained(runs.path, again=AGAIN), runs.lock(), staging_dropped_on_full_disk(runs):
        finish_forgetting(runs, config, progress=progress)
        current = runs.current()
        inputs = Inputs.of(config, runs.staging_root, progress, fresh=full, base=current)
        earlier = None if full else earlier_run(runs, inputs.fingerprint, current)
        if earlier is not None:
            result = _settle(config, runs, earlier, current, progress)
            inputs.keep_snapshot(runs.path, result.report)
            _tidy(runs, config)
            return _write_back(config, result, progress)
        from gnn.distributed import ALONE
        from recall.jobs.stages import make_run

        keep = () if inputs.snapshot is None else (inputs.snapshot.folder,)
        stages = Stages(runs.staging(inputs.fingerprint, fresh=full, keep=keep))
        intact, problem = intact_run(current)
        plan = plan_for(config, runs, current, full=full)
        try:
            report = make_run(
                config,
                inputs,
                stages,
                runs.cache,
                progress=progress,
                ranks=ALONE if ranks is None else ranks,
                plan=plan,
                current=intact,
            )
            incremental = report.kind == "incremental"
            verdict = judge(
                config.gate, stages.run, current=intact, problem=problem, incremental=incremental, progress=progress
            )
        except GateError as error:
            report = Report.load(stages.run)
            incremental = report.kind == "incremental"
            verdict = unfinished_verdict(config.gate, str(error), current=intact, incremental=incremental)
        report = finish_run(stages.run, report, verdict, history=SummaryLog(runs.path).read())
        if verdict.passed:
            run = runs.publish(stages.run.path, fingerprint=inputs.fingerprint)
            result = RefreshResult(status="published", run=run, report=report)
        else:
            run = runs.reject(stages.run.path, fingerprint=inputs.fingerprint)
            result = RefreshResult(status="rejected", run=current, report=report, rejected=run, reasons=verdict.reasons)
        inputs.keep_snapshot(runs.path, report)
        _tidy(runs, config)
        return _write_back(config, result, progress)


def intact_run(current: RunLayout | None) -> tuple[RunLayout | None, str | None]:
    """The run that serves, if it is intact and a new run can be compared with it; else what is wrong with it."""
    if current is None:
        return None, None
    try:
        current.verify()
    except (ArtifactError, OSError) as error:
        return None, f"the run that serves is damaged, so that nothing is compared with it: {error}"
    return current, None


def plan_for(config: RefreshConfig, runs: RunsFolder, current: RunLayout | None, *, full: bool) -> Plan:
    """What to make, as far as it is known before the sources are read."""
    bases = []
    for run in runs.rejected():
        with suppress(ArtifactError):
            bases.append(Report.load(run).base or "")
    return plan_run(
        config.refresh,
        current,
        config.to_json(),
        library_versions(),
        left_out=NOT_FINGERPRINTED,
        full=full,
        rejected=bases,
    )


def _tidy(runs: RunsFolder, config: RefreshConfig) -> None:
    """Remove what is not wanted any more; also after a refresh that was killed before it came to this."""
    remove_trees([runs.staging_root], inside=runs.path)
    runs.prune(config.runs.keep, rejected=config.gate.keep)


def _write_back(config: RefreshConfig, result: RefreshResult, progress: Progress) -> RefreshResult:
    """Write the results of the run that serves into its database, if that is wished; at once when they are there."""
    if config.write_back is None or config.neo4j is None or result.run is None:
        return result
    from recall.serve.write_back import write_back_run

    try:
        with config.neo4j.open(base=config.base) as store:
            wanted = config.write_back
            facts = write_back_run(result.run, store, k=wanted.k, vectors=wanted.vectors, progress=progress)
    except GraphRecallError as error:
        raise StoreError(
            f"{error}\nThe run {result.run.name} is published and serves; only its results are not in the database. "
            f"The next refresh tries again, and so does: graphrecall write-back {result.run.path} --config CONFIG"
        ) from error
    return replace(result, written_back=facts)


def _settle(
    config: RefreshConfig, runs: RunsFolder, earlier: EarlierRun, current: RunLayout | None, progress: Progress
) -> RefreshResult:
    """Do what is left to do where nothing has to be made."""
    if earlier.state == "rejected":
        return _judged_again(config, runs, earlier.run, current, progress)
    if earlier.state == "serve again":
        runs.serve(earlier.run)
        return RefreshResult(status="published", run=earlier.run, report=Report.load(earlier.run), again=True)
    report = Report.load(earlier.run if current is None else current)
    reasons = (earlier.text,) if earlier.state == "rolled back" else ()
    return RefreshResult(status="unchanged", run=current, report=report, reasons=reasons)


def _judged_again(
    config: RefreshConfig, runs: RunsFolder, rejected: RunLayout, current: RunLayout | None, progress: Progress
) -> RefreshResult:
    """A rejected run before the gate of today; at once when neither the limits nor what serves have changed."""
    report = Report.load(rejected)
    intact, problem = intact_run(current)
    if report.gate is None or not same_verdict(report.gate, config.gate, intact):
        incremental = report.kind == "incremental" and intact is not None and report.base == intact.name
        verdict = judge(
            config.gate, rejected, current=intact, problem=problem, incremental=incremental, progress=progress
        )
        # In a copy: a kill leaves the run as it was rejected, or as it is judged now.
        judged = RunLayout(runs.judged(rejected))
        report = finish_run(judged, report, verdict, history=SummaryLog(runs.path).read())
        if verdict.passed:
            run = runs.publish_rejected(rejected, judged=judged.path)
            runs.serve(run)
            return RefreshResult(status="published", run=run, report=report, again=True)
        runs.replace_rejected(rejected, judged.path)
    reasons = () if report.gate is None else report.gate.reasons
    return RefreshResult(status="rejected", run=current, report=report, rejected=rejected, reasons=reasons)
