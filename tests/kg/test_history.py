from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema, SplitConfig
from kg.errors import ArtifactError
from kg.history import TIE_SEED, InteractionHistory
from kg.interactions import NO_ORDER, NO_TIME
from kg.splits import split_interactions
from kg.vocabulary import pair_hash

BOUGHT, VIEWED = RelationKey("user", "bought", "item"), RelationKey("user", "viewed", "item")
LIKED_BY = RelationKey("item", "liked_by", "user")
SCHEMA = Schema(
    {"user": NodeType(name="user"), "item": NodeType(name="item")},
    {
        BOUGHT: Relation(key=BOUGHT, event=Event()),
        VIEWED: Relation(key=VIEWED, event=Event()),
        LIKED_BY: Relation(key=LIKED_BY, event=Event("dst", "src")),
    },
    interaction=BOUGHT,
    positive=PositiveRule("rating", 3),
)
USERS, ITEMS = 5, 6


class Row(NamedTuple):
    user: int
    item: int
    time: int | None
    order: int | None
    weight: float | None
    rating: float | None


def table_of(rows: list[Row], *, src: str = "user", dst: str = "item") -> pa.Table:
    return pa.table(
        {
            "src": pa.array([getattr(row, src) for row in rows], pa.int64()),
            "dst": pa.array([getattr(row, dst) for row in rows], pa.int64()),
            "timestamp": pa.array([row.time for row in rows], pa.int64()),
            "order": pa.array([row.order for row in rows], pa.int64()),
            "weight": pa.array([row.weight for row in rows], pa.float64()),
            "rating": pa.array([row.rating for row in rows], pa.float64()),
        }
    )


def graph_of(
    bought: pa.Table,
    *,
    viewed: list[Row] | None = None,
    liked_by: list[Row] | None = None,
    repeats: list[Row] | None = None,
    users: int = USERS,
    items: int = ITEMS,
) -> KnowledgeGraph:
    nodes = {
        "user": pa.table({"id": [f"u{number}" for number in range(users)]}),
        "item": pa.table({"id": [f"i{number}" for number in range(items)]}),
    }
    edges = {
        BOUGHT: bought,
        VIEWED: table_of(viewed or []),
        LIKED_BY: table_of(liked_by or [], src="item", dst="user"),
    }
    return KnowledgeGraph(SCHEMA, nodes, edges, {BOUGHT: table_of(repeats or [])})


def naive(graph: KnowledgeGraph, kinds: list[tuple[int, list[Row]]]) -> list[list[tuple[int, int, float, int, bool]]]:
    """Every user's interactions by a sort in Python."""
    result: list[list[tuple[int, int, float, int, bool]]] = []
    for user in range(len(graph.users)):
        keyed = []
        for kind, rows in kinds:
            for row in rows:
                if row.user != user:
                    continue
                one = np.array([row.user]), np.array([row.item])
                time = NO_TIME if row.time is None else row.time
                order = NO_ORDER if row.order is None else row.order
                tie = int(pair_hash(graph.users, graph.items, *one, TIE_SEED)[0])
                positive = kind == 0 and row.rating is not None and row.rating >= 3
                weight = 1.0 if row.weight is None else float(np.float32(row.weight))
                keyed.append(((time, order, tie), (row.item, time, weight, kind, positive)))
        result.append([entry for _, entry in sorted(keyed, key=lambda pair: pair[0])])
    return result


def sequences(history: InteractionHistory, users: list[int]) -> list[list[tuple[int, int, float, int, bool]]]:
    part = history.sequence(np.array(users, dtype=np.int64))
    assert len(part) == len(users)
    columns = (part.values, part.times, part.weights, part.kinds, part.positive)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return [rows[part.offsets[row] : part.offsets[row + 1]] for row in range(len(users))]


