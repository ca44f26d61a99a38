from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import (
    Event,
    KnowledgeGraph,
    NodeType,
    PositiveRule,
    Relation,
    RelationKey,
    Schema,
    SplitConfig,
    hide_items,
    split_interactions,
)
from kg.errors import ConfigError, InvalidDataError
from kg.splits import TEST, TRAIN, VALID

RATED = RelationKey("user", "rated", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")
TAGGED = RelationKey("user", "tagged", "movie")
SEQUEL = RelationKey("movie", "sequel_of", "movie")
KINDS = ("per_user_time", "global_time", "leave_last_out", "random")
Row = tuple[int, int, int]


def graph_of(
    rows: list[Row], *, tags: list[tuple[int, int, int | None]] = (), extra: int = 0, **more: Any
) -> KnowledgeGraph:
    """A graph of (user, movie, time) ratings, and (user, movie, time) tags both on the movie and as a user's event."""
    users, movies = (
        max([u for u, *_ in rows], default=0) + 1 + extra,
        max([m for _, m, _ in rows], default=0) + 1 + extra,
    )
    relations = {
        RATED: Relation(key=RATED, event=Event()),
        HAS_TAG: Relation(key=HAS_TAG, event=Event("user", "src")),
        TAGGED: Relation(key=TAGGED, event=Event()),
        SEQUEL: Relation(key=SEQUEL),
    }
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "movie", "tag")},
        relations=relations,
        item_type="movie",
        interaction=RATED,
        positive=PositiveRule("rating", 4.0),
    )
    text = pa.string()
    times = pa.array([t for *_, t in tags], type=pa.int64())
    tag_user = pa.array([f"u{u}" for u, *_ in tags], type=text)
    tag_movie = pa.array([f"m{m}" for _, m, _ in tags], type=text)
    return KnowledgeGraph.build(
        schema,
        {
            "user": pa.table({"id": [f"u{n}" for n in range(users)]}),
            "movie": pa.table({"id": [f"m{n}" for n in range(movies)]}),
            "tag": pa.table({"id": ["canary"]}),
        },
        {
            RATED: pa.table(
                {
                    "src": pa.array([f"u{u}" for u, *_ in rows], type=text),
                    "dst": pa.array([f"m{m}" for _, m, _ in rows], type=text),
                    "rating": pa.array([3.0 + m % 2 for _, m, _ in rows], type=pa.float64()),
                    "timestamp": pa.array([t for *_, t in rows], type=pa.int64()),
                    **more,
                }
            ),
            HAS_TAG: pa.table(
                {
                    "src": tag_movie,
                    "dst": pa.array(["canary"] * len(tags), type=text),
                    "user": tag_user,
                    "timestamp": times,
                }
            ),
            TAGGED: pa.table({"src": tag_user, "dst": tag_movie, "timestamp": times}),
            SEQUEL: pa.table({"src": ["m0"], "dst": ["m0"]}),
        },
    )


def parts_by_id(graph: KnowledgeGraph, config: SplitConfig) -> dict[tuple[str, str], set[str]]:
    found = defaultdict(set)
    for row in split_interactions(graph, config).to_table(graph).to_pylist():
        found[row["user_id"], row["item_id"]].add(row["part"])
    return dict(found)


# Few users, movies and seconds, so that ties and users with one rating are common; a pair occurs once.
ROWS = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 9)), st.integers(0, 6), min_size=1, max_size=40).map(
    lambda pairs: [(u, m, t) for (u, m), t in pairs.items()]
)
FRACTIONS = st.sampled_from([(0.2, 0.1), (0.29, 0.0), (0.0, 0.3), (0.0, 0.0), (0.5, 0.4)])


