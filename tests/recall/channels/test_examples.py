"""Liked and disliked examples: each channel's score is linear in them, and its shares say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gnn.sequence.models import MODELS
from kg.arrays import RaggedArray
from recall.contracts import NoShares, Query
from recall.contracts.history import DISLIKED
from tests.recall.channels.making import CASES, SAME_FOR_ALL, made

WHOLE = ("gcn", "overlooked", *(model.name.lower() for model in MODELS.values()))  # scores that do not split
LIKED, DISLIKED_ITEMS = [1, 5, 9, 14], [2, 30]


@pytest.fixture(scope="module", params=[*CASES, "fusion"])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def pipeline(case, graph):
    return made(case, graph)


def person(liked, disliked=()):
    return Query(
        key=["somebody"],
        user=np.array([-1]),
        history=RaggedArray.from_lists([liked]),
        disliked=RaggedArray.from_lists([disliked]) if len(disliked) else None,
    )


def scores(channel, query):
    return channel.score(query).at(np.arange(40)[None])[0].astype(np.float64)


def test_a_disliked_example_counts_against_what_is_like_it(case, pipeline):
    for name, channel in pipeline.channels.items():
        alone, against = scores(channel, person(LIKED)), scores(channel, person(LIKED, DISLIKED_ITEMS))
        if not channel.capabilities.dislikes:
            np.testing.assert_array_equal(against, alone)
            continue
        if name == "walk":  # each counts as the newest of a history; popularity does not depend on what anybody likes
            reached = sum(scores(channel, person([item])) - channel._popular for item in DISLIKED_ITEMS)
        elif name in ("lightgcn", "gcn"):  # popularity counts by the length of the vector, which is moved
            moved, liked, disliked = (
                channel._vectors(query)[0]
                for query in (person(LIKED, DISLIKED_ITEMS), person(LIKED), person(DISLIKED_ITEMS))
            )
            np.testing.assert_allclose(moved, liked + DISLIKED * disliked, rtol=1e-4, atol=1e-6)
            continue
        elif getattr(channel.config, "half_life", None):  # what is disliked has no age
            reached = sum(scores(channel, person([item])) for item in DISLIKED_ITEMS)
            if name == "user_knn":  # as one history, whose length counts
                reached = scores(channel, person(DISLIKED_ITEMS))
        else:
            reached = scores(channel, person(DISLIKED_ITEMS))
        np.testing.assert_allclose(against, alone + DISLIKED * reached, rtol=1e-4, atol=1e-5)


def test_they_are_left_out_themselves(pipeline):
    batch = pipeline.recommend(person(LIKED, DISLIKED_ITEMS), k=40)
    assert not set(batch.item) & {*LIKED, *DISLIKED_ITEMS}
    assert len(batch)


def test_shares_add_up_with_the_disliked_below_zero(case, pipeline):
    query = person(LIKED, DISLIKED_ITEMS)
    items = np.arange(0, 40, 3)
    served = pipeline.score(query).at(items[None])[0]
    people = query.take(np.zeros(len(items), dtype=np.int64))
    below = 0
    for item, score, (_, shares, _) in zip(items, served, pipeline.attribute(people, items), strict=True):
        assert shares.score == pytest.approx(float(score), rel=1e-4, abs=1e-5), item
        if isinstance(shares, NoShares):
            assert case in (*WHOLE, *SAME_FOR_ALL)
            continue
        total = shares.own + sum(share.value for share in shares.history) + shares.prior
        if case != "fusion":
            assert total == pytest.approx(shares.score, rel=1e-6, abs=1e-7)
        first = pipeline.history.first_item
        against = [share.value for share in shares.history if share.node - first in DISLIKED_ITEMS]
        below += sum(value < 0 for value in against)
    assert below or case in (*WHOLE, *SAME_FOR_ALL)


def test_dislikes_alone_place_nobody(case, pipeline):
    query = person([], DISLIKED_ITEMS)
    if case in SAME_FOR_ALL:
        assert len(pipeline.recommend(query, k=5)) == 5
    else:
        assert len(pipeline.recommend(query, k=5)) == 0


def test_a_batch_answers_as_each_alone(pipeline):
    queries = [person(LIKED, DISLIKED_ITEMS), person([3]), person([7, 8], [9])]
    together = Query(
        key=["a", "b", "c"],
        user=np.full(3, -1),
        history=RaggedArray.from_lists([query.history[0] for query in queries]),
        disliked=RaggedArray.from_lists([DISLIKED_ITEMS, [], [9]]),
    )
    batch = pipeline.recommend(together, k=10)
    for row, query in enumerate(queries):
        alone = pipeline.recommend(query, k=10)
        np.testing.assert_allclose(batch.score[batch.row == row], alone.score, rtol=1e-4, atol=1e-5)
    plain = pipeline.recommend(replace(together, disliked=None), k=10)
    assert plain.item[plain.row == 1].tolist() == batch.item[batch.row == 1].tolist()
