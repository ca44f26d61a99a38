"""The benchmark of batches: every way gives the same candidates, and its time is written down."""

from __future__ import annotations

import pytest

from benchmarks import batch, results
from kg.io.files import read_json


@pytest.mark.slow
def test_the_ways_are_measured(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    batch.main(["--rows", "2000", "--users", "60", "--part", "20", "-k", "3", "--engines", "local"])
    result = read_json(tmp_path / "batch.json")
    assert [row["model"] for row in result["rows"]] == [
        "loop over users",
        "loop over blocks",
        "processes, 1",
        "processes, 2",
    ]
    assert {row["candidates"] for row in result["rows"]} == {180}
    assert all(row["users_per_second"] > 0 for row in result["rows"])
    assert result["bytes_per_user"] > 0
    assert result["paper"]["machines"] == 50