OPTIONAL = st.none() | st.integers(0, 3)
ROWS = st.lists(
    st.builds(
        Row,
        user=st.integers(0, USERS - 2),  # the last user has no interaction
        item=st.integers(0, ITEMS - 1),
        time=OPTIONAL,
        order=OPTIONAL,
        weight=st.none() | st.floats(0, 10, width=32),
        rating=st.none() | st.floats(1, 5),
    ),
    max_size=25,
    # Rows alike but for weight or rating keep the order of the table, which the naive sort does not know of.
    unique_by=lambda row: (row.user, row.item, row.time, row.order),
)


@given(ROWS, ROWS, ROWS, ROWS)
def test_sequences_against_a_naive_sort(
    bought: list[Row], viewed: list[Row], liked_by: list[Row], repeats: list[Row]
) -> None:
    alike = {(row.user, row.item, row.time, row.order) for row in bought}
    repeats = [row for row in repeats if (row.user, row.item, row.time, row.order) not in alike]
    graph = graph_of(table_of(bought), viewed=viewed, liked_by=liked_by, repeats=repeats)
    history = InteractionHistory.of(graph)
    # Rows of two kinds that are equal otherwise come in the order of the kinds.
    expected = naive(graph, [(0, [*bought, *repeats]), (1, viewed), (2, liked_by)])
    assert sequences(history, list(range(USERS))) == expected
    assert sequences(history, [3, -1, 3, USERS - 1]) == [expected[3], [], expected[3], []]
    assert history.relations == (BOUGHT, VIEWED, LIKED_BY)
    assert (history.num_users, history.num_items) == (USERS, ITEMS)
    for user in range(USERS):
        liked = {row.item for row in bought if row.user == user and row.rating is not None and row.rating >= 3}
        touched = {row.item for row in [*bought, *viewed, *liked_by] if row.user == user}
        assert history.liked[user].tolist() == sorted(liked)
        assert history.seen[user].tolist() == sorted(touched)


@settings(max_examples=25)
@given(bought=ROWS, viewed=ROWS)
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, bought: list[Row], viewed: list[Row]
) -> None:
    history = InteractionHistory.of(graph_of(table_of(bought), viewed=viewed))
    folder = tmp_path_factory.mktemp("run") / "history"
    history.save(folder)
    again = InteractionHistory.load(folder)
    assert sequences(again, list(range(USERS))) == sequences(history, list(range(USERS)))
    for name in ("liked", "seen"):
        one, other = getattr(history, name), getattr(again, name)
        assert one.offsets.tolist() == other.offsets.tolist()
        assert one.values.tolist() == other.values.tolist()
        assert (other.offsets.dtype, other.values.dtype) == (np.int64, np.int64)
    assert again.items.ids.to_pylist() == history.items.ids.to_pylist()
    assert (again.items.name, again.relations, again.first_item) == ("item", history.relations, USERS)
    kinds = [getattr(again.events, name).dtype for name in ("values", "times", "weights", "kinds", "positive")]
    assert kinds == [np.int64, np.int64, np.float32, np.int16, np.bool_]


def test_ten_thousand_interactions_of_one_user_without_times() -> None:
    items = np.random.default_rng(0).integers(0, 500, 10_000)
    table = pa.table({"src": np.zeros(10_000, np.int64), "dst": items, "rating": np.full(10_000, 5.0)})
    ordered = table.append_column("order", pa.array(np.arange(10_000)[::-1]))
    history = InteractionHistory.of(graph_of(ordered, users=3, items=500))
    assert history.sequence(np.array([0]))[0].tolist() == items[::-1].tolist()
    assert history.liked[0].tolist() == np.unique(items).tolist()
    graph = graph_of(table, users=3, items=500)
    done = InteractionHistory.of(graph).sequence(np.array([0, 1]))
    hashes = pair_hash(graph.users, graph.items, np.zeros(10_000, np.int64), done[0], TIE_SEED)
    assert (hashes[1:] >= hashes[:-1]).all()
    assert sorted(done[0].tolist()) == sorted(items.tolist())
    assert set(done.times.tolist()) == {NO_TIME}
    assert done[1].tolist() == []


