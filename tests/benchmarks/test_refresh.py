"""The refresh benchmark: what it takes away and brings back, and how it reads a model that knows less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.refresh_data import BundledMovies
from benchmarks.refresh_quality import GROUPS, K, Part, Readings, _asked, before
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from kg import Event, KnowledgeGraph, NodeType, RaggedArray, Relation, RelationKey, Schema, SplitConfig
from kg import split_interactions as split_of
from kg.lineage import Lineage

RATED = RelationKey("user", "rated", "item")


def graph_of(users: int = 12, items: int = 40) -> KnowledgeGraph:
    random = np.random.default_rng(2)
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "item")},
        relations={RATED: Relation(key=RATED, event=Event())},
        item_type="item",
        interaction=RATED,
    )
    pairs = [(f"u{u:02}", f"i{i:02}") for u in range(users) for i in random.permutation(items)[:15]]
    table = pa.table(
        {
            "src": [user for user, _ in pairs],
            "dst": [item for _, item in pairs],
            "timestamp": random.permutation(len(pairs)),
        }
    )
    nodes = {
        "user": pa.table({"id": [f"u{n:02}" for n in range(users)]}),
        "item": pa.table({"id": [f"i{n:02}" for n in range(items)]}),
    }
    return KnowledgeGraph.build(schema, nodes, {RATED: table})


def part_of(graph: KnowledgeGraph, lineage: Lineage | None = None) -> Part:
    split = split_of(graph, SplitConfig(test=0.3, valid=0.1))
    if lineage is not None:
        split, _ = lineage.keep(split, graph)
    nothing = TextFeatures(nodes=np.zeros(0, dtype=np.int64), vectors=np.zeros((0, 4), dtype=np.float32), model="")
    return Part(graph, split, nothing)


def ids_of(lists: RaggedArray, graph: KnowledgeGraph) -> dict[str, set[str]]:
    names, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
    return {
        names[row]: {items[at] for at in lists.values[lists.offsets[row] : lists.offsets[row + 1]]}
        for row in range(len(lists))
    }


def test_what_is_new_is_exactly_what_was_not_there_before() -> None:
    graph = graph_of()
    old, new = before(graph, 0.1, 0)
    assert new.users.sum() == 1
    assert new.items.sum() == 4
    given, was = graph.interactions, old.interactions
    pairs = {
        (graph.users.ids[int(u)].as_py(), graph.items.ids[int(i)].as_py())
        for u, i, one in zip(given.user, given.item, new.interactions, strict=True)
        if not one
    }
    assert pairs == {
        (old.users.ids[int(u)].as_py(), old.items.ids[int(i)].as_py()) for u, i in zip(was.user, was.item, strict=True)
    }
    assert was.timestamp.max() < given.timestamp.max()
    assert before(graph, 0.0, 0)[0].counts() == graph.counts()


def test_a_model_that_knows_less_is_read_by_ids_and_finds_nothing_new() -> None:
    graph = graph_of()
    old, new = before(graph, 0.1, 0)
    was, whole = part_of(old), part_of(graph)
    now = part_of(graph, Lineage.of(was.split, old))
    model = fit(
        was.view,
        LightGCNConfig(dim=8),
        TrainingConfig(max_steps=3, batch_size=64, negatives=16, cold_weight=0.0),
        context=RunContext(device="cpu"),
    )
    model.facts["cpu"] = 1.0  # type: ignore[index]
    truths, seen = _asked(whole, now, new)
    found = Readings()
    users = np.flatnonzero(truths[GROUPS[0]].counts)
    ranked = found._ranked_by_old(model, was, graph, users, seen)
    assert ranked.shape == (len(users), K)
    hidden = ids_of(seen, graph)
    old_items = old.items.ids.to_pylist()
    scores = model.query_vectors(model.users) @ model.index_vectors.T
    for row, user in zip(ranked, graph.users.take(users).to_pylist(), strict=True):
        got = [graph.items.ids[int(at)].as_py() for at in row if at >= 0]
        if user not in old.users.ids.to_pylist():
            assert got == []
            continue
        mine = scores[old.users.ids.to_pylist().index(user)]
        allowed = [(-mine[at], at) for at, item in enumerate(old_items) if item not in hidden[user]]
        assert got == [old_items[at] for _, at in sorted(allowed)[:K]]
    found.add("old", model, was, truths, seen, graph=graph)
    rows = {row["group"]: row for row in found.rows("old")}
    assert rows["new users"]["recall@20"] == rows["new items"]["recall@20"] == 0
    assert rows["all users"]["recall@20"] > 0


def test_held_out_is_what_both_splits_hold_out() -> None:
    graph = graph_of()
    old, new = before(graph, 0.1, 0)
    was, whole = part_of(old), part_of(graph)
    now = part_of(graph, Lineage.of(was.split, old))
    truths, seen = _asked(whole, now, new)
    trained = ids_of(was.split.positives(old, "train"), old)
    for user, items in ids_of(truths[GROUPS[0]], graph).items():
        assert not items & trained.get(user, set())
        assert not items & ids_of(seen, graph)[user]
    new_items = set(graph.items.take(np.flatnonzero(new.items)).to_pylist())
    assert set().union(*ids_of(truths["new items"], graph).values()) <= new_items
    assert truths["new users"].counts[~new.users].sum() == 0
    assert truths["new interactions"].counts.sum() >= truths["new items"].counts.sum()


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_files_without_a_share_lack_its_items_and_what_was_done_to_them(tmp_path: Path, share: float) -> None:
    sources = BundledMovies.read()
    sources.write(tmp_path, share)
    import gzip

    with gzip.open(tmp_path / "ratings.csv.gz", "rt", encoding="utf-8") as stream:
        kept = stream.read().splitlines()[1:]
    items = {item for item, _ in sources.triples if item is not None}
    with gzip.open(tmp_path / "movies.nt.gz", "rt", encoding="utf-8") as stream:
        there = {
            line.split("/")[4].split(">")[0] for line in stream if line.startswith("<https://movielens.org/movies/")
        }
    assert len(items) - len(there) == round(share * len(items))
    assert {line.split(",")[1] for line in kept} <= there
    lost = len(sources.ratings) - len(kept)
    assert (lost == 0) if share == 0 else share * len(sources.ratings) <= lost <= 3 * share * len(sources.ratings)
