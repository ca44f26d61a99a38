"""The paths headed "connected by": all there are, with the share of their outer hops; other users are counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.shares import split_scores
from kg import KnowledgeGraph
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, Step, path_exists
from kg.topology.search import PathFinder
from recall.channels import LightGCNChannel
from recall.contracts import Shares
from recall.explain import Explainer, Explanation
from tests.movie_relations import RATED

Model = Callable[..., Embeddings]


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for entry in value.values() for text in strings(entry)]
    if isinstance(value, list | tuple):
        return [text for entry in value for text in strings(entry)]
    return [value] if isinstance(value, str) else []


def users_named(texts: Sequence[str]) -> set[str]:
    return {user for text in texts for user in re.findall(r"\bu\d+\b", text)}


def test_paths_are_all_there_are_and_exist_in_the_tables(toy_graph: KnowledgeGraph, every: list[Explanation]) -> None:
    numbering = Adjacency.of(toy_graph).numbering
    finder = PathFinder(Adjacency.of(toy_graph), max_hops=3, hub_limit=None, excluded=("user",))
    for explanation in every[::12]:
        single = [path for path in explanation.paths if not path.users]
        paths = set()
        for path in single:
            nodes = [
                numbering.span(node.type).start + int(toy_graph.vocabulary(node.type).index([node.id])[0])
                for node in path.nodes
            ]
            steps = tuple(
                Step(a, b, hop.relation, hop.forward) for a, b, hop in zip(nodes, nodes[1:], path.steps, strict=False)
            )
            assert path_exists(toy_graph, Path(steps))
            paths.add(Path(steps))
            assert list(path.cypher.parameters.values())[: len(nodes)] == [node.id for node in path.nodes]
        source = numbering.span("user").start + int(toy_graph.users.index([explanation.user_id])[0])
        target = numbering.span("movie").start + int(toy_graph.items.index([explanation.item_id])[0])
        assert paths == set(finder.between(source, target))
        assert len(paths) == len(single) == explanation.paths_found
        assert (explanation.query is None) == (not paths)


def test_paths_carry_the_share_of_their_outer_hops_once(
    toy_graph: KnowledgeGraph, channel: LightGCNChannel, every: list[Explanation]
) -> None:
    adjacency = Adjacency.of(toy_graph)

    def number(node: Any) -> int:
        return adjacency.numbering.span(node.type).start + int(toy_graph.vocabulary(node.type).index([node.id])[0])

    repeats = 0
    for explanation in every[::3]:
        user = int(toy_graph.users.index([explanation.user_id])[0])
        item = int(toy_graph.items.index([explanation.item_id])[0])
        (shares,) = split_scores(channel.embeddings, adjacency, [(user, item)])
        assert isinstance(shares, Shares)
        left = {(share.node, share.relation): row for row, share in enumerate(shares.history)}
        right = {(share.node, share.relation): row for row, share in enumerate(shares.neighbours)}
        seen: dict[Any, int] = {}
        single = [path for path in explanation.paths if not path.users]
        for place, path in enumerate(single):
            if len(path.steps) == 1:
                assert path.share is None
                continue
            j = left[number(path.nodes[1]), path.steps[0].relation]
            k = right[number(path.nodes[-2]), path.steps[-1].relation]
            assert path.share == pytest.approx(shares.pairs[j, k])
            assert path.repeats == seen.get((j, k))
            seen.setdefault((j, k), place)
            repeats += path.repeats is not None
        ordered = [path.share for path in single if path.share is not None]
        assert ordered == sorted(ordered, reverse=True)
    assert repeats > 0


def test_users_of_both_are_counted_by_hand(
    toy_graph: KnowledgeGraph, channel: LightGCNChannel, every: list[Explanation]
) -> None:
    user, item = toy_graph.positive_edges(RATED)
    likes = {(int(u), int(i)) for u, i in zip(user, item, strict=True)}
    adjacency = Adjacency.of(toy_graph)
    counted = 0
    for explanation in every[::4]:
        me = int(toy_graph.users.index([explanation.user_id])[0])
        it = int(toy_graph.items.index([explanation.item_id])[0])
        (shares,) = split_scores(channel.embeddings, adjacency, [(me, it)])
        assert isinstance(shares, Shares)
        naive = {}
        for movie in range(40):
            if (me, movie) not in likes or movie == it:
                continue
            others = {u for u in range(30) if u != me and (u, movie) in likes and (u, it) in likes}
            if not others:
                continue
            start = adjacency.numbering.span("movie").start
            people = {adjacency.numbering.span("user").start + u for u in others}
            naive[toy_graph.items.ids[movie].as_py()] = (
                len(others),
                sum(
                    shares.pairs[j, k]
                    for j, left in enumerate(shares.history)
                    for k, right in enumerate(shares.neighbours)
                    if (left.node, left.relation) == (start + movie, RATED)
                    and right.node in people
                    and right.relation == RATED
                ),
            )
        shared = {path.nodes[1].id: (path.users, path.share) for path in explanation.paths if path.users}
        assert shared.keys() == naive.keys()
        for name, (count, share) in naive.items():
            assert shared[name][0] == count
            assert shared[name][1] == pytest.approx(share)
            counted += 1
    assert counted > 20


def test_no_other_user_is_named_unless_asked(explainer: Explainer, every: list[Explanation]) -> None:
    assert any(path.users for explanation in every for path in explanation.paths)
    for explanation in every[::3]:
        everything = [*strings(explanation.to_json()), explanation.text, str(explanation), repr(explanation)]
        assert users_named(everything) <= {explanation.user_id}
    named = set()
    for explanation in explainer.explain([("u3", f"m{item}") for item in range(10)], show_users=True):
        named |= users_named([explanation.text])
        for path in explanation.paths:
            assert len(path.user_ids) == path.users
            assert users_named(strings(path.cypher.parameters)) <= {"u3"}
        # the shares of others are listed one by one
        assert not any(reason.users for reason in explanation.neighbours)
    assert named > {"u3"}
