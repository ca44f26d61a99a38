"""The benchmark of `recall.fit`: what one call measures, and which earlier rows stay in its result file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fit
from kg.io.files import write_json


def test_earlier_rows_of_the_same_size_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "FOLDER", tmp_path)
    assert fit.earlier(1000) == {}
    rows = [{"model": "ease", "seconds": 2.0}, {"model": "rp3beta", "seconds": 1.0, "commit": "b"}]
    write_json(tmp_path / "fit.json", {"interactions": 1000, "commit": "a", "rows": rows})
    assert fit.earlier(1000) == {
        "ease": {"model": "ease", "seconds": 2.0, "commit": "a"},
        "rp3beta": {"model": "rp3beta", "seconds": 1.0, "commit": "b"},
    }
    assert fit.earlier(2000) == {}


@pytest.mark.benchmarks
def test_one_call_is_measured() -> None:
    row = fit.measured(2000, "popularity")
    assert row["users"] <= 80
    assert row["interactions"] <= 2000
    assert row["seconds"] > 0
    assert row["peak_mb"] >= row["before_mb"] > 0
