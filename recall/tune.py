"""Looks for better hyper-parameters on the validation part; the test part is never looked at.

The first trial is the configuration as it is, the next ones are drawn at random, and from then on by TPE (Bergstra et
al., NIPS 2011), through Optuna. Every trial trains on the training part with early stopping, so that the number of
steps is found with it and is no hyper-parameter. A trial whose validations fall behind the median of the others' at
the same step is given up.

It is safe to kill at any moment. Finished trials are kept in `.tune/<fingerprint>/study.db` of the runs folder; the
fingerprint is of the sources, of the configuration but for where and how it runs, and of what is searched. The trial
that was at work is drawn again, with the same values, and goes on from the last checkpoint of its training: what it
draws depends on the seed and on the finished trials alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from gnn.device import is_memory_full, resolve_device
from gnn.evaluation import Group, user_groups
from gnn.lightgcn import chosen_relations
from gnn.trainer import RunContext, Validation, fit
from kg.errors import ArtifactError, ConfigError, InvalidDataError, TrainingError, TuneInProgressError
from kg.files import digest, remove_trees
from kg.progress import SILENT, Progress, Task
from recall.assess import exact_channel
from recall.config import RefreshConfig, parse_config, read_config
from recall.config_file import write_config
from recall.measure import measure
from recall.prepare import NOT_FINGERPRINTED, Inputs, Prepared, Stages, prepare
from recall.runs import RunsFolder
from recall.search_space import Range, Whole

if TYPE_CHECKING:  # an extra, imported where it is used
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OpenTrial

State = Literal["finished", "given up", "failed"]

NOT_TUNED_ON = (*NOT_FINGERPRINTED, "index", "evaluation")
STUDY, DATA, TRAINING = "study.db", "data", "training"
RANDOM_TRIALS = 8  # before TPE has something to go by
WHOLE_TRIALS = 4  # finished ones, before any is given up
WARM_UP = 4  # nor in the first quarter of its steps
DIGITS = 4  # of a drawn number; more would only make the written configuration harder to read
ALWAYS_MEASURED = ("recall", "ndcg")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """What a trial came to.

    Attributes:
        number: of the finished ones, from 1; the first is the configuration as it is.
        state: "finished", "given up" because it fell behind, or "failed": diverged, or the memory was full.
        value: the metric on validation, None unless finished.
        metrics: more of them.
        settings: "training.temperature" -> the value it was trained with, for all that is searched.
        steps: where early stopping found the best; None unless finished.
        seconds: of training and measuring.
        error: why it failed.
    """

    number: int
    state: State
    value: float | None
    metrics: dict[str, float]
    settings: dict[str, Any]
    steps: int | None
    seconds: float
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """What a tuning came to.

    Attributes:
        metric: "ndcg@20".
        users: of the validation part, whom it is the mean over.
        trials: all that are over, in their order.
        best: the finished one with the largest value; the earliest of equals.
        study: folder with what was found.
        out: the configuration with the best values.
        max_steps: `training.max_steps`; a best trial that reached it might have become better with more.
    """

    metric: str
    users: int
    trials: tuple[TrialFacts, ...]
    best: TrialFacts
    study: Path
    out: Path
    max_steps: int

    @property
    def configured(self) -> TrialFacts:
        """The configuration as it is."""
        return self.trials[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "metric": self.metric,
            "users": self.users,
            "out": str(self.out),
            "study": str(self.study),
            "max_steps": self.max_steps,
            "best": self.best.to_json(),
            "trials": [trial.to_json() for trial in self.trials],
        }


def tune(
    file: Path | str,
    *,
    trials: int,
    out: Path | str | None = None,
    metric: str | None = None,
    k: int | None = None,
    progress: Progress = SILENT,
) -> TuneResult:
    """Search the hyper-parameters of a configuration, and write the best of them as a configuration.

    Args:
        file: TOML file of the deployment; its section `tune` says what is searched, see `recall.search_space`.
        trials: how many there shall be when it returns; those of an earlier search for the same count.
        out: file to write; None: `NAME.tuned.toml` beside `NAME.toml`.
        metric: in the place of that of the section `tune`.
        k: in the place of that of the section `tune`.
        progress: hears of the preparation and of the trials.

    Raises:
        ConfigError: a value is not allowed, Optuna is not installed, or `out` cannot be written.
        InvalidDataError: the sources cannot be used, or there is no validation part.
        TrainingError: no trial finished.
        TuneInProgressError: another process tunes for the same runs folder.
    """
    if trials < 1:
        raise ConfigError(f"trials = {trials} must be at least 1")
    _check_installed()
    file = Path(file)
    data = read_config(file)
    chosen = {name: value for name, value in (("metric", metric), ("k", k)) if value is not None}
    if chosen:
        data = {**data, "tune": {**data.get("tune", {}), **chosen}}
    config = parse_config(data, base=file.resolve().parent, name=str(file))
    target = _target(file, None if out is None else Path(out))
    resolve_device(config.device)
    runs = RunsFolder(config.runs_folder)
    with _lock(runs.studies):
        inputs = Inputs.of(config, runs.studies, progress, left_out=NOT_TUNED_ON)
        folder = runs.studies / _fingerprint(config, inputs)[:16]
        _tidy(runs.studies, folder, inputs)
        with _open(folder, config) as study:
            _forget_killed(study)
            if len(_over(study)) < trials:
                stages = Stages(folder / DATA)
                prepared = prepare(config, inputs, stages, runs.cache, progress)
                _Search(config, prepared, study, folder).run(trials, progress)
            inputs.drop_snapshot()
            remove_trees(_work(folder))
            facts = tuple(_facts(number, trial) for number, trial in enumerate(_over(study), start=1))
            users = int(study.user_attrs["users"])
    named = f"{config.tune.metric}@{config.tune.k}"
    finished = [trial for trial in facts if trial.value is not None]
    if not finished:
        raise TrainingError(
            f"none of {len(facts)} trials finished, so nothing was written; the last one: {facts[-1].error}"
        )
    best = max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))
    heading = (
        f"Written by `graphrecall tune {file.name}`: the best of {len(facts)} trials on the validation part, "
        f"{named} = {best.value:.4f}"
    )
    if facts[0].value is not None:
        heading += f"\n(as configured there: {facts[0].value:.4f})."
    write_config(data, best.settings, target, base=config.base, heading=heading)
    return TuneResult(
        metric=named,
        users=users,
        trials=facts,
        best=best,
        study=folder,
        out=target,
        max_steps=config.training.max_steps,
    )


class _Search:
    """The trials of one study: draws values, trains with them, tells the study what came of it."""

    def __init__(self, config: RefreshConfig, prepared: Prepared, study: Study, folder: Path) -> None:
        self.config, self.prepared, self.study, self.folder = config, prepared, study, folder
        self.space = searched(config, prepared)
        self.configured = {name: getattr(getattr(config, _section(name)), _key(name)) for name in self.space}
        self.group, self.validation = _validation_part(config, prepared)
        study.set_user_attr("users", len(self.group))

    def run(self, trials: int, progress: Progress) -> None:
        over = len(_over(self.study))
        with progress.task("trials", total=trials) as task:
            task.advance(over)
            for number in range(over + 1, trials + 1):
                self._one(number, _Noted(task, f"trial {number}"))
                remove_trees([self.folder / TRAINING])
                task.advance()

    def _one(self, number: int, progress: Progress) -> None:
        """One trial, to whatever end."""
        from optuna import TrialPruned
        from optuna.trial import TrialState

        trial, settings = self._draw(number)
        trial.set_user_attr("settings", settings)
        started = time.perf_counter()
        value: float | None = None
        try:
            value = self._train_and_measure(trial, settings, progress)
        except TrialPruned:
            pass
        except Exception as error:
            if not (isinstance(error, TrainingError | ConfigError) or is_memory_full(error)):
                raise
            trial.set_user_attr("error", "the memory was full" if is_memory_full(error) else str(error))
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
        # A trial that failed is told as one that was given up, so that the sampler keeps away from there. Optuna's own
        # state of failure is that of trials that were killed: nothing is known of those.
        self.study.tell(trial, value, state=TrialState.PRUNED if value is None else None)

    def _draw(self, number: int) -> tuple[OpenTrial, dict[str, Any]]:
        """The next trial and a value for all that is searched."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # A sampler of its own for every trial: one for all would draw the same again after each start.
        self.study.sampler = TPESampler(n_startup_trials=RANDOM_TRIALS, seed=_seed(self.config.seed, number))
        if number > 1:
            trial = self.study.ask()
            return trial, {name: _suggest(trial, name, given) for name, given in self.space.items()}
        # What is configured may lie outside of what is searched; of that the sampler does not hear.
        inside = [name for name, given in self.space.items() if _lies_within(given, self.configured[name])]
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial({name: _told(self.configured[name]) for name in inside})
        trial = self.study.ask()
        for name in inside:
            _suggest(trial, name, self.space[name])
        return trial, dict(self.configured)

    def _train_and_measure(self, trial: OpenTrial, settings: Mapping[str, Any], progress: Progress) -> float:
        view, k = self.prepared.view, self.config.tune.k
        checkpoints = self.folder / TRAINING
        checkpoints.mkdir(parents=True, exist_ok=True)
        found = fit(
            view,
            replace(self.config.model, **_of_section("model", settings)),
            replace(self.config.training, **_of_section("training", settings)),
            features=self.prepared.features,
            validation=self.validation,
            context=RunContext(
                device=self.config.device,
                seed=self.config.seed,
                progress=progress,
                checkpoints=checkpoints,
                on_validation=_Reporter(trial),
            ),
        )
        (measured,) = measure(exact_channel(found, view), [self.group], trained_on=view, ks=[k])
        names = dict.fromkeys(f"{name}@{k}" for name in (self.config.tune.metric, *ALWAYS_MEASURED))
        trial.set_user_attr("metrics", {name: measured.mean(name) for name in names})
        trial.set_user_attr("steps", found.facts["steps"])
        return measured.mean(f"{self.config.tune.metric}@{k}")


