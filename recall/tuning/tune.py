"""Looks for better hyper-parameters on the validation part; the test part is never looked at.

The trained model is one search, and each channel beside it is one of its own, which takes seconds: a refresh finds the
weights that they are fused with by itself. A trial of the model trains on the training part with early stopping, so
that the number of steps is found with it and is no hyper-parameter. A trial whose validations fall behind the median of
the others' at the same step is given up.

It is safe to kill at any moment. Trials that are over are kept in `.tune/<fingerprint>/study.db` of the runs folder;
the fingerprint is of the data, and each search has its name there from what is searched. The trial that was at work is
begun again with the same values, and goes on from the last checkpoint of its training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from torch.distributed import is_torchelastic_launched

from gnn.device import resolve_device
from gnn.evaluation.held_out import Group, user_groups
from gnn.evaluation.validation import Validation
from gnn.graph.fit import fit
from gnn.graph.lightgcn import chosen_relations
from gnn.training.context import RunContext
from kg.errors import ConfigError, InvalidDataError, TrainingError
from kg.io.files import digest, remove_trees
from kg.progress import SILENT, Progress, Task
from recall.channels.settings import make_channel
from recall.config.deployment import RefreshConfig, parse_config, read_config
from recall.config.file import write_config
from recall.config.search_space import CHANNELS, Range
from recall.config.sections import LIGHTGCN
from recall.jobs.inputs import NOT_FINGERPRINTED, Inputs
from recall.jobs.prepare import Prepared, prepare
from recall.jobs.runner import Stages
from recall.pipeline import Pipeline
from recall.quality.assess import exact_pipeline, single
from recall.quality.measure import measure
from recall.runs.registry import RunsFolder
from recall.runs.studies import DATA, TRAINING, locked, remove_leftovers_of_studies, unfinished_work
from recall.tuning.study import History, Outcome, Study, TrialFacts, open_storage

MODEL = f"{CHANNELS}.{LIGHTGCN}"
NOT_DATA = (*NOT_FINGERPRINTED, "index", "pipeline", "channels", "fusion", "evaluation")
STUDY = "study.db"
WARM_UP = 4  # no trial is given up in the first of so many parts of the steps
ALWAYS_MEASURED = ("recall", "ndcg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search.

    Attributes:
        name: of the channel.
        trials: all that are over, in their order.
        best: the finished one with the largest value; the earliest of equals.
    """

    name: str
    trials: tuple[TrialFacts, ...]
    best: TrialFacts

    @property
    def configured(self) -> TrialFacts:
        """The configuration as it is."""
        return self.trials[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """What a tuning came to.

    Attributes:
        metric: "ndcg@20".
        users: of the validation part, whom it is the mean over.
        searches: of the model and of channels.
        study: folder with what was found.
        out: the configuration with the best values.
        max_steps: of the training; a best trial that reached it might have become better with more.
    """

    metric: str
    users: int
    searches: tuple[Search, ...]
    study: Path
    out: Path
    max_steps: int

    def __getitem__(self, name: str) -> Search:
        """The search of a name."""
        return next(one for one in self.searches if one.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "metric": self.metric,
            "users": self.users,
            "out": str(self.out),
            "study": str(self.study),
            "max_steps": self.max_steps,
            "searches": {
                one.name: {"best": one.best.to_json(), "trials": [trial.to_json() for trial in one.trials]}
                for one in self.searches
            },
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
        file: TOML file of the deployment; its section `tune` says what is searched, see `recall.config.search_space`.
        trials: how many each search shall have when it returns; those of earlier calls for the same count.
        out: file to write; None: `NAME.tuned.toml` beside `NAME.toml`.
        metric: in the place of that of the section `tune`.
        k: in the place of that of the section `tune`.
        progress: hears of the preparation and of the trials.

    Raises:
        ConfigError: a value is not allowed, Optuna is not installed, `out` cannot be written, or torchrun started this.
        InvalidDataError: the sources cannot be used, or there is no validation part.
        TrainingError: no trial finished.
        TuneInProgressError: another process tunes for the same runs folder.
        ArtifactError: what earlier calls found is damaged.
    """
    if trials < 1:
        raise ConfigError(f"trials = {trials} must be at least 1")
    _check_installed()
    if is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("tuning runs in one process: start it without torchrun")
    file = Path(file)
    data = read_config(file)
    chosen = {name: value for name, value in (("metric", metric), ("k", k)) if value is not None}
    if chosen:
        data = {**data, "tune": {**data.get("tune", {}), **chosen}}
    config = parse_config(data, base=file.resolve().parent, name=str(file))
    target = _target(file, None if out is None else Path(out))
    resolve_device(config.device)
    runs = RunsFolder(config.runs_folder)
    with locked(runs.studies):
        inputs = Inputs.of(config, runs.studies, progress, left_out=NOT_DATA)
        folder = runs.studies / inputs.fingerprint[:16]
        remove_leftovers_of_studies(
            runs.studies, but=folder, keep=None if inputs.snapshot is None else inputs.snapshot.folder
        )
        folder.mkdir(exist_ok=True)
        prepared = prepare(config, inputs, Stages(folder / DATA), runs.cache, progress)
        with open_storage(folder / STUDY) as storage:
            tuning = _Tuning(config, prepared, folder)
            searches = []
            for name, space in tuning.spaces().items():
                study = Study(
                    storage,
                    f"{name} {tuning.fingerprint(name, space)[:16]}",
                    space,
                    {parameter: attrgetter(parameter)(config) for parameter in space},
                    seed=config.seed,
                    warm_up=config.training.max_steps // WARM_UP,
                )
                tuning.run(name, study, trials, progress)
                searches.append(_searched(name, study.over()))
        inputs.drop_snapshot()
        remove_trees(unfinished_work(folder))
    named = f"{config.tune.metric}@{config.tune.k}"
    heading = f"Written by `graphrecall tune {file.name}`. {named} on the validation part:"
    for one in searches:
        heading += f"\n  {one.name}: {one.best.value:.4f}, the best of {len(one.trials)} trials"
        if one.configured.value is not None:
            heading += f"; {one.configured.value:.4f} as configured there"
    changes = {name: value for one in searches for name, value in one.best.settings.items()}
    write_config(data, changes, target, base=config.base, heading=heading)
    return TuneResult(
        metric=named,
        users=len(tuning.group),
        searches=tuple(searches),
        study=folder,
        out=target,
        max_steps=config.training.max_steps,
    )


def _searched(name: str, trials: tuple[TrialFacts, ...]) -> Search:
    finished = [trial for trial in trials if trial.value is not None]
    if not finished:
        raise TrainingError(
            f"none of {len(trials)} trials of {name} finished, so nothing was written; the last one: {trials[-1].error}"
        )
    best = max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))
    return Search(name=name, trials=trials, best=best)


class _Tuning:
    """How a trial is trained and measured."""

    def __init__(self, config: RefreshConfig, prepared: Prepared, folder: Path) -> None:
        self.config, self.prepared, self.folder = config, prepared, folder
        self.group, self.validation = _validation_part(config, prepared)

    def spaces(self) -> dict[str, dict[str, Range]]:
        """The searches and what each of them searches, channels first: they are quick.

        Built-in ranges of what would change nothing on this graph are left out.

        Raises:
            ConfigError: nothing is left, or a relation that the configuration names is not there.
        """
        settings = self.config.tune
        space, own = settings.space(), settings.own()
        idle = list(self._idle(space))
        served = (LIGHTGCN, *self.config.pipeline.channels)
        found: dict[str, dict[str, Range]] = {}
        for name, given in space.items():
            channel = name.split(".")[1]
            if name in idle and name not in own:
                continue
            if channel in served or any(one.startswith(f"{CHANNELS}.{channel}.") for one in own):
                found.setdefault(channel, {})[name] = given
        if not found:
            raise ConfigError("tune.keep leaves nothing to search that would change anything on this graph")
        return dict(sorted(found.items(), key=lambda entry: entry[0] == LIGHTGCN))

    def _idle(self, space: Mapping[str, Range]) -> Iterator[str]:
        config = self.config
        relations = chosen_relations(self.prepared.view, config.model.relations)
        # Then neither relations nor texts are trained with, and no vector of a touched item depends on them.
        apart = config.model.knowledge == "cold_items" and f"{MODEL}.knowledge" not in space
        if apart or (len(relations) == 1 and f"{MODEL}.relations" not in space):
            yield from (f"{MODEL}.interaction_weight", f"{MODEL}.knowledge_degree")
        if apart or (not (len(self.prepared.features) and config.model.text) and f"{MODEL}.text" not in space):
            yield f"{MODEL}.text_scale"
        if config.training.loss == "bpr" and f"{MODEL}.training.loss" not in space:
            yield f"{MODEL}.training.temperature"

    def fingerprint(self, name: str, space: Mapping[str, Range]) -> str:
        """What the trials of one search have in common, beside the data."""
        sections = [self.config.to_json()[CHANNELS][name]]
        ranges = {
            one: given if isinstance(given, list) else given.model_dump(mode="json") for one, given in space.items()
        }
        return digest(
            {"sections": sections, "space": ranges, "metric": self.config.tune.metric, "k": self.config.tune.k}
        )

    def run(self, name: str, study: Study, trials: int, progress: Progress) -> None:
        """Trials until there are so many."""
        over = len(study.over())
        with progress.task(f"trials of {name}", total=max(trials, over)) as task:
            task.advance(over)
            for number in range(over + 1, trials + 1):
                noted = _Noted(task, f"trial {number}")
                if name == LIGHTGCN:
                    study.run(partial(self._model, noted))
                    remove_trees([self.folder / TRAINING])
                else:
                    study.run(partial(self._channel, name))
                task.advance()

    def _model(
        self, progress: Progress, settings: Mapping[str, Any], on_validation: Callable[[History], None]
    ) -> Outcome:
        checkpoints = self.folder / TRAINING
        checkpoints.mkdir(parents=True, exist_ok=True)
        found = fit(
            self.prepared.view,
            self.config.model.changed(**_of_section(MODEL, settings)),
            self.config.training.changed(**_of_section(f"{MODEL}.training", settings)),
            features=self.prepared.features,
            validation=self.validation,
            context=RunContext(
                device=self.config.device,
                seed=self.config.seed,
                progress=progress,
                checkpoints=checkpoints,
                on_validation=on_validation,
            ),
        )
        return self._measure(exact_pipeline(found, self.prepared.view), steps=found.facts["steps"])

    def _channel(self, name: str, settings: Mapping[str, Any], _: Callable[[History], None]) -> Outcome:
        configured = getattr(self.config.channels, name)
        channels = self.config.channels.changed(
            **{name: configured.changed(**_of_section(f"{CHANNELS}.{name}", settings))}
        )
        channel = make_channel(channels, name)
        return self._measure(single(channel, self.prepared.view, features=self.prepared.features))

    def _measure(self, pipeline: Pipeline, *, steps: int | None = None) -> Outcome:
        metric, k = self.config.tune.metric, self.config.tune.k
        (found,) = measure(pipeline, [self.group], trained_on=self.prepared.view, ks=[k])
        names = dict.fromkeys(f"{name}@{k}" for name in (metric, *ALWAYS_MEASURED))
        return Outcome(
            value=found.mean(f"{metric}@{k}"), metrics={name: found.mean(name) for name in names}, steps=steps
        )


class _Noted:
    """A listener that shows what a trial does beside the bar that counts trials."""

    def __init__(self, outer: Task, name: str) -> None:
        self._outer = outer
        self._name = name

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[_Noted]:
        """Open nothing of its own."""
        self._outer.note(self._name)
        yield self

    def advance(self, steps: int = 1) -> None:
        """Steps of one trial are not counted."""

    def note(self, text: str) -> None:
        """Show it with the trial's name."""
        self._outer.note(f"{self._name}: {text}")


def _validation_part(config: RefreshConfig, prepared: Prepared) -> tuple[Group, Validation]:
    """Whom trials are measured on: users of the training part. Early stopping measures everybody, as in a refresh."""
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


def _of_section(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one section, by their names in it."""
    return {
        name.removeprefix(f"{section}."): value
        for name, value in settings.items()
        if name.rpartition(".")[0] == section
    }


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
