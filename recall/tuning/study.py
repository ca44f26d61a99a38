"""The trials of a search in an Optuna study on disk: what is drawn next, what came of it, and what a kill leaves.

The first trial is the configuration as it is, the next ones are drawn at random, and from then on by TPE (Bergstra et
al., NIPS 2011). What is drawn depends on the seed and on the trials that are over alone, so a trial that was killed is
drawn again with the same values.
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
from kg.errors import ArtifactError, ConfigError, TrainingError
from recall.config.search_space import Range, as_choice, distribution

if TYPE_CHECKING:  # an extra, imported where it is used
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

RANDOM_TRIALS = 8  # before TPE has something to go by
WHOLE_TRIALS = 4  # finished ones, before any is given up
DIGITS = 4  # of a drawn number: more would only make the written configuration harder to read
FACTS = "facts"

State = Literal["finished", "given up", "failed"]
History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """What a trial came to.

    Attributes:
        number: of those that are over, from 1; the first is the configuration as it is.
        state: "finished", "given up" because it fell behind, or "failed": diverged, or the memory was full.
        value: the metric on validation, None unless finished.
        metrics: more of them, by name; empty unless finished.
        settings: "channels.lightgcn.training.temperature" -> the value it had, for all that is searched.
        steps: where early stopping found the best; None unless finished, and for what is not trained in steps.
        seconds: that it took.
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
    """What a finished trial measured; the attributes are those of `TrialFacts`."""

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

    def over(self) -> tuple[TrialFacts, ...]:
        """Trials that came to an end of their own, in order."""
        from optuna.trial import TrialState

        found = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return tuple(_facts(number, trial) for number, trial in enumerate(found, start=1))

    def run(self, work: Work) -> None:
        """One more trial, to whatever end.

        Args:
            work: takes the drawn values, and a listener to tell all validations so far whenever there is another: what
                that raises ends the trial, which is given up. A TrainingError, a ConfigError or a full memory is a
                failure of the trial; any other error is the caller's.
        """
        from optuna import TrialPruned
        from optuna.trial import TrialState

        trial, settings = self._draw(len(self.over()) + 1)
        started = time.perf_counter()
        value = None
        told: dict[str, Any] = {"settings": settings}
        try:
            found = work(settings, Reporter(trial))
        except TrialPruned:
            pass
        except Exception as error:
            if not (isinstance(error, TrainingError | ConfigError) or is_memory_full(error)):
                raise
            told["error"] = "the memory was full" if is_memory_full(error) else str(error)
        else:
            value = found.value
            told |= {"metrics": dict(found.metrics), "steps": found.steps}
        trial.set_user_attr(FACTS, {**told, "seconds": round(time.perf_counter() - started, 3)})
        # A trial that failed is told as one that was given up, so that the sampler keeps away from there. Optuna's own
        # state of failure is that of trials that were killed: nothing is known of those.
        self._study.tell(trial, value, state=TrialState.PRUNED if value is None else None)

    def _draw(self, number: int) -> tuple[Trial, dict[str, Any]]:
        """The next trial, and a value for all that is searched."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # A sampler of its own for every trial: one for all would draw the same again after each start.
        self._study.sampler = TPESampler(n_startup_trials=RANDOM_TRIALS, seed=_seed(self.seed, number))
        if number > 1:
            trial = self._study.ask({name: distribution(given) for name, given in self.space.items()})
            return trial, {name: drawn(given, trial.params[name]) for name, given in self.space.items()}
        # What is configured may lie outside of what is searched; of that the sampler does not hear.
        inside = [name for name, given in self.space.items() if _lies_within(given, self.configured[name])]
        if not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial({name: as_choice(self.configured[name]) for name in inside})
        trial = self._study.ask({name: distribution(self.space[name]) for name in inside})
        return trial, dict(self.configured)


class Reporter:
    """Tells a trial its validations, and gives it up when they fall behind the median of the others at that step."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._told = 0

    def __call__(self, history: History) -> None:
        """Tell what is new in all validations so far; raises Optuna's TrialPruned."""
        from optuna import TrialPruned

        for line in history[self._told :]:  # after a kill also what was measured before
            self._trial.report(line["ndcg@20"], line["step"])
        self._told = len(history)
        if self._trial.should_prune():
            raise TrialPruned


def drawn(given: Range, value: Any) -> Any:
    """What a trial takes for a value that Optuna drew: of a number, no more digits than a configuration needs."""
    if isinstance(given, list):
        return next(choice for choice in given if as_choice(choice) == value)
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.{DIGITS}g}")
    return rounded if given.low <= rounded <= given.high else value


@contextmanager
def open_storage(file: Path) -> Iterator[RDBStorage]:
    """The file of studies, begun when there is none. SQLite's journal keeps what is told, whatever kills the process.

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
    told = trial.user_attrs[FACTS]
    state: State = "failed" if "error" in told else "finished" if "metrics" in told else "given up"
    return TrialFacts(
        number=number,
        state=state,
        value=trial.value if state == "finished" else None,
        metrics=told.get("metrics", {}),
        settings=told["settings"],
        steps=told.get("steps"),
        seconds=told["seconds"],
        error=told.get("error"),
    )


def _lies_within(given: Range, value: Any) -> bool:
    if isinstance(given, list):
        return value in given
    if value is None or not given.low <= value <= given.high:
        return False
    steps = 0.0 if given.step is None else (value - given.low) / given.step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "little")