class _Reporter:
    """Tells a trial its validations, and gives it up when they fall behind."""

    def __init__(self, trial: OpenTrial) -> None:
        self._trial = trial
        self._told = 0

    def __call__(self, history: Sequence[Mapping[str, Any]]) -> None:
        from optuna import TrialPruned

        for line in history[self._told :]:  # after a kill also what was measured before
            self._trial.report(line["ndcg@20"], line["step"])
        self._told = len(history)
        if self._trial.should_prune():
            raise TrialPruned


class _Noted:
    """A listener that shows what a trial does beside the bar that counts trials."""

    def __init__(self, outer: Task, name: str) -> None:
        self._outer = outer
        self._name = name

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[_Noted]:
        """Open nothing of its own."""
        self.note("")
        yield self

    def advance(self, steps: int = 1) -> None:
        """Steps of one trial are not counted."""

    def note(self, text: str) -> None:
        """Show it with the trial's name."""
        self._outer.note(f"{self._name}: {text}" if text else self._name)


def searched(config: RefreshConfig, prepared: Prepared) -> dict[str, Range]:
    """What is searched on this graph: built-in ranges of what would change nothing here are left out.

    Raises:
        ConfigError: nothing is left, or a relation that the configuration names is not there.
    """
    space, own = config.tune.space(), config.tune.own()
    idle: list[str] = []
    relations = chosen_relations(prepared.view, config.model.relations)
    if len(relations) == 1 and "model.relations" not in space:
        idle += ["model.interaction_weight", "model.knowledge_degree"]
    if not (len(prepared.features) and config.model.text) and "model.text" not in space:
        idle += ["model.text_scale"]
    if config.training.loss == "bpr" and "training.loss" not in space:
        idle += ["training.temperature"]
    left = {name: given for name, given in space.items() if name in own or name not in idle}
    if not left:
        raise ConfigError(f"tune.keep leaves only {', '.join(space)}, which change nothing on this graph")
    return left


