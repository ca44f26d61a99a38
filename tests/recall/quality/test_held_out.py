"""The questions that two runs are both asked, against a naive oracle by external ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Split, SplitConfig, split_interactions
from kg.io.graph_folder import save_graph
from recall.channels import Popularity
from recall.quality.assess import single, write_split
from recall.quality.held_out import Common, Questions, RunData
from recall.runs.layout import RunLayout

Pair = tuple[str, str]


def kept(folder: Path, graph: KnowledgeGraph, *, seed: int) -> RunData:
    run = RunLayout(folder)
    save_graph(graph, run.graph)
    split = split_interactions(graph, SplitConfig(kind="random", test=0.4, valid=0.1, seed=seed))
    write_split(split, graph, run.split)
    return RunData(run)


def pairs(data: RunData, *parts: str, positive: bool = False) -> set[Pair]:
    interactions = data.graph.interactions
    rows = data.split.mask(*parts)  # type: ignore[arg-type]
    if positive:
        rows = rows & interactions.positive
    users, items = data.graph.users.ids.to_pylist(), data.graph.items.ids.to_pylist()
    return {
        (users[user], items[item]) for user, item in zip(interactions.user[rows], interactions.item[rows], strict=True)
    }


def by_id(data: RunData, questions: Questions) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    users, items = data.graph.users.ids.to_pylist(), data.graph.items.ids.to_pylist()
    return tuple(  # type: ignore[return-value]
        {users[user]: {items[item] for item in lists[row]} for row, user in enumerate(questions.user)}
        for lists in (questions.truth, questions.seen)
    )


@pytest.mark.parametrize("seed", range(6))
def test_both_runs_are_asked_what_neither_has_seen(
    tmp_path: Path, movie_graph: Callable[..., KnowledgeGraph], seed: int
) -> None:
    random = np.random.default_rng(seed)
    new = kept(
        tmp_path / "new", movie_graph(users=13, movies=int(random.integers(14, 25)), ratings=9, seed=seed), seed=1
    )
    old = kept(tmp_path / "old", movie_graph(users=11, movies=20, ratings=8, seed=seed + 100), seed=2)
    users = set(new.graph.users.ids.to_pylist()) & set(old.graph.users.ids.to_pylist())
    items = set(new.graph.items.ids.to_pylist()) & set(old.graph.items.ids.to_pylist())

    def common(found: set[Pair]) -> set[Pair]:
        return {(user, item) for user, item in found if user in users and item in items}

    known = common(pairs(new, "train", "valid") | pairs(old, "train", "valid"))
    wanted = common(pairs(new, "test", positive=True)) - known
    warm = {user for user, _ in pairs(new, "train", positive=True)} & {
        user for user, _ in pairs(old, "train", positive=True)
    }
    expected = {user: {item for who, item in wanted if who == user} for user in warm & users}
    expected = {user: found for user, found in expected.items() if found}
    ground = Common(new, old)
    questions = ground.held_out(1000)
    truth, seen = by_id(new, questions)
    assert truth == expected
    assert expected, "the case must ask something"
    assert seen == {user: {item for who, item in known if who == user} for user in expected}
    assert (ground.num_users, ground.num_items) == (len(users), len(items))
    assert len(ground.held_out(3)) == 3
    assert set(ground.held_out(3).user) <= set(questions.user)

    for data in (new, old):
        likes = Counter(item for _, item in pairs(data, "train", positive=True))
        ranked = ground.rank(single(Popularity(), data.view), questions, 7, of=data)
        names = [*new.graph.items.ids.to_pylist(), None]
        for row, user in enumerate(new.graph.users.take(questions.user).to_pylist()):
            allowed = [item for item in sorted(items) if item not in seen[user] and likes[item]]
            best = sorted(allowed, key=lambda item: (-likes[item], item))[:7]
            assert [names[item] for item in ranked[row] if item >= 0][: len(best)] == best

    touched = common(pairs(new, "train", "valid", "test") | pairs(old, "train", "valid", "test"))
    served = ground.served(1000)
    truth, seen = by_id(new, served)
    assert not any(truth.values())
    assert seen == {user: {item for who, item in touched if who == user} for user in seen}
    assert set(seen) == {
        user
        for user in users
        if all(user in {who for who, _ in pairs(data, "train", "valid", "test", positive=True)} for data in (new, old))
    }


def test_runs_with_nobody_in_common_are_asked_nothing(
    tmp_path: Path, movie_graph: Callable[..., KnowledgeGraph]
) -> None:
    graph = movie_graph(users=5, movies=12, ratings=6)
    new = kept(tmp_path / "new", graph, seed=1)
    old = kept(tmp_path / "old", graph, seed=1)
    old.split = Split(part=np.full(len(graph.interactions), 0, dtype=np.int8))
    assert len(Common(new, old).held_out(10)) == 0, "the old model has seen everything"
    assert len(Common(new, None).held_out(10)) > 0
