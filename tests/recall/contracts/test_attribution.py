"""Scores that are sums over paths: what the paths say of first hops."""

from __future__ import annotations

import numpy as np
import pytest

from kg import RelationKey
from recall.contracts import REQUEST_TEXT, FusedShares, Part, PathShares, StepKind, StepPaths
from recall.fusion import fuse_shares, scale_shares

LIKES = RelationKey("user", "likes", "movie")
GENRE = RelationKey("movie", "genre", "genre")
SEQUEL = RelationKey("movie", "sequel", "movie")
# Movies are 0 to 9, genres 10 to 13, users 20 to 29; the item is movie 9.
ITEM = 9


def steps() -> tuple[StepPaths, ...]:
    rng = np.random.default_rng(2)

    def of(name, kind, shape, columns):
        count = len(columns[0])
        nodes = np.column_stack([*columns, np.full(count, ITEM)]).astype(np.int64)
        return StepPaths(name=name, kind=kind, weight=0.4, shape=shape, nodes=nodes, values=rng.normal(size=count))

    return (
        of("through_users", StepKind.USERS, ((LIKES, False), (LIKES, True)), ([0, 0, 1, 2], [20, 21, 20, 22])),
        of("genre", StepKind.RELATION, ((GENRE, True), (GENRE, False)), ([0, 1, 1], [10, 10, 11])),
        of("sequel", StepKind.DIRECT, ((SEQUEL, True),), ([0],)),
        of("next", StepKind.NEXT, ((LIKES, False), (LIKES, True)), ([0, 2], [20, 23])),
        of("text", StepKind.TEXT, (), ([1, 2, REQUEST_TEXT],)),
        of("named genre", StepKind.ATTRIBUTE, ((GENRE, False),), ([11, 12],)),
        of("dislike", StepKind.DISLIKE, ((GENRE, True), (GENRE, False)), ([5], [10])),
        of("nothing", StepKind.RELATION, ((GENRE, True), (GENRE, False)), ([], [])),
    )


def test_first_hops_are_sums_over_paths() -> None:
    made = steps()
    shares = PathShares.of(made, prior=0.25, interaction=LIKES)
    history, neighbours, pairs, cross = {}, {}, {}, [0.0, 0.0, 0.0]
    total = 0.25
    for step in made:  # a loop over all paths, one at a time
        for nodes, value in zip(step.nodes.tolist(), step.values.tolist(), strict=True):
            total += value
            asked = step.kind == StepKind.ATTRIBUTE or nodes[0] == REQUEST_TEXT
            near = None if asked else (nodes[0], LIKES)
            far = (nodes[-2], step.shape[-1][0]) if step.shape else None
            if near:
                history[near] = history.get(near, 0.0) + value
            if far:
                neighbours[far] = neighbours.get(far, 0.0) + value
            if near and far:
                pairs[near, far] = pairs.get((near, far), 0.0) + value
            else:
                cross[2 if near else 1 if far else 0] += value
    assert shares.score == pytest.approx(total)
    assert {share[:2]: share.value for share in shares.history} == pytest.approx(history)
    assert {share[:2]: share.value for share in shares.neighbours} == pytest.approx(neighbours)
    assert len(shares.history) == len(history)
    assert len(shares.neighbours) == len(neighbours)
    for row, near in enumerate(shares.history):
        for column, far in enumerate(shares.neighbours):
            assert shares.pairs[row, column] == pytest.approx(pairs.get((near[:2], far[:2]), 0.0))
    assert shares.cross == pytest.approx(cross)
    assert shares.own + sum(share.value for share in shares.history) + shares.prior == pytest.approx(total)
    assert shares.item_own + sum(share.value for share in shares.neighbours) + shares.prior == pytest.approx(total)
    assert shares.pairs.sum() + sum(shares.cross) + shares.prior == pytest.approx(total)


def test_many_likes_of_somebody_who_likes_much_take_no_table_of_both() -> None:
    count = 40_000  # a table of both would be 12 GB
    nodes = np.column_stack([np.arange(count), np.arange(count) + 50_000, np.full(count, 99_999)])
    step = StepPaths(
        name="through_users",
        kind=StepKind.USERS,
        weight=1.0,
        shape=((LIKES, False), (LIKES, True)),
        nodes=nodes,
        values=np.full(count, 0.5),
    )
    shares = PathShares.of([step], prior=0.0, interaction=LIKES)
    assert shares.score == pytest.approx(count / 2)
    assert shares.pairs.shape == (count, count)
    fused = fuse_shares([Part("walk", 1.0, shares), Part("again", 1.0, shares)])
    assert isinstance(fused, FusedShares)
    assert fused.pairs.shape == (count, count)
    assert fused.pairs.sum() == pytest.approx(count)


def test_without_paths_there_is_popularity_alone() -> None:
    shares = PathShares.of([], prior=0.5, interaction=LIKES)
    assert (shares.score, shares.own, shares.item_own, shares.history, shares.neighbours) == (0.5, 0.0, 0.0, (), ())
    assert shares.pairs.shape == (0, 0)


def test_paths_are_scaled_and_kept_in_a_fusion() -> None:
    shares = PathShares.of(steps(), prior=0.25, interaction=LIKES)
    scaled = scale_shares(shares, -3.0)
    assert isinstance(scaled, PathShares)
    for before, after in zip(shares.steps, scaled.steps, strict=True):
        np.testing.assert_allclose(after.values, -3.0 * before.values)
        assert after.nodes is before.nodes
        assert after.weight == before.weight
    assert scaled.score == pytest.approx(-3.0 * shares.score)
    fused = fuse_shares([Part("walk", 1.0, shares), Part("again", 2.0, scaled)])
    assert isinstance(fused, FusedShares)
    assert [part.shares for part in fused.parts] == [shares, scaled]
    assert fused.score == pytest.approx(-2.0 * shares.score)
