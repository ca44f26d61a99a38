"""The result of a tuning: the trials of every search, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kg.errors import TrainingError
from recall.tuning.study import TrialFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The result of the search for one channel.

    Attributes:
        name: of the channel.
        trials: all that ended, in their order.
        best: the finished one with the largest value; the earliest of equals.
        max_steps: of its training, None for a channel without one; a best trial that reached it might have become
            better with more.
    """

    name: str
    trials: tuple[TrialFacts, ...]
    best: TrialFacts
    max_steps: int | None = None

    @classmethod
    def of(cls, name: str, trials: tuple[TrialFacts, ...], *, max_steps: int | None = None) -> Search:
        """The result of trials that have ended.

        Raises:
            TrainingError: none of them finished.
        """
        finished = [trial for trial in trials if trial.value is not None]
        if not finished:
            raise TrainingError(
                f"none of {len(trials)} trials of {name} finished, so nothing was written; the last one: "
                f"{trials[-1].error}"
            )
        best = max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))
        return cls(name=name, trials=trials, best=best, max_steps=max_steps)

    @property
    def configured(self) -> TrialFacts:
        """The configuration as it is."""
        return self.trials[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """The result of a tuning.

    Attributes:
        metric: "ndcg@20".
        users: how many users of the validation part the metric is the mean over.
        drawn_from: how many there are, where those are a sample of them; None: those are all.
        searches: one for each channel.
        study: folder of the studies.
        out: file of the configuration with the best values.
    """

    metric: str
    users: int
    drawn_from: int | None
    searches: tuple[Search, ...]
    study: Path
    out: Path

    def __getitem__(self, name: str) -> Search:
        """The search of a name."""
        return next(search for search in self.searches if search.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "metric": self.metric,
            "users": self.users,
            "drawn_from": self.drawn_from,
            "out": str(self.out),
            "study": str(self.study),
            "searches": {
                search.name: {
                    "max_steps": search.max_steps,
                    "best": search.best.to_json(),
                    "trials": [trial.to_json() for trial in search.trials],
                }
                for search in self.searches
            },
        }
