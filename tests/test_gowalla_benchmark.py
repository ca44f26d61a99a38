"""The split of the check-ins: the published test part, and a validation part that lies to training as test does."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gowalla_data


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


def test_validation_is_the_newest_fifth_of_each_training_line(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.split(graph)
    train, valid, test = (lists(graph, split, part) for part in ("train", "valid", "test"))
    for user, items in lines(folder / "train.txt").items():
        held = int(len(items) * 0.2) if len(items) >= 5 else 0
        assert valid[user] == set(items[:held])
        assert train[user] == set(items[held:])
    for user, items in lines(folder / "test.txt").items():
        assert test[user] == set(items)
    assert sum(map(len, valid.values())) > 50
