"""Trials: measured on the validation part alone, and kept through kills and failures."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gnn.graph.fit
from gnn.graph.fit import fit
from gnn.training.context import RunContext
from kg.errors import TrainingError
from recall.channels.settings import make_channel
from recall.config.deployment import load_config
from recall.config.sections import LIGHTGCN
from recall.contracts import Query
from recall.jobs.refresh import refresh
from recall.quality.assess import single
from recall.tuning.result import Search
from recall.tuning.tune import tune
from tests.recall.conftest import ONE_CHANNEL
from tests.recall.tuning.support import Listener, copy, ndcg_by_hand, prepared_of, timeless


def test_the_value_is_the_mean_over_the_validation_part_of_a_plain_loop(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy")
    result = tune(config, trials=1, k=3)
    assert result.metric == "ndcg@3"
    prepared, settings = prepared_of(config, tmp_path / "prepared"), load_config(config)
    model = fit(
        prepared.view,
        settings.channels.lightgcn.model,
        settings.channels.lightgcn.training,
        features=prepared.features,
        validation=prepared.validation(),
        context=RunContext(seed=settings.seed),
    )
    scores = model.query_vectors(model.users) @ model.index_vectors.T
    interactions, part = prepared.graph.interactions, prepared.split.part
    values = []
    for user in range(len(prepared.graph.users)):
        own = interactions.user == user
        seen = set(interactions.item[own & (part == 0)].tolist())
        truth = set(interactions.item[own & (part == 1) & interactions.positive].tolist())
        if truth:
            ranked = [item for item in np.argsort(-scores[user], kind="stable").tolist() if item not in seen]
            values.append(ndcg_by_hand(ranked, truth, 3))
    assert result.users == len(values)
    assert result[LIGHTGCN].best.value == pytest.approx(np.mean(values), abs=1e-6)


def test_the_test_part_changes_nothing(searchable: Path, tuned: Search, tmp_path: Path) -> None:
    """Other ratings, of other movies, in everybody's last fifth."""
    config = copy(searchable, tmp_path / "copy")
    file = config.parent / "ratings.csv"
    header, *lines = file.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    changed = 0
    for user in {row[0] for row in rows}:
        own = sorted((row for row in rows if row[0] == user), key=lambda row: int(row[3]))
        rated = {row[1] for row in own}
        others = [f"m{number}" for number in range(24) if f"m{number}" not in rated]
        for row, movie in zip(own[-(len(own) // 5) :], others, strict=False):
            row[1], row[2] = movie, "3.0" if row[2] != "3.0" else "5.0"
            changed += 1
    assert changed == 16 * 2
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    assert timeless(tune(config, trials=3)[LIGHTGCN].trials) == timeless(tuned.trials[:3])


def test_trials_in_two_goes_are_those_of_one(searchable: Path, tuned: Search, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy")
    first = tune(config, trials=2)[LIGHTGCN]
    assert timeless(first.trials) == timeless(tuned.trials[:2])
    second = tune(config, trials=6)[LIGHTGCN]
    assert second.trials[:2] == first.trials
    assert timeless(second.trials) == timeless(tuned.trials)
    drawn = {json.dumps(trial.settings, sort_keys=True) for trial in second.trials}
    assert len(drawn) == 6, "nothing is drawn twice"
    heard = Listener()
    assert tune(config, trials=6, progress=heard)[LIGHTGCN].trials == second.trials
    third = tune(config, trials=1, progress=heard)
    assert third[LIGHTGCN].trials == second.trials
    assert not [note for note in heard.notes if note.startswith("trial")], "what there is is enough"
    (study,) = [path for path in third.study.parent.iterdir() if path.is_dir()]
    assert [path.name for path in study.iterdir()] == ["study.db"]


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from recall.config.sections import LIGHTGCN
from recall.tuning.result import Search
from recall.tuning.spaces import MODEL, search_spaces
from recall.tuning.tune import tune

class Listener:
    heard = 0
    @contextmanager
    def task(self, description, *, total=None):
        yield self
    def advance(self, steps=1):
        pass
    def note(self, text):
        if text.startswith("trial 3: "):
            self.heard += 1
            print(text, flush=True)
            if self.heard == 2:
                os.kill(os.getpid(), signal.SIGKILL)

tune(sys.argv[1], trials=6, progress=Listener())
"""


def test_killed_in_the_middle_of_a_trial_it_loses_nothing(searchable: Path, tuned: Search, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(config)], env=environment, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(killed.stdout.splitlines()) == 2
    (study,) = [path for path in (config.parent / "runs" / ".tune").iterdir() if path.is_dir()]
    assert {"study.db", "data", "training"} <= {path.name for path in study.iterdir()}
    heard = Listener()
    result = tune(config, trials=6, progress=heard)
    assert timeless(result[LIGHTGCN].trials) == timeless(tuned.trials)
    again = [note for note in heard.notes if note.startswith("trial 3: ")]
    assert not [note for note in heard.notes if note.startswith(("trial 1", "trial 2"))]
    assert len(again) == 1, "the training of the third went on after its second validation"
    with sqlite3.connect(result.study / "study.db") as database:
        states = [state for (state,) in database.execute("SELECT state FROM trials ORDER BY number")]
    assert states.count("FAIL") == 1, "the killed trial stays in the study, and is no trial of the table"
    assert len(states) == 7


def test_a_trial_that_diverges_failed_and_the_others_go_on(searchable: Path, tmp_path: Path) -> None:
    text = "learning_rate = [0.01, 1e39]\n"
    config = copy(searchable, tmp_path / "copy", text=text)
    result = tune(config, trials=8)[LIGHTGCN]
    failed = [trial for trial in result.trials if trial.settings["channels.lightgcn.training.learning_rate"] == 1e39]
    assert failed
    assert all(trial.state == "failed" and trial.value is None for trial in failed)
    assert all("diverged" in (trial.error or "") for trial in failed)
    assert [trial for trial in result.trials[1:] if trial.state != "failed"]
    assert result.best.settings["channels.lightgcn.training.learning_rate"] == 0.01
    assert tune(config, trials=8)[LIGHTGCN].trials == result.trials, "they count"


def test_a_full_memory_fails_one_trial(searchable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gnn.graph.fit.fit

    def greedy(graph: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        if model.dim == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate too much")
        return real(graph, model, *args, **kwargs)

    monkeypatch.setattr(gnn.graph.fit, "fit", greedy)
    result = tune(copy(searchable, tmp_path / "copy"), trials=6)[LIGHTGCN]
    small = [trial for trial in result.trials if trial.settings["channels.lightgcn.dim"] == 4]
    assert small
    assert {(trial.state, trial.error) for trial in small} == {("failed", "the memory was full")}
    assert result.best.settings["channels.lightgcn.dim"] == 8

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(gnn.graph.fit, "fit", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        tune(copy(searchable, tmp_path / "other"), trials=1)


def test_any_channel_with_a_training_is_searched(searchable: Path, tmp_path: Path) -> None:
    text = "[channels.gcn]\ndim = 8\n[channels.gcn.training]\n"
    text += "max_steps = 4\neval_every = 2\n[tune.channels.gcn]\ndim = [4, 8]\n[tune.channels.gcn.training]\n"
    config = copy(
        searchable,
        tmp_path / "copy",
        old=ONE_CHANNEL,
        new='channels = ["lightgcn", "gcn"]',
        text=text + "batch_size = [32, 64]\n",
    )
    result = tune(config, trials=3)
    assert {search.name for search in result.searches} == {LIGHTGCN, "gcn"}
    search = result["gcn"]
    assert set(search.configured.settings) == {"channels.gcn.dim", "channels.gcn.training.batch_size"}
    assert {trial.steps for trial in search.trials} <= {2, 4, None}
    assert (search.max_steps, result[LIGHTGCN].max_steps) == (4, 6)
    best = load_config(result.out).channels.gcn
    assert best.dim == search.best.settings["channels.gcn.dim"]
    assert best.training.batch_size == search.best.settings["channels.gcn.training.batch_size"]


def test_when_no_trial_finishes_nothing_is_written(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", old="negatives = 16", new="negatives = 16\nlearning_rate = 1e39")
    text = config.read_text().replace(
        "[tune.channels.lightgcn]",
        '[tune]\nkeep = ["channels.lightgcn.training.learning_rate"]\n[tune.channels.lightgcn]',
    )
    config.write_text(text)
    with pytest.raises(
        TrainingError, match=r"none of 2 trials of lightgcn finished, so nothing was written; the last one: .*dive"
    ):
        tune(config, trials=2)
    assert not config.with_name("config.tuned.toml").exists()


def test_channels_are_searched_each_alone_and_the_refresh_fuses_the_best(searchable: Path, tmp_path: Path) -> None:
    text = """
    [tune.channels.item_knn]
    neighbours = [1, 2, 20]
    """
    channels = 'channels = ["lightgcn", "item_knn", "ease"]'
    config = copy(searchable, tmp_path / "copy", old=ONE_CHANNEL, new=channels, text=text)
    result = tune(config, trials=3, k=5)
    assert [search.name for search in result.searches] == ["ease", "item_knn", LIGHTGCN]
    for name in ("ease", "item_knn"):
        trials = result[name].trials
        assert len(trials) == 3
        assert {(trial.state, trial.steps) for trial in trials} == {("finished", None)}
        assert result[name].best.value == max(trial.value or 0 for trial in trials)
    assert result["item_knn"].configured.settings == {
        "channels.item_knn.neighbours": 100,
        "channels.item_knn.shrinkage": 10.0,
        "channels.item_knn.mean": False,
    }, "outside of the range that is searched, and measured all the same"
    assert {trial.settings["channels.item_knn.neighbours"] for trial in result["item_knn"].trials[1:]} <= {1, 2, 20}
    # As measured by hand.
    prepared, settings = prepared_of(config, tmp_path / "prepared"), load_config(result.out)
    assert settings.channels.ease.regularisation == result["ease"].best.settings["channels.ease.regularisation"]
    pipeline = single(make_channel(settings.channels, "ease"), prepared.view)
    truth, seen = prepared.split.positives(prepared.graph, "valid"), prepared.split.seen(prepared.graph, "train")
    users = np.flatnonzero(truth.counts)
    queries = Query.of_users(users, prepared.graph.users, seen=seen.take(users))
    answer = pipeline.recommend(queries, k=5).to_arrow(queries.key, prepared.graph.items).to_pylist()
    values = []
    for user in users:
        name = prepared.graph.users.take(np.array([user])).to_pylist()[0]
        ranked = [row["item_id"] for row in answer if row["user_id"] == name]
        items = prepared.graph.items.index(ranked).tolist()
        values.append(ndcg_by_hand(items, set(truth.take(np.array([user])).values.tolist()), 5))
    assert result["ease"].best.value == pytest.approx(np.mean(values))
    assert set(refresh(settings).report.fusion.weights) == {"lightgcn", "item_knn", "ease"}
