"""The reasons headed "because of": shares of first hops add up to the score; what part of it is linked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.shares import split_scores
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph
from kg.topology.adjacency import Adjacency
from recall.channels import LightGCNChannel, LightGCNChannelConfig
from recall.contracts import FitData, Query, Shares
from recall.explain import Explainer, Explanation
from recall.pipeline import Pipeline

Model = Callable[..., Embeddings]


def absolute(graph: KnowledgeGraph, channel: LightGCNChannel, explanation: Explanation) -> float:
    pair = (int(graph.users.index([explanation.user_id])[0]), int(graph.items.index([explanation.item_id])[0]))
    (shares,) = split_scores(channel.embeddings, Adjacency.of(graph), [pair])
    assert isinstance(shares, Shares)
    return float(np.abs(shares.pairs).sum()) + sum(map(abs, shares.cross))


def test_shares_add_up_to_the_score_that_was_recommended(toy_graph: KnowledgeGraph) -> None:
    config = LightGCNChannelConfig(dim=8, layers=2, training=TrainingConfig(batch_size=64))
    data = FitData.of(toy_graph, recipe={"steps": 5}, context=RunContext(device="cpu"))
    trained = LightGCNChannel(config).fit(data)
    pipeline = Pipeline([trained], data.history)
    queries = Query.of_users(np.arange(10), toy_graph.users)
    rows = pipeline.recommend(queries, k=6).to_arrow(queries.key, toy_graph.items).to_pylist()
    assert len(rows) == 60
    explanations = Explainer(toy_graph, pipeline).explain([(row["user_id"], row["item_id"]) for row in rows])
    for row, explanation in zip(rows, explanations, strict=True):
        tolerance = 1e-4 * absolute(toy_graph, trained, explanation)
        assert explanation.reason is None
        for reasons in (explanation.history, explanation.neighbours):
            assert abs(sum(reason.share for reason in reasons) - row["score"]) <= tolerance
        assert abs(explanation.score - row["score"]) <= tolerance
        assert explanation.source == row["source"]


def test_because_names_every_first_hop_once(toy_graph: KnowledgeGraph, every: list[Explanation]) -> None:
    adjacency = Adjacency.of(toy_graph)
    for explanation in every[::7]:
        node = adjacency.numbering.span("user").start + int(toy_graph.users.index([explanation.user_id])[0])
        at = adjacency.at(node)
        hops = {
            (
                adjacency.relations[kind],
                toy_graph.items.ids[int(other - adjacency.numbering.span("movie").start)].as_py(),
            )
            for kind, other in zip(adjacency.relation[at], adjacency.neighbour[at], strict=True)
        }
        named = [(r.relation, r.node.id) for r in explanation.history if r.node is not None]
        assert len(named) == len(set(named))
        assert set(named) == hops
        assert explanation.history[-1].relation is None
        shares = [reason.share for reason in explanation.history[:-1]]
        assert shares == sorted(shares, reverse=True)


def test_fractions_are_shares_of_the_score(every: list[Explanation]) -> None:
    signs = set()
    for explanation in every:
        signs.add(explanation.score > 0)
        for reason in (*explanation.history, *explanation.neighbours):
            if explanation.score > 0:
                assert reason.fraction == pytest.approx(reason.share / explanation.score)
            else:
                assert reason.fraction is None
                assert "% of the score" not in reason.line
    assert signs == {True, False}


def test_linked_fraction_against_a_plain_search(
    toy_graph: KnowledgeGraph, channel: LightGCNChannel, every: list[Explanation]
) -> None:
    adjacency = Adjacency.of(toy_graph)
    edges = set()
    for key in toy_graph.edges:
        for source, target in zip(*toy_graph.positive_edges(key), strict=True):
            a, b = (
                adjacency.numbering.span(key.source).start + source,
                adjacency.numbering.span(key.target).start + target,
            )
            edges |= {(int(a), int(b)), (int(b), int(a))}
    fractions = []
    for explanation in every[::5]:
        user = int(toy_graph.users.index([explanation.user_id])[0])
        item = int(toy_graph.items.index([explanation.item_id])[0])
        ends = {adjacency.numbering.span("user").start + user, adjacency.numbering.span("movie").start + item}
        (shares,) = split_scores(channel.embeddings, adjacency, [(user, item)])
        assert isinstance(shares, Shares)
        linked = linked_absolute = 0.0
        for j, left in enumerate(shares.history):
            for k, right in enumerate(shares.neighbours):
                joined = left.node == right.node or (left.node, right.node) in edges
                if joined and not {left.node, right.node} & ends:
                    linked += shares.pairs[j, k]
                    linked_absolute += abs(shares.pairs[j, k])
        total = float(np.abs(shares.pairs).sum()) + sum(map(abs, shares.cross))
        assert explanation.linked == pytest.approx(linked)
        assert explanation.linked_fraction == pytest.approx(linked_absolute / total)
        fractions.append(linked_absolute / total)
    assert 0 < max(fractions) < 1
