"""What people decide about runs: one that the gate rejected serves all the same, one that serves is rolled back.

Nothing is made or changed in a run: a link is switched, and a record beside the runs says who did it, when and why. The
record is written first, so that a refresh that comes between, or after a kill, does not undo the decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kg.errors import ArtifactError, ConfigError
from recall.runs.layout import RunLayout
from recall.runs.records import Decision
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.recommender import Recommender


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """Which run serves now, by a decision.

    Attributes:
        run: it.
        before: the one that served until then, or None.
        withdrawn: newer published runs, which do not serve again by themselves.
        damaged: older runs that could not be loaded and were passed over.
    """

    run: RunLayout
    before: RunLayout | None
    withdrawn: tuple[RunLayout, ...]
    damaged: tuple[RunLayout, ...] = ()


def accept(run: Path | str, *, by: str, reason: str) -> Switched:
    """Let a run serve that the gate rejected.

    Where a newer run was published since, it is withdrawn as by a rollback: its data are newer, but this one is wanted.

    Args:
        run: its folder, `runs/.rejected/<run id>`; `runs/<run id>` will do as well.
        by: who decides.
        reason: why, in words.

    Raises:
        ConfigError: no name or reason is given, the run was never rejected, or it could not be finished.
        ArtifactError: there is no such run, or it cannot be loaded.
        RefreshInProgressError: a refresh is at work.
    """
    for name, value in (("name", by), ("reason", reason)):
        if not value.strip():
            raise ConfigError(f"an accepted run keeps a {name} in its record: give one")
    given = Path(run).absolute()
    runs = RunsFolder.of(RunLayout(given))
    if not runs.path.is_dir():
        raise ArtifactError(f"there is no runs folder at {runs.path}")
    with runs.lock():
        chosen = _named(given.name, [*runs.runs(), *runs.rejected()], runs)
        record = runs.record(chosen)
        rejected = chosen in runs.rejected()
        if not rejected and record.accepted is None:
            raise ConfigError(
                f"{chosen.name} was not rejected: graphrecall rollback {runs.path} --to {chosen.name} lets it serve"
            )
        before = runs.current()
        if chosen == before:
            raise ConfigError(f"{chosen.name} serves already")
        verdict = Report.load(chosen).gate
        if verdict is not None and verdict.unfinished:
            raise ConfigError(f"{chosen.name} holds what is no number and was never finished: it cannot serve")
        Recommender.of_run(chosen)
        decision = Decision.now(by=by, reason=reason, run="" if before is None else before.name)
        runs.keep_record(chosen, replace(record, accepted=decision, rolled_back=None))
        withdrawn = _withdraw_newer(runs, chosen, by=by, reason=reason)
        published = runs.publish_rejected(chosen) if rejected else chosen
        runs.serve(published)
        return Switched(run=published, before=before, withdrawn=withdrawn)


def rollback(runs_folder: Path | str, *, to: str | None = None, by: str, reason: str = "") -> Switched:
    """Let an older run serve again, at once for every reader that looks.

    All newer runs are withdrawn: a refresh of the inputs that one of them was made of does not publish it again, but
    says so. Changed sources make a new run, and so does `refresh --full`.

    Args:
        runs_folder: the folder.
        to: id of the run; None: the newest one before the one that serves that can be loaded and was not rolled back
            itself. One that was takes that back.
        by: who decides.
        reason: why, in words.

    Raises:
        ArtifactError: there is no such run or none before, or it cannot be loaded.
        ConfigError: it serves already.
        RefreshInProgressError: a refresh is at work.
    """
    runs = RunsFolder(Path(runs_folder))
    if not runs.path.is_dir():
        raise ArtifactError(f"there is no runs folder at {runs.path}")
    with runs.lock():
        before = runs.current()
        damaged: list[RunLayout] = []
        if to is not None:
            target = _named(Path(to).name, runs.runs(), runs)
            if target == before:
                raise ConfigError(f"{target.name} serves already")
            Recommender.of_run(target)
        else:
            target = _one_before(runs, before, damaged)
        record = runs.record(target)
        if record.rolled_back is not None:
            runs.keep_record(target, replace(record, rolled_back=None))
        withdrawn = _withdraw_newer(runs, target, by=by, reason=reason)
        runs.serve(target)
        return Switched(run=target, before=before, withdrawn=withdrawn, damaged=tuple(damaged))


def _one_before(runs: RunsFolder, current: RunLayout | None, damaged: list[RunLayout]) -> RunLayout:
    """The newest run that is older than the current one and was not withdrawn; unloadable ones go into `damaged`."""
    withdrawn = []
    for run in reversed(runs.runs()):
        if current is None or run.name < current.name:
            if runs.record(run).rolled_back is not None:
                withdrawn.append(run.name)
                continue
            try:
                Recommender.of_run(run)
            except ArtifactError:
                damaged.append(run)
            else:
                return run
    details = f"; {', '.join(run.name for run in damaged)} cannot be loaded" if damaged else ""
    if withdrawn:
        details += f"; {', '.join(withdrawn)}, rolled back before, serves again by --to ID alone"
    raise ArtifactError(f"there is no run before the one that serves in {runs.path}{details}")


def _withdraw_newer(runs: RunsFolder, target: RunLayout, *, by: str, reason: str) -> tuple[RunLayout, ...]:
    decision = Decision.now(by=by, reason=reason, run=target.name)
    newer = tuple(run for run in runs.runs() if run.name > target.name)
    for run in newer:
        record = runs.record(run)
        if record.rolled_back is None:
            runs.keep_record(run, replace(record, rolled_back=decision))
    return newer


def _named(name: str, there: list[RunLayout], runs: RunsFolder) -> RunLayout:
    for run in there:
        if run.name == name:
            return run
    raise ArtifactError(f"there is no run {name} in {runs.path}: graphrecall runs {runs.path} lists them")
