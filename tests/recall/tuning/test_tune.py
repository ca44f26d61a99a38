"""Tuning: it looks at validation alone, survives kills, and writes what a refresh takes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from filelock import FileLock

from gnn.graph.fit import fit
from gnn.training.context import RunContext
from kg.errors import ArtifactError, ConfigError, InvalidDataError, TrainingError, TuneInProgressError
from kg.io.files import write_text
from recall.channels.settings import make_channel
from recall.config.deployment import load_config, parse_config
from recall.config.search_space import Between, TuneSettings, distribution
from recall.contracts import Query
from recall.jobs.inputs import Inputs
from recall.jobs.prepare import Prepared, prepare
from recall.jobs.refresh import RefreshResult, refresh
from recall.jobs.runner import Stages
from recall.quality.assess import single
from recall.tuning.study import Outcome, Reporter, Study, TrialFacts, drawn, open_storage
from recall.tuning.tune import LIGHTGCN, MODEL, Search, _Tuning, tune

Command = Callable[..., tuple[int, str, str]]

TUNE = """
[tune.channels.lightgcn]
dim = [4, 8]
[tune.channels.lightgcn.training]
batch_size = [32, 64]
temperature = { low = 0.08, high = 0.2, log = true }
"""


class Listener:
    """Hears what trials say of themselves; may do something about it."""

    def __init__(self, act: Callable[[str], None] = lambda note: None) -> None:
        self.notes: list[str] = []
        self.act = act

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Listener]:
        yield self

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.act(text)


@pytest.fixture(scope="module")
def searchable(deployment: Path, refreshed: RefreshResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a deployment with a section `tune`, a run, and text vectors in the cache."""
    folder = tmp_path_factory.mktemp("searchable") / "deployment"
    shutil.copytree(deployment.parent, folder, symlinks=True)
    (folder / "config.toml").write_text(deployment.read_text() + TUNE)
    return folder / "config.toml"


@pytest.fixture(scope="module")
def tuned(searchable: Path) -> Search:
    """Six trials of the model of `searchable`."""
    return tune(searchable, trials=6)[LIGHTGCN]


def copy(config: Path, folder: Path, *, text: str = "", old: str = "", new: str = "", studies: bool = False) -> Path:
    """The same deployment elsewhere, perhaps with another config; its studies only when wished."""
    left_out = None if studies else shutil.ignore_patterns(".tune", "*.tuned.toml")
    shutil.copytree(config.parent, folder, symlinks=True, ignore=left_out)
    assert old in config.read_text()
    (folder / config.name).write_text(config.read_text().replace(old, new) + text)
    return folder / config.name


def timeless(trials: tuple[TrialFacts, ...]) -> list[TrialFacts]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


def prepared_of(config: Path, folder: Path) -> Prepared:
    settings = load_config(config)
    cache = settings.runs_folder / ".cache"
    return prepare(settings, Inputs.of(settings, folder), Stages(folder / "stages"), cache, Listener())


def ndcg_by_hand(ranked: list[int], truth: set[int], k: int) -> float:
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in truth)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(truth)))))


def test_the_best_is_a_config_that_a_refresh_takes_and_trains_in_the_same_way(
    tuned: Search, searchable: Path, tmp_path: Path
) -> None:
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4, 5, 6]
    assert tuned.configured.settings["channels.lightgcn.dim"] == 8
    assert tuned.configured.settings["channels.lightgcn.training.temperature"] == 0.1
    assert tuned.best.value == max(trial.value for trial in tuned.trials if trial.value is not None)
    found = load_config(searchable.with_name("config.tuned.toml"))
    for name, value in tuned.best.settings.items():
        assert attrgetter(name)(found) == value
    assert found.training.max_steps == 6, "the steps are the refresh's own to find"
    assert found.runs_folder == load_config(searchable).runs_folder
    assert found.tune == load_config(searchable).tune
    there = copy(searchable, tmp_path / "copy", studies=True).with_name("config.tuned.toml")
    training = refresh(load_config(there)).report.training["evaluation"]
    assert training.steps == tuned.best.steps
    assert training.validation["ndcg@20"] == pytest.approx(tuned.best.value, abs=1e-6)


