"""A study: what is drawn, what is given up, and the same draws whenever it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from recall.config.search_space import Between, distribution
from recall.tuning.study import Outcome, Reporter, Study, TrialFacts, drawn, open_storage
from tests.recall.tuning.support import timeless


def test_what_falls_behind_is_given_up() -> None:
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=15)
    )
    lines = [{"step": 10 * number, "ndcg@20": 0.1 * number} for number in range(1, 6)]
    for _ in range(4):
        trial = study.ask()
        report = Reporter(trial)
        for at in range(1, len(lines) + 1):
            report(lines[:at])
        study.tell(trial, 0.5)
        assert study.trials[-1].intermediate_values == {line["step"]: line["ndcg@20"] for line in lines}
    slow = Reporter(study.ask())
    low = [{"step": line["step"], "ndcg@20": line["ndcg@20"] / 2} for line in lines]
    slow(low[:1])
    with pytest.raises(optuna.TrialPruned):
        slow(low[:2])
    resumed = study.ask()
    Reporter(resumed)(lines[:3])  # all of a history that began before a kill
    assert study.trials[-1].intermediate_values == {10: 0.1, 20: 0.2, 30: pytest.approx(0.3)}


@pytest.mark.parametrize(
    ("searched", "good"),
    [
        ([4, 8, 16], lambda value: value in (4, 8, 16) and type(value) is int),
        ([True, False], lambda value: type(value) is bool),
        ([(), ("genre", "director")], lambda value: value in ((), ("genre", "director"))),
        (Between(low=1, high=8, step=3), lambda value: value in (1, 4, 7)),
        (Between(low=1, high=1000, log=True), lambda value: 1 <= value <= 1000 and type(value) is int),
        (Between(low=1 / 3, high=2 / 3), lambda value: 1 / 3 <= value <= 2 / 3),
        (Between(low=0.0, high=0.3, step=0.1), lambda value: value in (0.0, 0.1, 0.2, 0.3)),
        (Between(low=1e-6, high=1e-2, log=True), lambda value: 1e-6 <= value <= 1e-2 and len(f"{value:g}") < 11),
        (Between(low=0.12345678, high=0.12345679), lambda value: 0.12345678 <= value <= 0.12345679),
    ],
)
def test_a_drawn_value_lies_in_its_range_and_has_its_type(searched: Any, good: Callable[[Any], bool]) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    values = [drawn(searched, study.ask({"x": distribution(searched)}).params["x"]) for _ in range(60)]
    assert all(good(value) for value in values)
    if not isinstance(searched, list):
        assert min(values) >= searched.low
        assert max(values) <= searched.high
    assert len(set(values)) > 1


def test_the_sampler_finds_a_known_optimum_and_draws_the_same_whenever_it_is_stopped(tmp_path: Path) -> None:
    space = {"a.x": Between(low=0.0, high=10.0), "a.n": Between(low=1, high=50), "a.kind": ["good", "bad"]}
    configured = {"a.x": 9.0, "a.n": 45, "a.kind": "bad"}

    def measured(settings: Mapping[str, Any], _: Any) -> Outcome:
        good = settings["a.kind"] == "good"
        value = -abs(settings["a.x"] - 3.0) - abs(settings["a.n"] - 12) / 5 - (0 if good else 3)
        return Outcome(value=value, metrics={"value": value})

    def searched(name: str, *, goes: int, each: int) -> list[TrialFacts]:
        for _ in range(goes):
            with open_storage(tmp_path / f"{name}.db") as storage:
                study = Study(storage, "known", space, configured, seed=4)
                for _ in range(each):
                    study.run(measured)
                trials = study.ended()
        return timeless(trials)

    whole = searched("whole", goes=1, each=20)
    assert whole[:12] == searched("parts", goes=3, each=4)
    assert whole[0].settings == configured
    best = max(whole, key=lambda trial: trial.value or -np.inf)
    assert best.number > 8, "better than chance"
    assert (best.value or -np.inf) > -1.0 > (whole[0].value or 0.0)
