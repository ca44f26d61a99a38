"""The benchmark of evaluations on few users, and its part of the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import evaluation, numbers, results
from kg.io.files import read_json


def test_every_length_of_lists_is_measured_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results.FOLDER, folder, ignore=shutil.ignore_patterns("*.png"))
    monkeypatch.setattr(results, "FOLDER", folder)
    channels = ["cheby", "item_knn", "popularity"]
    evaluation.main(
        ["--users", "300", "--items", "120", "--interactions", "3000", "-k", "5", "50", "--channels", *channels]
    )
    written = read_json(folder / "evaluation.json")
    assert list(written["channels"]) == channels
    assert [row["k"] for row in written["rows"]] == [5, 50]
    assert all(row["users"] > 200 and row["cpu_seconds"] > 0 for row in written["rows"])
    page = next(text for path, text in numbers.pages().items() if path.name == "numbers.md")
    assert "300 generated users, 120 items and 3,000 interactions" in page
