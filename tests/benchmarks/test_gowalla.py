"""The split of the check-ins: the published test part, and a validation part that lies to training as test does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import gowalla, gowalla_data, results
from gnn.graph.lightgcn import LightGCNConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Users of 0 to 39 training check-ins each; the test part is their fourth, on items of its own."""
    folder = tmp_path_factory.mktemp("gowalla")
    random = np.random.default_rng(0)
    train, test = [], []
    for user in range(40):
        items = random.permutation(60).tolist()
        train.append(" ".join(map(str, [user, *items[:user]])))
        test.append(" ".join(map(str, [user, *items[user : user + 3]])))
    (folder / "train.txt").write_text("\n".join(train) + "\n")
    (folder / "test.txt").write_text("\n".join(test) + "\n")
    return folder


def lists(graph, split, part):
    chosen = graph.interactions.select(split.mask(part))
    users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
    found = {user: set() for user in users}
    for user, item in zip(chosen.user.tolist(), chosen.item.tolist(), strict=True):
        found[users[user]].add(items[item])
    return found


def lines(path):
    return {line.split()[0]: line.split()[1:] for line in path.read_text().splitlines()}


def test_validation_is_the_last_fifth_of_the_ordered_part_of_each_training_line(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.split(graph)
    train, valid, test = (lists(graph, split, part) for part in ("train", "valid", "test"))
    for user, items in lines(folder / "train.txt").items():
        held = int(len(items) * 0.2) if len(items) >= 5 else 0
        ordered = len(items) - round(len(items) * 0.11)
        assert valid[user] == set(items[ordered - held : ordered])
        assert train[user] == set(items) - valid[user]
    for user, items in lines(folder / "test.txt").items():
        assert test[user] == set(items)
    assert sum(map(len, valid.values())) > 50


def test_the_part_next_to_the_test_part_is_the_nearest(tmp_path):
    """Forty people walk on one round of 120 places, each from another start: 30 in order, 4 out of order, 8 later."""
    random = np.random.default_rng(0)
    train, test = [], []
    for user in range(40):
        walk = (np.arange(42) + 3 * user) % 120
        tail = random.choice(34, 4, replace=False)
        ordered = np.delete(walk[:34], tail)
        train.append(" ".join(map(str, [user, *ordered, *walk[tail]])))
        test.append(" ".join(map(str, [user, *walk[34:]])))
    for name, lines_of in (("train.txt", train), ("test.txt", test)):
        (tmp_path / name).write_text("\n".join(lines_of) + "\n")
    *tenths, tail = gowalla_data.nearness(gowalla_data.load(tmp_path))
    assert tenths[9] == max(tenths)
    assert tenths[0] == min(tenths)
    assert tenths[0] < tail < tenths[9]


def test_the_benchmark_measures_every_model_and_keeps_what_other_runs_measured(folder, tmp_path, monkeypatch):
    training = gowalla.GOWALLA.training.changed(max_steps=4, eval_every=2, batch_size=64, negatives=16)
    recipe = replace(
        gowalla.GOWALLA, model=LightGCNConfig(dim=4, layers=1, relations=(), text=False), training=training
    )
    monkeypatch.setattr(gowalla, "GOWALLA", recipe)
    monkeypatch.setattr(gowalla, "CACHE", tmp_path / "cache")
    for module in (gowalla, results):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "results")
    (tmp_path / "results").mkdir()
    data = tmp_path / "data"
    data.mkdir()
    (data / "gowalla").symlink_to(folder)
    simple = [gowalla.POPULARITY, gowalla.KNN, gowalla.RP3, gowalla.GFCF, gowalla.CHEBY]
    gowalla.main(["--data", str(data), "--only", *simple])
    first = json.loads((tmp_path / "results" / "gowalla.json").read_text())
    assert [row["model"] for row in first["rows"]] == simple
    gowalla.main(["--data", str(data), "--only", gowalla.LIGHTGCN, gowalla.FUSED, "--seeds", "2"])
    second = json.loads((tmp_path / "results" / "gowalla.json").read_text())
    rows = {row["model"]: row for row in second["rows"]}
    assert list(rows) == [*simple, gowalla.LIGHTGCN, gowalla.FUSED]
    assert second["rows"][: len(simple)] == first["rows"]
    for model in (gowalla.LIGHTGCN, gowalla.FUSED):
        assert rows[model]["seeds"] == 2
        assert rows[model]["recall@20 spread"] >= 0
    for row in rows.values():
        low, high = row["ndcg@20 interval"]
        assert 0 <= low <= row["ndcg@20"] <= high <= 1
    assert [row["model"] for row in second["published"]] == list(gowalla.PUBLISHED)