@settings(max_examples=60)
@given(ROWS, FRACTIONS, st.sampled_from(KINDS), st.integers(0, 3))
def test_parts_follow_their_definition(rows: list[Row], fractions: tuple[float, float], kind: Any, seed: int) -> None:
    test, valid = fractions
    graph = graph_of(rows)
    interactions = graph.interactions
    split = split_interactions(graph, SplitConfig(kind=kind, test=test, valid=valid, seed=seed))
    part = split.part
    assert len(part) == len(rows)
    assert np.isin(part, [TRAIN, VALID, TEST]).all()
    assert sum(split.counts().values()) == len(rows)
    assert (split.mask("train") ^ split.mask("valid", "test")).all()
    if kind == "random":
        if not test:
            assert TEST not in part
        if not valid:
            assert VALID not in part
        return
    if kind == "global_time":
        for earlier, later in ((TRAIN, VALID), (VALID, TEST), (TRAIN, TEST)):
            if (part == earlier).any() and (part == later).any():
                assert interactions.timestamp[part == earlier].max() < interactions.timestamp[part == later].min()
        ordered = sorted(time for *_, time in rows)
        assert (part == TEST).any() == (test > 0)
        if test:
            start = ordered[int(len(rows) * (1 - test) + 1e-9)]
            assert (part == TEST).sum() == sum(time >= start for time in ordered)
        return
    for user in {u for u, *_ in rows}:
        mine = interactions.user == user
        size = int(mine.sum())
        if kind == "leave_last_out":
            tests, valids = (1 if size > 1 else 0), (1 if size > 2 else 0)
        else:
            tests, valids = int(size * test + 1e-9), int(size * valid + 1e-9)
        assert (part[mine] == TEST).sum() == tests
        assert (part[mine] == VALID).sum() == valids
        for earlier, later in ((TRAIN, VALID), (VALID, TEST), (TRAIN, TEST)):
            first, second = (interactions.timestamp[mine & (part == number)] for number in (earlier, later))
            if len(first) and len(second):
                assert first.max() <= second.min()


@settings(max_examples=40)
@given(ROWS, st.sampled_from(KINDS), st.integers(0, 3), st.randoms(use_true_random=False))
def test_neither_row_order_nor_new_nodes_move_an_interaction(
    rows: list[Row], kind: Any, seed: int, random: Any
) -> None:
    config = SplitConfig(kind=kind, seed=seed)
    shuffled = list(rows)
    random.shuffle(shuffled)
    expected = parts_by_id(graph_of(rows), config)
    assert parts_by_id(graph_of(shuffled), config) == expected
    assert parts_by_id(graph_of(rows, extra=3), config) == expected


def test_ties_are_broken_by_the_seed_and_favour_no_end() -> None:
    rows = [(user, movie, 7) for user in range(40) for movie in range(10)]
    graph = graph_of(rows)
    held = [
        graph.interactions.item[split_interactions(graph, SplitConfig(kind="leave_last_out", seed=seed)).mask("test")]
        for seed in (0, 1)
    ]
    assert held[0].tolist() != held[1].tolist()
    # 40 draws of one of ten: with row order as the tie-break all would be the same movie.
    assert len(set(held[0].tolist())) > 5


def test_fractions_mean_whole_numbers() -> None:
    graph = graph_of([(0, movie, movie) for movie in range(100)])
    split = split_interactions(graph, SplitConfig(test=0.29, valid=0.07))
    assert split.counts() == {"train": 64, "valid": 7, "test": 29}
    split = split_interactions(graph, SplitConfig(kind="global_time", test=0.29, valid=0.07))
    assert split.counts() == {"train": 64, "valid": 7, "test": 29}


def test_random_parts_have_about_their_size() -> None:
    graph = graph_of([(user, movie, 0) for user in range(50) for movie in range(40)])
    counts = split_interactions(graph, SplitConfig(kind="random", test=0.2, valid=0.1)).counts()
    assert abs(counts["test"] - 400) < 4 * np.sqrt(2000 * 0.16)
    assert abs(counts["valid"] - 200) < 4 * np.sqrt(2000 * 0.09)


