"""Whatever part of the items is excluded, nothing is missing: each channel and a fusion against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kg.arrays import RaggedArray
from kg.errors import ConfigError, UnknownIdError
from recall.contracts import Query
from recall.contracts.history import seen_items
from tests.recall.channels.making import CASES, histories, made, with_countries

ITEMS = 1000
K = 20
SHARES = [0.01, 0.1, 0.5, 0.9, 0.999]


@pytest.fixture(scope="module")
def graph(movie_graph):
    return with_countries(movie_graph(users=40, movies=ITEMS, ratings=30, seed=7))


@pytest.fixture(scope="module", params=[*CASES, "fusion"])
def pipeline(request, graph):
    return made(request.param, graph)


@pytest.fixture(scope="module")
def queries(graph):
    """Some users and an unknown person."""
    users = Query.of_users(np.arange(7), graph.users)
    person = histories(graph, [3, 500, 999])
    return Query(
        key=[*users.key, *person.key],
        user=np.append(users.user, -1),
        history=RaggedArray.from_lists([*([[]] * 7), person.history[0]]),
    )


def allowed_by(share):
    """A random choice of the items that are left."""
    excluded = np.random.default_rng(int(share * 1000)).permutation(ITEMS)[: round(share * ITEMS)]
    return np.setdiff1d(np.arange(ITEMS), excluded)


def ranking(scores, row, keep):
    """Everything that a channel has evidence for, best first, without what is not allowed."""
    everything = scores.top(ITEMS)
    items, values = everything.items[row], everything.scores[row]
    kept = (items >= 0) & np.isin(items, keep)
    return items[kept], values[kept]


def brute_force(pipeline, queries, row, keep):
    """The best items of one request and their scores, from the scores of all items."""
    keep = np.setdiff1d(keep, seen_items(queries, pipeline.history)[row])
    one = queries.take(np.array([row]))
    if not pipeline.fused:
        (channel,) = pipeline.channels.values()
        items, scores = ranking(channel.score(one), 0, keep)
        return items[:K], scores[:K]
    depth = max(K, pipeline.fusion.depth)
    lists = [ranking(channel.score(one), 0, keep)[0][:depth] for channel in pipeline.channels.values()]
    union = np.unique(np.concatenate(lists))
    scores = pipeline.score(one).at(union[None])[0]
    order = np.lexsort((union, -scores))[:K]
    return union[order], scores[order]


def assert_is_brute_force(batch, pipeline, queries, keep_of):
    some = 0
    for row in range(len(queries)):
        items, scores = brute_force(pipeline, queries, row, keep_of(row))
        here = batch.row == row
        np.testing.assert_allclose(batch.score[here], scores, rtol=1e-5, atol=1e-6)
        # Scores that differ by rounding alone may change places; every item that is clearly better is there.
        clear = scores > scores[-1:].max(initial=-np.inf) + 1e-4 * np.abs(scores).max(initial=0)
        assert set(items[clear]) <= set(batch.item[here])
        some += len(items)
    assert len(batch) == some


@pytest.mark.parametrize("share", SHARES)
def test_the_same_items_for_all(pipeline, queries, share):
    keep = allowed_by(share)
    batch = pipeline.recommend(queries, k=K, candidates=keep)
    assert set(batch.item) <= set(keep)
    assert_is_brute_force(batch, pipeline, queries, lambda row: keep)


@pytest.mark.parametrize("share", SHARES)
def test_other_items_for_each(pipeline, queries, share):
    kept = [np.sort(np.random.default_rng(row).permutation(ITEMS)[round(share * ITEMS) :]) for row in range(8)]
    excluded = RaggedArray.from_lists([np.setdiff1d(np.arange(ITEMS), keep) for keep in kept])
    without = pipeline.recommend(replace(queries, exclude=excluded), k=K)
    among = pipeline.recommend(replace(queries, candidates=RaggedArray.from_lists(kept)), k=K)
    for batch in (without, among):
        assert_is_brute_force(batch, pipeline, queries, lambda row: kept[row])


def test_exclusions_come_on_top_of_what_is_seen(pipeline, queries):
    best = pipeline.recommend(queries, k=3)
    first = RaggedArray.from_pairs(best.row, best.item, num_rows=len(queries))
    after = pipeline.recommend(replace(queries, exclude=first), k=K)
    assert not set(zip(after.row, after.item, strict=True)) & set(zip(best.row, best.item, strict=True))
    seen = seen_items(queries, pipeline.history)
    assert not seen.contains(after.item.reshape(1, -1).repeat(len(queries), 0))[after.row, np.arange(len(after))].any()
    with_seen = pipeline.recommend(replace(queries, exclude=first), k=ITEMS, exclude_seen=False)
    assert not set(zip(with_seen.row, with_seen.item, strict=True)) & set(zip(best.row, best.item, strict=True))
    assert len(with_seen) > len(after)


def test_each_request_has_its_own_k(pipeline, queries):
    counts = np.array([1, 5, 2, 5, 200, 1, 7, 3])
    together = pipeline.recommend(replace(queries, k=counts), k=1)
    for row, count in enumerate(counts.tolist()):
        alone = pipeline.recommend(queries.take(np.array([row])), k=count)
        assert together.item[together.row == row].tolist() == alone.item.tolist()
        np.testing.assert_array_equal(together.rank[together.row == row], alone.rank)


def test_nothing_left_is_no_error(pipeline, queries):
    nothing = RaggedArray.empty(len(queries))
    assert len(pipeline.recommend(replace(queries, candidates=nothing), k=5)) == 0
    everything = RaggedArray.from_lists([np.arange(ITEMS)] * len(queries))
    assert len(pipeline.recommend(replace(queries, exclude=everything), k=5)) == 0


def test_candidates_for_each_and_for_all_hold_together(pipeline, queries):
    own = RaggedArray.from_lists([np.arange(row, ITEMS, 2) for row in range(len(queries))])
    batch = pipeline.recommend(replace(queries, candidates=own), k=ITEMS, candidates=np.arange(0, ITEMS, 5))
    for row in range(len(queries)):
        items = batch.item[batch.row == row]
        assert ((items % 5 == 0) & (items % 2 == row % 2)).all()
    assert len(batch)


def test_positions_and_counts_that_are_not_there(queries, graph):
    pipeline = made("popularity", graph)
    outside = RaggedArray.from_lists([[ITEMS]] * len(queries))
    for name in ("exclude", "candidates"):
        with pytest.raises(UnknownIdError, match=f"item {ITEMS} was named"):
            pipeline.recommend(replace(queries, **{name: outside}), k=3)
    with pytest.raises(ConfigError, match="k = 0 must be at least 1"):
        pipeline.recommend(replace(queries, k=np.zeros(len(queries), dtype=np.int64)), k=3)


def test_few_candidates_of_many_requests_need_little_memory(graph, monkeypatch):
    """The walk scores all items before it takes the few that are allowed: never of all requests at once."""
    import recall.channels.walk.start

    pipeline = made("walk", graph)
    everybody = Query.of_users(np.arange(40), graph.users)
    whole = pipeline.recommend(everybody, k=5, candidates=np.arange(9))
    monkeypatch.setattr(recall.channels.walk.start, "BLOCK_SCORES", 3 * ITEMS)
    held = []
    of_blocks = recall.channels.walk.channel.np.tile

    def tile(values, shape):
        held.append(shape[0])
        return of_blocks(values, shape)

    monkeypatch.setattr(recall.channels.walk.channel.np, "tile", tile)
    pieces = pipeline.recommend(everybody, k=5, candidates=np.arange(9))
    assert max(held) <= 3
    np.testing.assert_array_equal(pieces.item, whole.item)
