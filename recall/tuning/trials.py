"""How a trial is trained and measured: on the training part, and on the validation part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gnn.evaluation.held_out import Group, user_groups
from gnn.evaluation.validation import Validation
from gnn.graph.fit import fit
from gnn.training.context import RunContext
from kg.errors import InvalidDataError
from kg.io.files import remove_trees
from kg.progress import Progress, Task
from recall.channels.settings import make_channel
from recall.config.deployment import RefreshConfig
from recall.config.search_space import CHANNELS
from recall.config.sections import LIGHTGCN
from recall.jobs.prepare import Prepared
from recall.pipeline import Pipeline
from recall.quality.assess import exact_pipeline, single
from recall.quality.measure import measure
from recall.runs.studies import TRAINING
from recall.tuning.spaces import MODEL
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
                trial_progress = _TrialProgress(task, f"trial {number}")
                if name == LIGHTGCN:
                    study.run(partial(self._model, trial_progress))
                    remove_trees([self.folder / TRAINING])
                else:
                    study.run(partial(self._channel, name))
                task.advance()

    def _model(
        self, progress: Progress, settings: Mapping[str, Any], on_validation: Callable[[History], None]
    ) -> Outcome:
        checkpoints = self.folder / TRAINING
        checkpoints.mkdir(parents=True, exist_ok=True)
        embeddings = fit(
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
        return self._measure(exact_pipeline(embeddings, self.prepared.view), steps=embeddings.facts["steps"])

    def _channel(self, name: str, settings: Mapping[str, Any], _: Callable[[History], None]) -> Outcome:
        configured = getattr(self.config.channels, name)
        channels = self.config.channels.changed(
            **{name: configured.changed(**_of_section(f"{CHANNELS}.{name}", settings))}
        )
        channel = make_channel(channels, name)
        return self._measure(single(channel, self.prepared.view, features=self.prepared.features))

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