@settings(max_examples=60)
@given(
    ROWS,
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.none() | st.integers(0, 7)), max_size=15),
    st.sampled_from([*KINDS, "hidden"]),
)
def test_nothing_of_a_held_out_event_is_left(rows: list[Row], tags: list[Any], kind: Any) -> None:
    users, movies = {u for u, *_ in rows}, {m for _, m, _ in rows}
    tags = [tag for tag in tags if tag[0] <= max(users) and tag[1] <= max(movies)]
    graph = graph_of(rows, tags=tags)
    split = hide_items(graph, fraction=0.5) if kind == "hidden" else split_interactions(graph, SplitConfig(kind=kind))
    for parts in (("train",), ("train", "valid"), ("train", "valid", "test")):
        view = split.view(graph, *parts)
        kept = split.mask(*parts)
        interactions = graph.interactions
        assert view.edges[RATED].equals(graph.edges[RATED].filter(pa.array(kept)))
        assert view.edges[SEQUEL].num_rows == 1
        assert view.counts()["nodes"] == graph.counts()["nodes"]
        held = set(zip(interactions.user[~kept].tolist(), interactions.item[~kept].tolist(), strict=True))
        hidden = set() if split.hidden_items is None or kept.all() else set(np.flatnonzero(split.hidden_items).tolist())
        cutoff = {}
        if kind in ("per_user_time", "leave_last_out"):
            for user in users:
                times = interactions.timestamp[~kept & (interactions.user == user)]
                cutoff[user] = times.min() if len(times) else None
        elif kind == "global_time" and not kept.all():
            cutoff = dict.fromkeys(range(max(users) + 1), interactions.timestamp[~kept].min())

        def known(
            user: int, item: int, time: int | None, held: Any = held, hidden: Any = hidden, cutoff: Any = cutoff
        ) -> bool:
            late = cutoff.get(user) is not None and (time is None or time >= cutoff[user])
            return (user, item) not in held and item not in hidden and not late

        for key in (HAS_TAG, TAGGED):
            user, item = (column.tolist() for column in graph.event_columns(key) or ())
            times = graph.edges[key]["timestamp"].to_pylist()
            expected = [known(*event) for event in zip(user, item, times, strict=True)]
            assert view.edges[key].equals(graph.edges[key].filter(pa.array(expected, type=pa.bool_())))


def test_a_canary_on_held_out_edges_never_sings() -> None:
    rows = [(user, movie, 100 * movie + user) for user in range(6) for movie in range(10)]
    plain = graph_of(rows)
    config = SplitConfig(kind="per_user_time", test=0.2, valid=0.1)
    held = split_interactions(plain, config).mask("valid", "test")
    interactions = plain.interactions
    tags = list(
        zip(interactions.user[held].tolist(), interactions.item[held].tolist(), [None] * int(held.sum()), strict=True)
    )
    graph = graph_of(rows, tags=tags)
    split = split_interactions(graph, config)
    view = split.view(graph, "train")
    assert len(tags) == 18
    assert view.edges[HAS_TAG].num_rows == view.edges[TAGGED].num_rows == 0
    assert view.edges[RATED].equals(split_interactions(plain, config).view(plain, "train").edges[RATED])


def test_hidden_items_lose_every_user() -> None:
    rows = [(user, movie, user) for user in range(6) for movie in range(9)]
    graph = graph_of(rows, tags=[(0, movie, 1) for movie in range(9)], extra=2)
    split = hide_items(graph, fraction=1 / 3, seed=4)
    assert split.hidden_items is not None
    hidden = np.flatnonzero(split.hidden_items)
    assert len(hidden) == 3
    assert split.hidden_items[-2:].sum() == 0  # nobody rated them: hiding them would test nothing
    view = split.view(graph, "train")
    for key in (RATED, TAGGED, HAS_TAG):
        assert not np.isin((view.event_columns(key) or ((), ()))[1], hidden).any()
        assert view.edges[key].num_rows > 0
    assert split.seen(graph, "test").counts.tolist() == [3] * 6 + [0, 0]
    again = hide_items(graph_of(rows, extra=7), fraction=1 / 3, seed=4)
    assert again.hidden_items is not None
    # By id: the new movies sort in between, and move positions.
    assert np.flatnonzero(again.hidden_items).tolist() != hidden.tolist()
    more = graph_of(rows, extra=7).items.take(np.flatnonzero(again.hidden_items)).to_pylist()
    assert more == graph.items.take(hidden).to_pylist()
    other = hide_items(graph, fraction=1 / 3, seed=5).hidden_items
    assert other is not None
    assert np.flatnonzero(other).tolist() != hidden.tolist()


def test_positives_are_liked_and_seen_is_all() -> None:
    graph = graph_of([(0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 4), (1, 1, 1)])
    split = split_interactions(graph, SplitConfig(test=0.25, valid=0.25))
    assert split.seen(graph, "train")[0].tolist() == [0, 1]
    assert split.positives(graph, "train")[0].tolist() == [1]  # an even movie is rated 3
    assert split.positives(graph, "test")[0].tolist() == [3]
    assert split.seen(graph, "train")[1].tolist() == [1]


