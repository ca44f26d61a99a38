"""How a trial is trained and measured: on the training part, and on the validation part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gnn.evaluation.held_out import Group, user_groups
from gnn.evaluation.validation import Validation
from gnn.training.context import RunContext
from kg.errors import InvalidDataError
from kg.io.removal import remove_trees
from kg.progress import Progress, Task
from kg.settings import Settings
from recall.channels.registry import channel_class
from recall.config.deployment import RefreshConfig
from recall.config.search_space import CHANNELS
from recall.index.settings import IndexConfig
from recall.jobs.prepare import Prepared
from recall.pipeline import Pipeline
from recall.quality.assess import single
from recall.quality.measure import measure
from recall.runs.studies import TRAINING
from recall.tuning.study import History, Outcome, Study

ALWAYS_MEASURED = ("recall", "ndcg")


class Trials:
    """Trains and measures the trials of a search.

    Attributes:
        group: the users that trials are measured on.
    """

    def __init__(self, config: RefreshConfig, prepared: Prepared, folder: Path) -> None:
        self.config, self.prepared, self.folder = config, prepared, folder
        self.group, self.validation = _validation_part(config, prepared)

    def run(self, name: str, study: Study, trials: int, progress: Progress) -> None:
        """Run trials of one channel until the study has `trials` that ended."""
        ended = len(study.ended())
        with progress.task(f"trials of {name}", total=max(trials, ended)) as task:
            task.advance(ended)
            for number in range(ended + 1, trials + 1):
                study.run(partial(self._trial, name, _TrialProgress(task, f"trial {number}")))
                remove_trees([self.folder / TRAINING], inside=self.folder)
                task.advance()

    def _trial(
        self, name: str, progress: Progress, settings: Mapping[str, Any], on_validation: Callable[[History], None]
    ) -> Outcome:
        checkpoints = self.folder / TRAINING
        checkpoints.mkdir(parents=True, exist_ok=True)
        section = f"{CHANNELS}.{name}."
        values = {parameter.removeprefix(section): value for parameter, value in settings.items()}
        channel = channel_class(name)(with_values(getattr(self.config.channels, name), values))
        pipeline = single(
            channel,
            self.prepared.view,
            features=self.prepared.features,
            validation=self.validation,
            index=IndexConfig(exact_up_to=len(self.prepared.graph.items)),
            context=RunContext(
                device=self.config.device,
                seed=self.config.seed,
                progress=progress,
                checkpoints=checkpoints,
                on_validation=on_validation,
            ),
        )
        return self._measure(pipeline, steps=channel.recipe.get("steps"))

    def _measure(self, pipeline: Pipeline, *, steps: int | None = None) -> Outcome:
        metric, k = self.config.tune.metric, self.config.tune.k
        (measured,) = measure(pipeline, [self.group], trained_on=self.prepared.view, ks=[k])
        names = dict.fromkeys(f"{name}@{k}" for name in (metric, *ALWAYS_MEASURED))
        return Outcome(
            value=measured.mean(f"{metric}@{k}"), metrics={name: measured.mean(name) for name in names}, steps=steps
        )


class _TrialProgress:
    """A `kg.progress.Progress` that shows the notes of a trial beside the bar that counts trials."""

    def __init__(self, outer: Task, name: str) -> None:
        self._outer = outer
        self._name = name

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[_TrialProgress]:
        """Show the trial's name; there is no bar of its own."""
        self._outer.note(self._name)
        yield self

    def advance(self, steps: int = 1) -> None:
        """Steps of one trial are not counted."""

    def note(self, text: str) -> None:
        """Show it with the trial's name."""
        self._outer.note(f"{self._name}: {text}")


def _validation_part(config: RefreshConfig, prepared: Prepared) -> tuple[Group, Validation]:
    """The users that trials are measured on, who have a training part; for early stopping all, as in a refresh."""
    validation = prepared.validation()
    groups = user_groups(
        prepared.graph, prepared.split, part="valid", seen_parts=("train",), sample=config.evaluation.sample
    )
    group = next((group for group in groups if group.in_training), None)
    if validation is None or group is None:
        raise InvalidDataError(
            f"split.kind = {config.split.kind!r} with split.valid = {config.split.valid:g} leaves nothing to find in "
            "the validation part for users of the training part, and nothing else may choose hyper-parameters: raise "
            "split.valid, or give more interactions"
        )
    return group, validation


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """A copy of settings with some values changed.

    Args:
        settings: of a channel.
        values: name -> value; one of a section within by both names, "training.temperature".

    Raises:
        ConfigError: a value is not allowed.
    """
    changes = {name: value for name, value in values.items() if "." not in name}
    for section in dict.fromkeys(name.partition(".")[0] for name in values if "." in name):
        prefix = f"{section}."
        inner = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
        changes[section] = with_values(getattr(settings, section), inner)
    return settings.changed(**changes)
