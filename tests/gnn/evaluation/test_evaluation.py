"""Who is evaluated on what."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.held_out import FEW, cold_item_groups, evaluate, user_groups
from kg import KnowledgeGraph, SplitConfig, hide_items, split_interactions
from kg.errors import InvalidDataError


def test_warm_users_are_not_shown_what_they_know(toy_graph: KnowledgeGraph) -> None:
    split = split_interactions(toy_graph, SplitConfig())
    group = next(g for g in user_groups(toy_graph, split) if g.name == "warm users")
    interactions = toy_graph.interactions
    for row, user in enumerate(group.user):
        mine = interactions.user == user
        assert set(group.seen[row]) == set(interactions.item[mine & (split.part < 2)])
        assert set(group.truth[row]) == set(interactions.item[mine & (split.part == 2) & interactions.positive])
        assert not set(group.truth[row]) & set(group.seen[row])


def test_new_users_give_their_first_five(toy_graph: KnowledgeGraph) -> None:
    interactions = toy_graph.interactions
    part = np.where(interactions.user < 5, 2, 0).astype(np.int8)
    split = split_interactions(toy_graph, SplitConfig(kind="random"))
    split = type(split)(part=part, temporal="global")
    group = next(g for g in user_groups(toy_graph, split) if g.name == "new users")
    assert not group.in_training
    assert set(group.user) <= set(range(5))
    for row, user in enumerate(group.user):
        rows = np.flatnonzero(interactions.user == user)
        rows = rows[np.lexsort((interactions.item[rows], interactions.timestamp[rows]))]
        first, rest = rows[:5], rows[5:]
        assert set(group.seen[row]) == set(interactions.item[first])
        assert set(group.history[row]) == set(interactions.item[first[interactions.positive[first]]])
        assert set(group.truth[row]) == set(interactions.item[rest[interactions.positive[rest]]])


def test_a_perfect_ranker_scores_one_and_a_blind_one_zero(toy_graph: KnowledgeGraph) -> None:
    split = split_interactions(toy_graph, SplitConfig())
    group = user_groups(toy_graph, split)[0]
    popularity = np.bincount(toy_graph.interactions.item, minlength=len(toy_graph.items))

    perfect = np.stack(
        [
            np.pad(group.truth[row][:20], (0, 20 - len(group.truth[row][:20])), constant_values=-1)
            for row in range(len(group))
        ]
    )
    result = evaluate(perfect, group, ks=(10, 20), popularity=popularity, num_users=30)
    assert result.mean("ndcg@10") == pytest.approx(1)
    assert result.mean("recall@20") == pytest.approx(1)
    blind = evaluate(np.full((len(group), 20), -1), group, popularity=popularity, num_users=30)
    assert blind.mean("recall@20") == 0
    assert set(result.summary()) >= {"users", "map@10", "mrr@20", "coverage@20", "novelty@20", "long_tail@10"}


def test_of_many_users_a_sample_is_asked_the_same_one_when_others_come(toy_graph: KnowledgeGraph) -> None:
    split = split_interactions(toy_graph, SplitConfig())
    everybody = {group.name: group for group in user_groups(toy_graph, split)}
    whole = everybody["warm users"]
    asked = {group.name: group for group in user_groups(toy_graph, split, sample=7)}
    warm = asked["warm users"]
    assert (len(warm), warm.drawn_from) == (7, len(whole))
    assert (whole.drawn_from, everybody["users with few likes"].drawn_from) == (None, None)
    place = np.searchsorted(whole.user, warm.user)
    assert np.array_equal(whole.user[place], warm.user)
    for drawn, of_all in ((warm.truth, whole.truth), (warm.seen, whole.seen)):
        assert [list(drawn[row]) for row in range(7)] == [list(of_all[row]) for row in place]
    # Who is drawn depends on the own id alone: one user more in the sample leaves the others in it.
    assert set(warm.user) < set(user_groups(toy_graph, split, sample=8)[0].user)
    assert user_groups(toy_graph, split, sample=len(whole))[0].drawn_from is None


def test_users_with_few_likes_are_those_of_the_sample(toy_graph: KnowledgeGraph) -> None:
    interactions = toy_graph.interactions
    kept = np.where(interactions.user % 2 == 0, 0, -1)  # of every other user only the first five are in training
    first = np.arange(len(interactions)) - np.searchsorted(interactions.user, interactions.user) < 5
    test = np.arange(len(interactions)) - np.searchsorted(interactions.user, interactions.user, side="right") == -1
    part = np.where(test, 2, np.where(first, 0, kept)).astype(np.int8)
    split = type(split_interactions(toy_graph, SplitConfig(kind="random")))(part=part, temporal=None)
    likes = split.positives(toy_graph, "train").counts
    everybody = {group.name: group for group in user_groups(toy_graph, split)}
    sample = {group.name: group for group in user_groups(toy_graph, split, sample=12)}
    few = sample["users with few likes"]
    assert (
        few.drawn_from == len(everybody["users with few likes"]) == (likes[everybody["warm users"].user] <= FEW).sum()
    )
    assert list(few.user) == [user for user in sample["warm users"].user if likes[user] <= FEW]
    whole, rows = few.part_of
    assert whole is sample["warm users"]
    assert np.array_equal(whole.user[rows], few.user)


def test_cold_items_are_ranked_among_all_and_among_themselves(toy_graph: KnowledgeGraph) -> None:
    split = hide_items(toy_graph, fraction=0.2)
    everything, among = cold_item_groups(toy_graph, split)
    assert everything.candidates is None
    assert split.hidden_items is not None
    assert set(among.candidates) == set(np.flatnonzero(split.hidden_items))
    assert all(split.hidden_items[item] for item in everything.truth.values)


def test_cold_items_need_a_mask(toy_graph: KnowledgeGraph) -> None:
    with pytest.raises(InvalidDataError, match="hide_items"):
        cold_item_groups(toy_graph, split_interactions(toy_graph, SplitConfig()))
