"""What an ancestor was trained on is never held out from a descendant, whatever happens to the interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, SplitConfig, split_interactions
from kg.errors import ArtifactError
from kg.lineage import Lineage
from kg.splits import TEST, TRAIN, VALID, Split

RATED = RelationKey("user", "rated", "item")
TAGGED = RelationKey("user", "tagged", "item")
SPLIT = SplitConfig(test=0.25, valid=0.25)

Row = tuple[str, str, int]


def graph_of(rated: list[Row], tagged: list[Row] = (), more: tuple[str, ...] = ()) -> KnowledgeGraph:  # type: ignore[assignment]
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "item")},
        relations={RATED: Relation(key=RATED, event=Event()), TAGGED: Relation(key=TAGGED, event=Event())},
        item_type="item",
        interaction=RATED,
    )
    rows = [*rated, *tagged]
    nodes = {
        "user": pa.table({"id": pa.array(sorted({*more, *(row[0] for row in rows)}), pa.string())}),
        "item": pa.table({"id": pa.array(sorted({*more, *(row[1] for row in rows)}), pa.string())}),
    }

    def table(of: list[Row]) -> object:
        return pa.table(
            {
                "src": pa.array([row[0] for row in of], pa.string()),
                "dst": pa.array([row[1] for row in of], pa.string()),
                "timestamp": pa.array([row[2] for row in of], pa.int64()),
            }
        )

    return KnowledgeGraph.build(schema, nodes, {RATED: table(rated), TAGGED: table(list(tagged))})


def parts(split: Split, graph: KnowledgeGraph) -> dict[tuple[str, str], set[int]]:
    """Each pair's parts: one pair can be there more than once."""
    parts_of: dict[tuple[str, str], set[int]] = {}
    users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
    for user, item, part in zip(graph.interactions.user, graph.interactions.item, split.part, strict=True):
        parts_of.setdefault((users[user], items[item]), set()).add(int(part))
    return parts_of


def test_deleting_the_newest_interactions_holds_out_nothing_that_was_trained_on() -> None:
    first = graph_of([("u", f"i{n}", n) for n in range(16)])
    split = split_interactions(first, SPLIT)
    lineage = Lineage.of(split, first)
    fewer = graph_of([("u", f"i{n}", n) for n in range(8)], more=("a",))
    plain = split_interactions(fewer, SPLIT)
    assert plain.counts() == {"train": 4, "valid": 2, "test": 2}
    kept, moved = lineage.keep(plain, fewer)
    assert kept.counts() == {"train": 8, "valid": 0, "test": 0}
    assert moved == {"train": 4, "valid": 0}
    assert kept.temporal == plain.temporal


def test_what_was_validated_on_does_not_become_test() -> None:
    first = graph_of([("u", f"i{n}", n) for n in range(8)])
    lineage = Lineage.of(split_interactions(first, SPLIT), first)
    fewer = graph_of([("u", f"i{n}", n) for n in range(6)])
    kept, moved = lineage.keep(split_interactions(fewer, SPLIT), fewer)
    assert parts(kept, fewer)["u", "i5"] == {VALID}
    assert moved == {"train": 0, "valid": 1}


def test_an_item_that_is_gone_is_not_taken_for_the_last_item_of_another_user() -> None:
    first = graph_of([("v", f"i{n}", n) for n in range(4)] + [("v", "j", -1)])
    lineage = Lineage.of(split_interactions(first, SPLIT), first)
    without = graph_of([("u", f"i{n}", n) for n in range(4)] + [("v", f"i{n}", n) for n in range(4)])
    plain = split_interactions(without, SPLIT)
    assert parts(plain, without)["u", "i3"] == {TEST}
    kept, _ = lineage.keep(plain, without)
    assert parts(kept, without)["u", "i3"] == {TEST}


