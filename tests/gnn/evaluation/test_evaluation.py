"""Who is evaluated on what."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.held_out import Group, cold_item_groups, evaluate, user_groups
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

    def perfect(group: Group, k: int) -> np.ndarray:
        return np.stack(
            [
                np.pad(group.truth[row][:k], (0, k - len(group.truth[row][:k])), constant_values=-1)
                for row in range(len(group))
            ]
        )

    result = evaluate(perfect, group, ks=(10, 20), popularity=popularity, num_users=30)
    assert result.mean("ndcg@10") == pytest.approx(1)
    assert result.mean("recall@20") == pytest.approx(1)
    blind = evaluate(lambda g, k: np.full((len(g), k), -1), group, popularity=popularity, num_users=30)
    assert blind.mean("recall@20") == 0
    assert set(result.summary()) >= {"users", "map@10", "mrr@20", "coverage@20", "novelty@20", "long_tail@10"}


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