def _validation_part(config: RefreshConfig, prepared: Prepared) -> tuple[Group, Validation]:
    validation = prepared.validation()
    groups = user_groups(prepared.graph, prepared.split, part="valid", known_parts=("train",))
    group = next((group for group in groups if group.known), None)
    if validation is None or group is None:
        raise InvalidDataError(
            f"split.kind = {config.split.kind!r} with split.valid = {config.split.valid:g} leaves nothing to find in "
            "the validation part for users of the training part, and nothing else may choose hyper-parameters: raise "
            "split.valid, or give more interactions"
        )
    return group, validation


def _suggest(trial: OpenTrial, name: str, given: Range) -> Any:
    """Draw a value; the sampler may know more digits of a number than the configuration gets."""
    if isinstance(given, list):
        told = trial.suggest_categorical(name, [_told(value) for value in given])
        return next(value for value in given if _told(value) == told)
    if isinstance(given, Whole):
        step = given.step or 1
        high = given.low + (given.high - given.low) // step * step  # Optuna warns of an end that no step reaches
        return trial.suggest_int(name, given.low, high, step=step, log=given.log)
    drawn = trial.suggest_float(name, given.low, given.high, step=given.step, log=given.log)
    rounded = float(f"{drawn:.{DIGITS}g}")
    return rounded if given.low <= rounded <= given.high else drawn


