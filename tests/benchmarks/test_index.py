"""The benchmark of indexes on few vectors, and its part of the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import index, numbers, results
from kg.io.files import read_json


def test_every_kind_is_measured_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    lines = [" ".join(map(str, [user, *np.sort(random.permutation(300)[:20]).tolist()])) for user in range(700)]
    data = tmp_path / "gowalla"
    data.mkdir()
    (data / "train.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    (data / "test.txt").write_text("0 299\n", encoding="ascii")
    folder = tmp_path / "results"
    shutil.copytree(results.FOLDER, folder, ignore=shutil.ignore_patterns("*.png"))
    monkeypatch.setattr(results, "FOLDER", folder)
    monkeypatch.setattr(index, "TARGET", 0.5)  # vectors without any taste lie in no clusters
    index.main(["--data", str(data), "--vectors", "3000", "--kinds", "ivf", "sq"])
    written = read_json(folder / "index.json")
    assert [row["model"] for row in written["rows"]] == ["flat", "ivf", "sq"]
    exact, *others = written["rows"]
    assert exact["recall"] == 1
    assert all(row["recall"] > 0.4 for row in others)
    assert all(len(row["filters"]) == 5 for row in written["rows"])
    assert others[1]["bytes_a_vector"] < others[0]["bytes_a_vector"]
    page = next(text for path, text in numbers.pages().items() if path.name == "numbers.md")
    assert "3,000 vectors of 64 columns" in page
    assert "| sq | lists" in page
