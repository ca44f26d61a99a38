"""The benchmark of exclusions and filters on few items: every kind of request is asked, and none misses an item."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import requests, results
from kg.io.files import read_json

pytestmark = pytest.mark.benchmarks


def test_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    requests.main(["--items", "3000", "--requests", "4"])
    written = read_json(tmp_path / "requests.json")
    assert written["items"] == 3000
    assert written["index"]["kind"] == "flat"
    assert [row["recall"] for row in written["rows"]] == [1.0] * 9
    assert {row["request"].partition(",")[0] for row in written["rows"]} == {
        "nothing excluded",
        "300 ids excluded",
        "filter",
    }
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in written["rows"])