def test_a_refresh_does_not_look_at_what_is_searched(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", old="dim = [4, 8]", new="dim = [16]")
    assert refresh(load_config(config)).status == "unchanged"


def test_the_value_is_the_mean_over_the_validation_part_of_a_plain_loop(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy")
    found = tune(config, trials=1, k=3)
    assert found.metric == "ndcg@3"
    prepared, settings = prepared_of(config, tmp_path / "prepared"), load_config(config)
    model = fit(
        prepared.view,
        settings.model,
        settings.training,
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
    assert found.users == len(values)
    assert found[LIGHTGCN].best.value == pytest.approx(np.mean(values), abs=1e-6)


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
    found = tune(config, trials=6, progress=heard)
    assert timeless(found[LIGHTGCN].trials) == timeless(tuned.trials)
    again = [note for note in heard.notes if note.startswith("trial 3: ")]
    assert not [note for note in heard.notes if note.startswith(("trial 1", "trial 2"))]
    assert len(again) == 1, "the training of the third went on after its second validation"
    with sqlite3.connect(found.study / "study.db") as database:
        states = [state for (state,) in database.execute("SELECT state FROM trials ORDER BY number")]
    assert states.count("FAIL") == 1, "the killed trial stays in the study, and is no trial of the table"
    assert len(states) == 7


def test_a_trial_that_diverges_failed_and_the_others_go_on(searchable: Path, tmp_path: Path) -> None:
    text = "learning_rate = [0.01, 1e39]\n"
    config = copy(searchable, tmp_path / "copy", text=text)
    found = tune(config, trials=8)[LIGHTGCN]
    failed = [trial for trial in found.trials if trial.settings["channels.lightgcn.training.learning_rate"] == 1e39]
    assert failed
    assert all(trial.state == "failed" and trial.value is None for trial in failed)
    assert all("diverged" in (trial.error or "") for trial in failed)
    assert [trial for trial in found.trials[1:] if trial.state != "failed"]
    assert found.best.settings["channels.lightgcn.training.learning_rate"] == 0.01
    assert tune(config, trials=8)[LIGHTGCN].trials == found.trials, "they count"


def test_a_full_memory_fails_one_trial(searchable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import recall.tuning.tune

    real = recall.tuning.tune.fit

    def greedy(graph: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        if model.dim == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate too much")
        return real(graph, model, *args, **kwargs)

    monkeypatch.setattr(recall.tuning.tune, "fit", greedy)
    found = tune(copy(searchable, tmp_path / "copy"), trials=6)[LIGHTGCN]
    small = [trial for trial in found.trials if trial.settings["channels.lightgcn.dim"] == 4]
    assert small
    assert {(trial.state, trial.error) for trial in small} == {("failed", "the memory was full")}
    assert found.best.settings["channels.lightgcn.dim"] == 8

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(recall.tuning.tune, "fit", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        tune(copy(searchable, tmp_path / "other"), trials=1)


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
    ("given", "good"),
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
def test_a_drawn_value_lies_in_its_range_and_has_its_type(given: Any, good: Callable[[Any], bool]) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    values = [drawn(given, study.ask({"x": distribution(given)}).params["x"]) for _ in range(60)]
    assert all(good(value) for value in values)
    if not isinstance(given, list):
        assert min(values) >= given.low
        assert max(values) <= given.high
    assert len(set(values)) > 1


def test_what_would_change_nothing_on_a_graph_is_not_searched(searchable: Path, tmp_path: Path) -> None:
    prepared = prepared_of(searchable, tmp_path / "prepared")
    ranges = TuneSettings().space()
    model = {name for name in ranges if name.startswith(f"{MODEL}.")}
    training = {name for name in model if name.startswith(f"{MODEL}.training.")}

    def spaces(lightgcn: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]) -> dict[str, set[str]]:
        channels = {"lightgcn": lightgcn or {}}
        config = parse_config({"sources": {}, "channels": channels, **sections}, base=tmp_path)
        return {name: set(space) for name, space in _Tuning(config, prepared, tmp_path).spaces().items()}

    def left_out(lightgcn: Mapping[str, Any] | None = None, **tune: Any) -> set[str]:
        return {name.removeprefix(f"{MODEL}.") for name in model - spaces(lightgcn, tune=tune)[LIGHTGCN]}

    assert spaces() == {LIGHTGCN: model}
    assert left_out({"relations": []}) == {"interaction_weight", "knowledge_degree"}
    assert left_out({"text": False}) == {"text_scale"}
    assert left_out({"knowledge": "cold_items"}) == {"interaction_weight", "knowledge_degree", "text_scale"}
    both = {"lightgcn": {"knowledge": ["everywhere", "cold_items"]}}
    assert left_out({"knowledge": "cold_items"}, channels=both) == set()
    assert left_out({"training": {"loss": "bpr"}}) == {"training.temperature"}
    losses = {"lightgcn": {"training": {"loss": ["bpr", "softmax"]}}}
    assert left_out({"training": {"loss": "bpr"}}, channels=losses) == set()
    assert left_out({"text": False}, channels={"lightgcn": {"text_scale": [0.1, 0.2]}}) == set()
    assert left_out(keep=[f"{MODEL}.training", f"{MODEL}.dim"]) == {
        name.removeprefix(f"{MODEL}.") for name in training | {f"{MODEL}.dim"}
    }
    kept = [*sorted(model - training - {f"{MODEL}.text_scale"}), f"{MODEL}.training"]
    with pytest.raises(ConfigError, match="leaves nothing to search that would change anything"):
        spaces({"text": False}, tune={"keep": kept})
    # Channels: those that serve, and those whose ranges somebody wrote.
    pipeline = {"channels": ["lightgcn", "item_knn", "ease", "popularity"]}
    knn = {name for name in ranges if name.startswith("channels.item_knn.")}
    assert spaces(pipeline=pipeline) == {LIGHTGCN: model, "item_knn": knn, "ease": {"channels.ease.regularisation"}}
    assert list(spaces(pipeline=pipeline))[-1] == LIGHTGCN, "the quick ones first"
    assert set(spaces(pipeline=pipeline, tune={"keep": ["channels.ease"]})) == {LIGHTGCN, "item_knn"}
    assert set(spaces(pipeline=pipeline, tune={"keep": [MODEL]})) == {"ease", "item_knn"}
    given = {"channels": {"item_knn": {"shrinkage": [0.0, 1.0]}}}
    assert spaces(tune=given) == {LIGHTGCN: model, "item_knn": knn}


def test_channels_are_searched_each_alone_and_the_refresh_fuses_the_best(searchable: Path, tmp_path: Path) -> None:
    text = """
    [pipeline]
    channels = ["lightgcn", "item_knn", "ease"]
    [tune.channels.item_knn]
    neighbours = [1, 2, 20]
    """
    config = copy(searchable, tmp_path / "copy", text=text)
    found = tune(config, trials=3, k=5)
    assert [one.name for one in found.searches] == ["ease", "item_knn", LIGHTGCN]
    for name in ("ease", "item_knn"):
        trials = found[name].trials
        assert len(trials) == 3
        assert {(trial.state, trial.steps) for trial in trials} == {("finished", None)}
        assert found[name].best.value == max(trial.value or 0 for trial in trials)
    assert found["item_knn"].configured.settings == {
        "channels.item_knn.neighbours": 100,
        "channels.item_knn.shrinkage": 10.0,
        "channels.item_knn.mean": False,
    }, "outside of the range that is searched, and measured all the same"
    assert {trial.settings["channels.item_knn.neighbours"] for trial in found["item_knn"].trials[1:]} <= {1, 2, 20}
    # As measured by hand.
    prepared, settings = prepared_of(config, tmp_path / "prepared"), load_config(found.out)
    assert settings.channels.ease.regularisation == found["ease"].best.settings["channels.ease.regularisation"]
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
    assert found["ease"].best.value == pytest.approx(np.mean(values))
    assert set(refresh(settings).report.fusion.weights) == {"lightgcn", "item_knn", "ease"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[@]\ndimm = [1]", "@.dimm: unknown key, did you mean 'dim'?"),
        ("[tune.chanels]\ndim = [1]", "tune.chanels: unknown key, did you mean 'channels'?"),
        ("[@]\ndim = []", "@.dim = []: list at least one value"),
        (
            "[@]\ndim = 8",
            "@.dim = 8: write a list of values, or { low = ..., high = ... }",
        ),
        ("[@]\ndim = [8, 8]", "@.dim: 8 is there twice"),
        ("[@]\ndim = [8, 0]", "@.dim = 0 must be at least 1"),
        (
            "[@]\nlayers = { low = 3, high = 2 }",
            "@.layers: low = 3 is above high = 2: the range is",
        ),
        (
            "[@]\nlayers = { low = 0, high = 2 }",
            "@.layers = 0 must be at least 1",
        ),
        (
            "[@]\nlayers = { low = 1.5, high = 2 }",
            "@.layers = 1.5 must be a valid integer",
        ),
        ("[@]\nlayers = { low = 1 }", "@.layers.high: missing"),
        (
            "[@.training]\nnode_dropout = { low = 0, high = 1 }",
            "@.training.node_dropout = 1 must be below 1",
        ),
        (
            "[@.training]\nl2 = { low = 0, high = 1, log = true }",
            "@.training.l2: low = 0 must be above 0 where log = true",
        ),
        (
            "[@.training]\nl2 = { low = 0, high = inf }",
            "@.training.l2.high: write a finite number",
        ),
        (
            "[@.training]\nl2 = { low = 1, high = 2, log = true, step = 1 }",
            "@.training.l2: log and step do not go together",
        ),
        (
            "[@.training]\nloss = ['softmx']",
            "@.training.loss = \"softmx\" must be 'softmax' or 'bpr'",
        ),
        (
            "[@.training]\nmax_steps = [10]",
            "@.training.max_steps is not searched: the number of steps is found",
        ),
        (
            "[tune]\nkeep = ['channels.lightgcn.dmi']",
            "tune: keep names 'channels.lightgcn.dmi', which is not searched anyway; did you mean",
        ),
        ("[tune]\nkeep = ['channels.eas']", "tune: keep names 'channels.eas', which is not searched anyway; did you"),
        ("[tune.channels.eas]\nweights = [5]", "tune.channels.eas: unknown key, did you mean 'ease'?"),
        ("[tune.channels.ease]\nweight = [5]", "tune.channels.ease.weight: unknown key, did you mean 'weights'?"),
        ("[tune.channels.ease]\nweights = [0]", "ease.weights = 0 must be at least 1"),
        ("[tune.channels.cheby]\nseed = [1, 2]", "tune.channels.cheby.seed is not searched: the best of several"),
        ("[tune]\nmetric = 'auc'", "tune.metric = \"auc\" must be 'recall'"),
        ("[tune]\nk = 0", "tune.k = 0 must be at least 1"),
    ],
)
def test_each_kind_of_mistake_in_what_is_searched(tmp_path: Path, text: str, expected: str) -> None:
    text, expected = text.replace("@", "tune.channels.lightgcn"), expected.replace("@", "tune.channels.lightgcn")
    file = tmp_path / "config.toml"
    file.write_text(f"[sources]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert expected in message
    assert "1 problem" in message
    assert message.count("\n") == 1, "one problem, one line"


def test_a_search_without_a_validation_part_is_refused(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", text="[split]\nvalid = 0.0\n")
    with pytest.raises(InvalidDataError, match=r"split\.valid = 0 leaves nothing to find in the validation part"):
        tune(config, trials=2)


def test_without_optuna_it_says_what_to_install(
    searchable: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("optuna", "tomli_w"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            code, out, err = command("tune", searchable)
            assert (code, out) == (1, "")
            assert f"needs the package {name}, which is not installed: pip install 'graphrecall[tune]'" in err
            load_config(searchable)  # and only tuning needs it


def test_numbers_and_files_that_cannot_be_are_refused_before_any_work(
    searchable: Path, tmp_path: Path, command: Command
) -> None:
    with pytest.raises(ConfigError, match="trials = 0 must be at least 1"):
        tune(searchable, trials=0)
    with pytest.raises(ConfigError, match=r"tune\.k = 0 must be at least 1"):
        tune(searchable, trials=1, k=0)
    with pytest.raises(ConfigError, match=r"tune\.metric = \"auc\""):
        tune(searchable, trials=1, metric="auc")
    with pytest.raises(ConfigError, match="is the configuration itself"):
        tune(searchable, trials=1, out=searchable.parent / "." / searchable.name)
    with pytest.raises(ConfigError, match="is a folder: name a file"):
        tune(searchable, trials=1, out=tmp_path)
    with pytest.raises(ConfigError, match="is no folder to write in"):
        tune(searchable, trials=1, out=searchable / "below.toml")
    assert command("tune", searchable, "--trials", "0")[0] == 2
    assert command("tune", searchable, "--metric", "auc")[0] == 2
    code, _, err = command("tune", tmp_path / "none.toml")
    assert (code, "there is no config file" in err) == (1, True)


def test_among_several_ranks_it_says_that_it_runs_alone(searchable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="start it without torchrun"):
        tune(searchable, trials=1)


def test_one_at_a_time(searchable: Path, tmp_path: Path, command: Command) -> None:
    config = copy(searchable, tmp_path / "copy")
    studies = config.parent / "runs" / ".tune"
    studies.mkdir()
    with FileLock(studies / ".lock"):
        with pytest.raises(TuneInProgressError, match="another tuning is at work"):
            tune(config, trials=1)
        code, out, err = command("tune", config, "--trials", 1)
        assert (code, out) == (75, "")
        assert err.count("\n") == 1
        assert refresh(load_config(config)).status == "unchanged", "a refresh may go on meanwhile"


def test_a_damaged_study_is_told(searchable: Path, tuned: Search, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", studies=True)
    (study,) = (config.parent / "runs" / ".tune").glob("*/study.db")
    study.write_bytes(b"no database" * 1000)
    with pytest.raises(ArtifactError, match=r"study\.db cannot be used: .*remove the file to begin again"):
        tune(config, trials=6)
    study.unlink()
    assert timeless(tune(config, trials=1)[LIGHTGCN].trials) == timeless(tuned.trials[:1])


def test_other_data_or_another_space_is_another_search(searchable: Path, tuned: Search, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", studies=True)

    def count(*, metric: str | None = None) -> int:
        return len(tune(config, trials=1, metric=metric)[LIGHTGCN].trials)

    assert count() == len(tuned.trials) == 6
    text = config.read_text()
    config.write_text(text.replace("keep = 2", "keep = 3").replace("k = [5, 10]", "k = [5]"))
    assert count() == 6, "nothing of the trials"
    for old, new in (("dim = [4, 8]", "dim = [4, 8, 2]"), ("negatives = 16", "negatives = 17")):
        config.write_text(text.replace(old, new))
        assert count() == 1
    config.write_text(text)
    assert count(metric="recall") == 1
    assert count() == 6, "the first is still there"
    assert len(list((config.parent / "runs" / ".tune").glob("*/study.db"))) == 1
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.write("u1,m23,5,2000000\n")
    assert count() == 1
    assert len(list((config.parent / "runs" / ".tune").glob("*/study.db"))) == 2


def test_the_command_prints_the_best_trials_and_json(
    searchable: Path, tuned: Search, tmp_path: Path, command: Command
) -> None:
    config = copy(searchable, tmp_path / "copy", studies=True)
    out_file = tmp_path / "elsewhere" / "best.toml"
    code, out, err = command("tune", config, "--trials", 6, "--out", out_file)
    assert (code, err) == (0, "")
    for part in ("ndcg@20", f"{tuned.best.value:.4f}", "as configured", "finished", str(out_file.name)):
        assert part in out
    assert max(len(line) for line in out.splitlines()) <= 100 + len(str(out_file))
    written = out_file.read_text()
    code, out, err = command("tune", config, "--trials", 6, "--out", out_file, "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert out_file.read_text() == written
    assert list(data["searches"]) == [LIGHTGCN]
    assert data["searches"][LIGHTGCN]["best"]["value"] == tuned.best.value
    assert len(data["searches"][LIGHTGCN]["trials"]) == 6
    assert load_config(out_file).runs_folder == load_config(config).runs_folder
    assert refresh(load_config(out_file)).run.path.parent == config.parent / "runs"


def test_a_config_written_elsewhere_means_the_same_files(tmp_path: Path) -> None:
    from ingest.build import file_sources
    from recall.config.deployment import read_config
    from recall.config.file import write_config

    base = tmp_path / "a [1] *b" / "deep"
    for name in ("movies.nt", "part [x].csv", "p-1.csv", "p-2.csv", "train.csv", "test.csv", "model/config.json"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(base / name, "x")
    write_text(tmp_path / "absolute.csv", "x")
    text = f"""
    seed = 7
    [graph.nodes.movie]
    text = "a \\"quoted\\" {{name}} \\u00e9\\n"
    [[sources.rdf]]
    files = ["movies.nt"]
    [[sources.interactions]]
    train = ["train.csv"]
    test = ["./sub/../test.csv"]
    [[sources.events]]
    relation = "tagged"
    files = ["p-*.csv", "part [x].csv", "{tmp_path}/absolute.csv"]
    [text]
    model = "model"
    [neo4j]
    uri = "bolt://h"
    password_file = "secret.txt"
    [tune]
    keep = ["channels.lightgcn"]
    """
    (base / "sub").mkdir()
    write_text(base / "config.toml", text)
    before = load_config(base / "config.toml")
    data = read_config(base / "config.toml")
    changes = {"relations": ("genre",), "training.learning_rate": 1e-05, "training.loss": None}
    for target in (base / "b.toml", base.parent / "b.toml", tmp_path / "new" / "er" / "b.toml"):
        write_config(
            data,
            {f"{MODEL}.{name}": value for name, value in changes.items()},
            target,
            base=base,
            heading="two\nlines",
        )
        assert target.read_text().startswith("# two\n# lines\n\n")
        after = load_config(target)
        files = [
            [file.path.resolve() for source in file_sources(c.sources, base=c.base) for file in source.files]
            for c in (after, before)
        ]
        assert files[0] == files[1]
        assert len(files[0]) == 7
        assert after.runs_folder == before.runs_folder == base / "runs"
        assert after.text == before.text
        assert after.neo4j == before.neo4j
        assert after.model.relations == ("genre",)
        assert after.training.learning_rate == 1e-5
        same = ("seed", "graph", "split", "quality", "tune", "evaluation")
        assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert read_config(base / "config.toml") == data, "what was read is left alone"
    with pytest.raises(ConfigError, match=r"channels\.lightgcn\.dim = 0 must be at least 1"):
        write_config(data, {f"{MODEL}.dim": 0}, tmp_path / "bad.toml", base=base, heading="")
    assert not (tmp_path / "bad.toml").exists()


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
                found = study.over()
        return timeless(found)

    whole = searched("whole", goes=1, each=20)
    assert whole[:12] == searched("parts", goes=3, each=4)
    assert whole[0].settings == configured
    best = max(whole, key=lambda trial: trial.value or -np.inf)
    assert best.number > 8, "better than chance"
    assert (best.value or -np.inf) > -1.0 > (whole[0].value or 0.0)