def test_what_was_deleted_and_comes_again_is_still_known() -> None:
    first = graph_of([("u", f"i{n}", n) for n in range(8)])
    one = Lineage.of(split_interactions(first, SPLIT), first)
    without = graph_of([("u", f"i{n}", n) for n in range(3, 8)])
    two = Lineage.of(one.keep(split_interactions(without, SPLIT), without)[0], without, before=one)
    again = graph_of([("u", "i0", 100), *(("u", f"i{n}", n) for n in range(3, 8))])
    kept, _ = two.keep(split_interactions(again, SPLIT), again)
    assert parts(kept, again)["u", "i0"] == {TRAIN}


def test_a_tag_that_was_trained_on_keeps_its_pair_in_training_when_the_rating_comes() -> None:
    rated = [("u", f"i{n}", n) for n in range(8)]
    tagged = [("u", "late", 1)]
    first = graph_of(rated, tagged)
    lineage = Lineage.of(split_interactions(first, SPLIT), first)
    after = graph_of([*rated, ("u", "late", 50)], tagged)
    plain = split_interactions(after, SPLIT)
    assert parts(plain, after)["u", "late"] == {TEST}
    assert parts(lineage.keep(plain, after)[0], after)["u", "late"] == {TRAIN}


rows_of = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from([f"i{n}" for n in range(7)]), st.integers(0, 9)),
    min_size=1,
    max_size=24,
)


@settings(max_examples=60)
@given(st.lists(st.tuples(rows_of, rows_of), min_size=2, max_size=4))
def test_over_generations_of_any_changes_nothing_moves_away_from_training(
    generations: list[tuple[list[Row], list[Row]]],
) -> None:
    trained: set[tuple[str, str]] = set()
    validated: set[tuple[str, str]] = set()
    lineage = None
    for rated, tagged in generations:
        graph = graph_of(rated, tagged)
        plain = split_interactions(graph, SPLIT)
        split = plain if lineage is None else lineage.keep(plain, graph)[0]
        for pair, (now, was) in _both(split, plain, graph).items():
            expected = (
                {TRAIN} if pair in trained else {VALID if p == TEST else p for p in was} if pair in validated else was
            )
            assert now == expected, pair
        users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
        view = split.view(graph, "train")
        for key in (RATED, TAGGED):
            ends = view.edges[key]
            trained |= {
                (users[u], items[i]) for u, i in zip(ends["src"].to_pylist(), ends["dst"].to_pylist(), strict=True)
            }
        validated |= {pair for pair, now in parts(split, graph).items() if VALID in now}
        lineage = Lineage.of(split, graph, before=lineage)
        rows = lineage.table.to_pylist()
        assert len({(row["user_id"], row["item_id"]) for row in rows}) == len(rows)
        assert {(row["user_id"], row["item_id"]) for row in rows if row["trained"]} == trained
        assert {(row["user_id"], row["item_id"]) for row in rows if not row["trained"]} == validated - trained


def _both(split: Split, plain: Split, graph: KnowledgeGraph) -> dict[tuple[str, str], tuple[set[int], set[int]]]:
    now, was = parts(split, graph), parts(plain, graph)
    return {pair: (now[pair], was[pair]) for pair in now}


def test_it_is_kept_on_disk_and_damage_is_told(tmp_path: Path) -> None:
    graph = graph_of([("u", f"i{n}", n) for n in range(8)])
    lineage = Lineage.of(split_interactions(graph, SPLIT), graph)
    lineage.save(tmp_path / "lineage.parquet")
    assert Lineage.load(tmp_path / "lineage.parquet").table.equals(lineage.table)
    other = pa.table({"user_id": ["u"]})
    Lineage(other).save(tmp_path / "other.parquet")
    with pytest.raises(ArtifactError, match="columns"):
        Lineage.load(tmp_path / "other.parquet")
    with pytest.raises(ArtifactError, match="missing"):
        Lineage.load(tmp_path / "none.parquet")
    assert np.array_equal(lineage.trained, [True] * 4 + [False] * 2)
