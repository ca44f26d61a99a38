"""Tuning: what it writes is what a refresh takes, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import pytest
from filelock import FileLock

from kg.errors import ArtifactError, ConfigError, InvalidDataError, TuneInProgressError
from recall.config.deployment import load_config
from recall.config.sections import LIGHTGCN
from recall.jobs.refresh import refresh
from recall.tuning.result import Search
from recall.tuning.tune import tune
from tests.recall.tuning.support import copy, timeless

Command = Callable[..., tuple[int, str, str]]


def test_the_best_is_a_config_that_a_refresh_takes_and_trains_in_the_same_way(
    tuned: Search, searchable: Path, tmp_path: Path
) -> None:
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4, 5, 6]
    assert tuned.configured.settings["channels.lightgcn.dim"] == 8
    assert tuned.configured.settings["channels.lightgcn.training.temperature"] == 0.1
    assert tuned.best.value == max(trial.value for trial in tuned.trials if trial.value is not None)
    best_config = load_config(searchable.with_name("config.tuned.toml"))
    for name, value in tuned.best.settings.items():
        assert attrgetter(name)(best_config) == value
    assert best_config.channels.lightgcn.training.max_steps == 6, "the steps are the refresh's own to find"
    assert best_config.runs_folder == load_config(searchable).runs_folder
    assert best_config.tune == load_config(searchable).tune
    there = copy(searchable, tmp_path / "copy", studies=True).with_name("config.tuned.toml")
    training = refresh(load_config(there)).report.training["lightgcn"].evaluation
    assert training.steps == tuned.best.steps
    assert training.validation["ndcg@20"] == pytest.approx(tuned.best.value, abs=1e-6)


def test_a_refresh_does_not_look_at_what_is_searched(searchable: Path, tmp_path: Path) -> None:
    config = copy(searchable, tmp_path / "copy", old="dim = [4, 8]", new="dim = [16]")
    assert refresh(load_config(config)).status == "unchanged"


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
            assert f"needs the package {name}, which is not installed: pip install optuna tomli-w" in err
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
    assert code == 0
    # Without a terminal there is a line a task.
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ", line) for line in err.splitlines())
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