def test_given_files_are_taken_as_they_are() -> None:
    rows = [(0, movie, 0) for movie in range(4)]
    names = pa.array(["train", "test", "valid", "train"])
    assert split_interactions(graph_of(rows, part=names), SplitConfig(kind="files")).part.tolist() == [0, 2, 1, 0]
    many = [(user, movie, 0) for user in range(20) for movie in range(20)]
    graph = graph_of(many, part=pa.array(["train", "test"] * 200))
    counts = split_interactions(graph, SplitConfig(kind="files", valid=0.5)).counts()
    assert counts["test"] == 200
    assert 50 < counts["valid"] < 150
    assert split_interactions(graph, SplitConfig(kind="files", valid=0.0)).counts()["valid"] == 0
    given = graph_of(many, part=pa.array(["train", "valid"] * 200))  # a validation part that is given is not added to
    assert split_interactions(given, SplitConfig(kind="files", valid=0.5)).counts() == {
        "train": 200,
        "valid": 200,
        "test": 0,
    }


def test_a_table_names_the_part_of_each_interaction() -> None:
    rows = [(0, movie, 0) for movie in range(4)]
    graph = graph_of(rows, part=pa.array(["train", "test", "valid", "train"]))
    split = replace(split_interactions(graph, SplitConfig(kind="files")), part=np.array([0, 2, 1, 3], dtype=np.int8))
    assert split.to_table(graph).to_pydict() == {
        "user_id": ["u0"] * 4,
        "item_id": ["m0", "m1", "m2", "m3"],
        "part": ["train", "test", "valid", "unused"],
    }
    assert split.counts() == {"train": 1, "valid": 1, "test": 1}


def test_a_view_keeps_the_repeats_of_its_parts_only() -> None:
    rows = [(0, movie, 0) for movie in range(3)]
    plain = graph_of(rows, part=pa.array(["train", "valid", "test"]))
    split = split_interactions(plain, SplitConfig(kind="files"))
    assert split.view(plain, "train").repeats == {}
    repeats = pa.table({"src": [0, 0, 0], "dst": [0, 1, 2], "part": ["train", None, "test"]})
    graph = KnowledgeGraph(plain.schema, plain.nodes, plain.edges, {RATED: repeats})
    view = split.view(graph, "train", "valid")
    assert view.repeats[RATED]["dst"].to_pylist() == [0, 1]  # without a part it may be of any
    assert view.edges[RATED]["dst"].to_pylist() == [0, 1]


def test_what_cannot_be_split_is_refused() -> None:
    rows = [(0, 0, 1), (0, 1, 2)]
    with pytest.raises(InvalidDataError, match=r"given as train, valid and test files; these have only src, dst"):
        split_interactions(graph_of(rows), SplitConfig(kind="files"))
    with pytest.raises(InvalidDataError, match="unknown parts 'dev'"):
        split_interactions(graph_of(rows, part=pa.array(["train", "dev"])), SplitConfig(kind="files"))
    untimed = graph_of([(0, 0, None), (0, 1, 2)])  # type: ignore[list-item]
    for kind in ("per_user_time", "global_time", "leave_last_out"):
        with pytest.raises(InvalidDataError, match=f"'{kind}' needs a timestamp"):
            split_interactions(untimed, SplitConfig(kind=kind))  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match=r'use split\.kind = "files"'):
        split_interactions(graph_of([(0, 0, None)], part=pa.array(["train"])), SplitConfig())  # type: ignore[list-item]
    assert split_interactions(untimed, SplitConfig(kind="random")).counts()["train"] >= 0
    for wrong in ({"test": 1.0}, {"valid": -0.1}, {"test": 0.6, "valid": 0.4}):
        with pytest.raises(ConfigError, match=r"split"):
            SplitConfig(**wrong)


def test_events_of_unknown_time_are_held_out_of_a_split_by_time(toy_graph: KnowledgeGraph) -> None:
    key = next(key for key in toy_graph.edges if key.name == "tagged")
    bare = toy_graph.edges[key].drop_columns(["timestamp"])
    graph = KnowledgeGraph(toy_graph.schema, toy_graph.nodes, {**toy_graph.edges, key: bare})
    by_time = split_interactions(graph, SplitConfig(kind="per_user_time"))
    assert by_time.view(graph, "train").edges[key].num_rows == 0
    assert by_time.view(graph, "train", "valid", "test").edges[key].num_rows == bare.num_rows
    at_random = split_interactions(graph, SplitConfig(kind="random"))
    assert at_random.view(graph, "train").edges[key].num_rows > 0
