"""`graphrecall evaluate --explanations`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from tests.recall.conftest import ONE_CHANNEL

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def walking(deployment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that serves the walk alone, by stated weights: ratings drawn at random leave little for found ones."""
    folder = tmp_path_factory.mktemp("walking") / "copy"
    shutil.copytree(deployment.parent, folder, ignore=shutil.ignore_patterns("runs"))
    config = folder / deployment.name
    text = config.read_text(encoding="utf-8")
    assert ONE_CHANNEL in text
    weights = "[channels.walk]\nweights = {through_users = 1.0, director = 0.5, popularity = 0.1}\n"
    config.write_text(text.replace(ONE_CHANNEL, 'channels = ["walk"]') + weights, encoding="utf-8")
    return refresh(load_config(config)).run.path


def test_as_tables_as_json_and_drawn(command: Command, walking: Path, tmp_path: Path) -> None:
    options = ("--explanations", "--users", 6, "--refits", 3, "-k", 5)
    code, out, err = command("evaluate", walking, *options, "--plot", tmp_path / "curves.svg", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert (data["channel"], data["users"], data["k"], data["valid"]) == ("walk", 6, 5, 1.0)
    assert [entry["paths"] for entry in data["deletions"]] == [1, 3, 5]
    assert (tmp_path / "curves.svg").read_text(encoding="utf-8").startswith("<?xml")
    code, out, _ = command("evaluate", walking, *options)
    assert code == 0
    for part in ("100.00% of them exist", "LIR", "rank correlation", "items gone"):
        assert part in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--explanations", "-k", 3, "-k", 5), "is one number with --explanations"),
        (("--plot", "curves.png"), "draws the measures of --explanations"),
        (("--explanations", "--plot", "curves.txt"), "curves.txt cannot be drawn"),
    ],
)
def test_what_does_not_go_together(command: Command, walking: Path, options: tuple[object, ...], message: str) -> None:
    code, out, err = command("evaluate", walking, *options)
    assert code
    assert out == ""
    assert message in " ".join(err.split())


def test_a_run_without_paths_says_which_section_brings_them(command: Command, refreshed: RefreshResult) -> None:
    code, out, err = command("evaluate", refreshed.run.path, "--explanations")
    assert (code, out) == (1, "")
    assert "[channels.walk]" in err