def _told(value: Any) -> str | int | float | bool:
    """A value as Optuna takes it: lists as JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _lies_within(given: Range, value: Any) -> bool:
    if isinstance(given, list):
        return value in given
    if value is None or not given.low <= value <= given.high:
        return False
    steps = 0.0 if given.step is None else (value - given.low) / given.step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def _section(name: str) -> str:
    return name.partition(".")[0]


def _key(name: str) -> str:
    return name.partition(".")[2]


def _of_section(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {_key(name): value for name, value in settings.items() if _section(name) == section}


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "little")


def _fingerprint(config: RefreshConfig, inputs: Inputs) -> str:
    """What the trials of one study have in common."""
    return digest(
        {
            "inputs": inputs.fingerprint,
            "tune": config.tune.model_dump(mode="json", exclude={"keep"}),
            "space": sorted(config.tune.space()),
        }
    )


# ---------------------------------------------------------------------------------------------------- the study on disk


@contextmanager
def _open(folder: Path, config: RefreshConfig) -> Iterator[Study]:
    """The study of a folder, begun when there is none.

    Raises:
        ArtifactError: its file is damaged.
    """
    import optuna
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / STUDY
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    try:
        # SQLite's own journal keeps a finished trial whatever kills the process.
        storage = optuna.storages.RDBStorage(
            "sqlite://", engine_kwargs={"creator": partial(sqlite3.connect, file), "poolclass": NullPool}
        )
        yield optuna.create_study(
            study_name="tune",
            storage=storage,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=WHOLE_TRIALS, n_warmup_steps=config.training.max_steps // WARM_UP
            ),
            load_if_exists=True,
        )
    except (optuna.exceptions.StorageInternalError, DatabaseError) as error:
        raise ArtifactError(
            f"the study {file} cannot be used: {error.__cause__ or error}; make room if the disk is full, else remove "
            "the file to begin again"
        ) from error
    finally:
        if storage is not None:
            storage.engine.dispose()


def _forget_killed(study: Study) -> None:
    """Whoever was at work on these is gone: the lock is ours."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _over(study: Study) -> list[FrozenTrial]:
    """Trials that came to an end of their own, in order."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _facts(number: int, trial: FrozenTrial) -> TrialFacts:
    error = trial.user_attrs.get("error")
    state: State = "failed" if error is not None else "given up" if "steps" not in trial.user_attrs else "finished"
    return TrialFacts(
        number=number,
        state=state,
        value=trial.value if state == "finished" else None,
        metrics=trial.user_attrs.get("metrics", {}),
        settings=trial.user_attrs["settings"],
        steps=trial.user_attrs.get("steps"),
        seconds=trial.user_attrs["seconds"],
        error=error,
    )


def _work(folder: Path) -> list[Path]:
    """What a study needs only while it is at work."""
    return [folder / DATA, folder / TRAINING]


def _tidy(studies: Path, folder: Path, inputs: Inputs) -> None:
    """Remove what killed tunings of other inputs left, but for their trials."""
    ours = None if inputs.snapshot is None else inputs.snapshot.folder
    for other in studies.iterdir():
        if other.name.startswith("neo4j-"):
            remove_trees([other] if other != ours else [])
        elif other.is_dir() and other != folder:
            remove_trees(_work(other))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the studies of a runs folder; the lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"runs.folder is {folder.parent}, which is a file: name a folder") from error
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise TuneInProgressError(
            f"another tuning is at work in {folder}: wait for it, or give this one another runs.folder"
        ) from error


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401
        import tomli_w  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"tuning needs the package {error.name}, which is not installed: pip install 'graphrecall[tune]'"
        ) from error


def _target(file: Path, out: Path | None) -> Path:
    """Where to write, looked at before hours of work."""
    target = file.with_name(f"{file.stem}.tuned{file.suffix}") if out is None else out
    if target.resolve() == file.resolve():
        raise ConfigError(f"{target} is the configuration itself, whose comments would be lost: name another file")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: name a file")
    there = next(folder for folder in target.resolve().parents if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"{target} cannot be written: {there} is no folder to write in; name another file")
    return target
