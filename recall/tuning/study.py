"""The trials of a search in an Optuna study on disk: which values are drawn next, results, and interrupted trials.

The first trial is the configuration as it is, the next ones are drawn at random, and from then on by TPE (Bergstra et
al., NIPS 2011). The values drawn depend only on the seed and on the trials that have ended, so a trial that was killed
is drawn again with the same values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gnn.device import is_memory_full
from kg.errors import ArtifactError, ConfigError, GateError, TrainingError
from recall.config.search_space import Range, as_choice, distribution

if TYPE_CHECKING:  # an extra, imported where it is used
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

RANDOM_TRIALS = 8  # before the first that TPE draws
WHOLE_TRIALS = 4  # finished trials before any may be given up
DIGITS = 4  # significant digits of a drawn number, so that the written configuration is easy to read
FACTS = "facts"

State = Literal["finished", "given up", "failed"]
History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """The result of a trial.

    Attributes:
        number: among the trials that have ended, from 1; the first is the configuration as it is.
        state: "finished", "given up" because it fell behind, or "failed": diverged, or the memory was full.
        value: the metric on validation, None unless finished.
        metrics: further metrics, by name; empty unless finished.
        settings: "channels.lightgcn.training.temperature" -> the value it had, for all that is searched.
        steps: where early stopping found the best; None unless finished, and for what is not trained in steps.
        seconds: how long it took.
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
class Outcome:
    """The measurements of a finished trial; the attributes are those of `TrialFacts`."""

    value: float
    metrics: Mapping[str, float]
    steps: int | None = None


Work = Callable[[Mapping[str, Any], Callable[[History], None]], Outcome]


class Study:
    """A search of some hyper-parameters.

    Args:
        storage: from `open_storage`; nobody else writes to it.
        name: of the search. There may be several in one storage, each of one space, metric and data.
        space: "channels.lightgcn.training.temperature" -> range.
        configured: the same names, and the values of the configuration.
        seed: of what is drawn.
        warm_up: steps of a trial before it may be given up.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        space: Mapping[str, Range],
        configured: Mapping[str, Any],
        *,
        seed: int,
        warm_up: int = 0,
    ) -> None:
        import optuna
        from optuna.trial import TrialState

        self.space, self.configured, self.seed = space, configured, seed
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=WHOLE_TRIALS, n_warmup_steps=warm_up),
            load_if_exists=True,
        )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)  # whoever was at work on it was killed

    def ended(self) -> tuple[TrialFacts, ...]:
        """The trials that ended by themselves (not by a kill), in order."""
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return tuple(_facts(number, trial) for number, trial in enumerate(trials, start=1))

    def run(self, work: Work) -> None:
        """Run one more trial.

        Args:
            work: takes the drawn values, and a function to call with all validations so far after each validation: an
                exception that this raises ends the trial, which is given up. TrainingError, GateError, ConfigError and
                a full memory are failures of the trial; any other error is that of the caller.
        """
        from optuna import TrialPruned
        from optuna.trial import TrialState

        trial, settings = self._draw(len(self.ended()) + 1)
        started = time.perf_counter()
        value = None
        facts: dict[str, Any] = {"settings": settings}
        try:
            outcome = work(settings, Reporter(trial))
        except TrialPruned:
            pass
        except Exception as error:
            if not (isinstance(error, TrainingError | GateError | ConfigError) or is_memory_full(error)):
                raise
            facts["error"] = "the memory was full" if is_memory_full(error) else str(error)
        else:
            value = outcome.value
            facts |= {"metrics": dict(outcome.metrics), "steps": outcome.steps}
        trial.set_user_attr(FACTS, {**facts, "seconds": round(time.perf_counter() - started, 3)})
        # A trial that failed is stored as one that was given up, so that the sampler avoids such values. Optuna's own
        # state of failure is used for trials that were killed: they say nothing about their values.
        self._study.tell(trial, value, state=TrialState.PRUNED if value is None else None)

    def _draw(self, number: int) -> tuple[Trial, dict[str, Any]]:
        """The next trial, and a value for every hyper-parameter of the search."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # A new sampler for every trial: a single one would draw the same values again after each restart.
        self._study.sampler = TPESampler(n_startup_trials=RANDOM_TRIALS, seed=_seed(self.seed, number))
        if number > 1:
            trial = self._study.ask({name: distribution(values) for name, values in self.space.items()})
            return trial, {name: drawn(values, trial.params[name]) for name, values in self.space.items()}
        # A configured value may lie outside its range; the sampler does not get those.
        inside = [name for name, values in self.space.items() if _lies_within(values, self.configured[name])]
        if not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial({name: as_choice(self.configured[name]) for name in inside})
        trial = self._study.ask({name: distribution(self.space[name]) for name in inside})
        return trial, dict(self.configured)


class Reporter:
    """Reports the validations of a trial, and gives it up when they fall behind the median of others at that step."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._num_reported = 0

    def __call__(self, history: History) -> None:
        """Report the validations that are new; raises Optuna's TrialPruned."""
        from optuna import TrialPruned

        for line in history[self._num_reported :]:  # after a kill also the earlier validations
            self._trial.report(line["ndcg@20"], line["step"])
        self._num_reported = len(history)
        if self._trial.should_prune():
            raise TrialPruned


def drawn(values: Range, value: Any) -> Any:
    """The value that a trial uses for the value that Optuna drew: numbers are rounded to `DIGITS`."""
    if isinstance(values, list):
        return next(choice for choice in values if as_choice(choice) == value)
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.{DIGITS}g}")
    return rounded if values.low <= rounded <= values.high else value


@contextmanager
def open_storage(file: Path) -> Iterator[RDBStorage]:
    """Open the file of studies, or make it. SQLite's journal keeps it whole whenever the process is killed.

    Raises:
        ArtifactError: the file is damaged, or cannot be written.
    """
    import optuna
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    try:
        # By a function, because an address would have to hide what is special in a path.
        connect = partial(sqlite3.connect, file)
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool})
        yield storage
    except (optuna.exceptions.StorageInternalError, DatabaseError) as error:
        raise ArtifactError(
            f"the study {file} cannot be used: {error.__cause__ or error}; make room if the disk is full, else remove "
            "the file to begin again"
        ) from error
    finally:
        if storage is not None:
            storage.engine.dispose()


def _facts(number: int, trial: FrozenTrial) -> TrialFacts:
    facts = trial.user_attrs[FACTS]
    state: State = "failed" if "error" in facts else "finished" if "metrics" in facts else "given up"
    return TrialFacts(
        number=number,
        state=state,
        value=trial.value if state == "finished" else None,
        metrics=facts.get("metrics", {}),
        settings=facts["settings"],
        steps=facts.get("steps"),
        seconds=facts["seconds"],
        error=facts.get("error"),
    )


def _lies_within(values: Range, value: Any) -> bool:
    if isinstance(values, list):
        return value in values
    if value is None or not values.low <= value <= values.high:
        return False
    steps = 0.0 if values.step is None else (value - values.low) / values.step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "little")
