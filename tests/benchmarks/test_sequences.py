"""The benchmark of sequence models on four small histories."""

from __future__ import annotations

import json

import pytest

from benchmarks import results, sequences

LINES = ("1 1 2 3 4", "2 2 3 4 5 1", "3 3 1 5 2", "4 4 2 1 3", "5 1 2 3 6")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "sequences"
    folder.mkdir()
    (folder / "Beauty.txt").write_text("\n".join(LINES) + "\n", encoding="ascii")
    rows = ["item,text,brand", *(f"{item},soap {item},OPI" for item in range(1, 7))]
    (folder / "Beauty_items.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_a_row_for_each_model_with_known_targets_apart(data, monkeypatch, tmp_path):
    for module in (sequences, results):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    for models in (["sasrec", "gru4rec"], ["sasrec"]):
        sequences.main(["--data", str(data), "--only", "beauty", "--model", *models, "--steps", "3", "--seeds", "2"])
    kept = json.loads((tmp_path / "sequences.json").read_text(encoding="utf-8"))
    assert [row["model"] for row in kept["rows"]] == ["gru4rec", "sasrec"]
    assert set(kept["data"]) == {"sequences/Beauty.txt", "sequences/Beauty_items.csv"}
    for row in kept["rows"]:
        assert (row["users"], row["known targets"], row["k"], row["seeds"]) == (5, 4, 10, 2)
        # With six items the best ten are all that are not seen; the item that nobody has touched has no vector.
        assert row["recall@10"] == pytest.approx(4 / 5)
        assert row["recall@10 known targets"] == 1
        assert 0 < row["ndcg@10"] < 1