def test_times_that_are_nan_are_unknown() -> None:
    table = pa.table({"src": [0, 0, 0], "dst": [1, 2, 3], "timestamp": [5.0, float("nan"), None], "rating": [5.0] * 3})
    history = InteractionHistory.of(graph_of(table))
    assert sorted(history.sequence(np.array([0])).times.tolist()) == [NO_TIME, NO_TIME, 5]
    assert history.sequence(np.array([0]))[0].tolist()[-1] == 1


def test_other_nodes_do_not_change_the_order_of_ties() -> None:
    rows = [Row(0, item, 7, None, None, 5.0) for item in range(ITEMS)]
    few = InteractionHistory.of(graph_of(table_of(rows)))
    more = InteractionHistory.of(graph_of(table_of(rows), users=50, items=50))
    assert few.sequence(np.array([0])).values.tolist() == more.sequence(np.array([0])).values.tolist()


def test_items_in_order_come_from_the_interactions_whatever_else_was_done_to_them_later() -> None:
    bought = [
        Row(0, 3, 1, None, None, 5.0),
        Row(0, 1, 2, None, None, 4.0),
        Row(0, 2, 3, None, None, 1.0),
        Row(1, 1, 5, None, None, 3.0),
    ]
    again, viewed = [Row(0, 3, 4, None, None, 5.0)], [Row(0, 1, 9, None, None, None), Row(0, 2, 9, None, None, None)]
    history = InteractionHistory.of(graph_of(table_of(bought), viewed=viewed, repeats=again))
    users = np.array([1, 0, -1])
    liked, others = history.in_order(users), history.in_order(users, liked=False)
    assert [liked[row].tolist() for row in range(3)] == [[1], [1, 3], []]
    assert liked.times.tolist() == [5, 2, 4]
    assert [others[row].tolist() for row in range(3)] == [[], [2], []]


def test_selecting_the_positive_interactions() -> None:
    rows = [Row(0, 1, 1, None, None, 5.0), Row(0, 2, 2, None, None, 1.0), Row(2, 1, 3, None, None, 4.0)]
    done = InteractionHistory.of(graph_of(table_of(rows), viewed=[Row(0, 1, 9, None, None, None)]))
    events = done.sequence(np.arange(USERS))
    positive = events.select(events.positive)
    assert [positive[user].tolist() for user in range(USERS)] == [[1], [], [1], [], []]
    assert positive.times.tolist() == [1, 3]


def test_repeats_follow_their_pair_through_views() -> None:
    bought = [Row(0, item, 10 * item + 5, None, None, 5.0) for item in range(5)] + [Row(1, 0, 50, None, None, 5.0)]
    repeats = [Row(0, 4, 1, None, None, 5.0), Row(0, 0, 2, None, None, 5.0), Row(1, 0, 3, None, None, 5.0)]
    graph = graph_of(table_of(bought), repeats=repeats)
    assert len(graph.interactions) == 6
    split = split_interactions(graph, SplitConfig(kind="leave_last_out"))
    view = InteractionHistory.of(split.view(graph, "train"))
    assert view.sequence(np.array([0, 1])).values.tolist() == [0, 0, 1, 2, 0, 0]  # nothing of item 4
    kept = graph.keep_nodes({"user": np.array([False, True, True, True, True])})
    assert InteractionHistory.of(kept).sequence(np.array([0])).values.tolist() == [0, 0]
    assert graph.without_relations({BOUGHT}).repeats == {}


def test_damaged_files_are_named(tmp_path: Path) -> None:
    history = InteractionHistory.of(graph_of(table_of([Row(0, 1, 1, None, None, 5.0)])))
    for name in ("history.json", "users.parquet", "items.parquet"):
        folder = tmp_path / name
        history.save(folder)
        (folder / name).write_bytes(b"{}")
        with pytest.raises(ArtifactError, match=name):
            InteractionHistory.load(folder)
        (folder / name).unlink()
        with pytest.raises(ArtifactError, match=f"{name} is missing"):
            InteractionHistory.load(folder)
