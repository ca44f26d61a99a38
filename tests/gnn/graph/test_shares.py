from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnn.graph.embeddings import Embeddings
from gnn.graph.shares import Halves, NoShares, Shares, split_scores
from kg import KnowledgeGraph, RelationKey
from kg.errors import ArtifactError, UnknownIdError
from kg.topology.adjacency import Adjacency

Model = Callable[..., Embeddings]


def naive_split(embeddings: Embeddings, adjacency: Adjacency, user: int, item: int) -> dict[str, Any]:
    """Every product of a term of z_u with a term of z_i, in plain Python floats."""
    linear = embeddings.linear
    assert linear is not None
    u = embeddings.numbering.span(embeddings.user_type).start + user
    i = embeddings.numbering.span(embeddings.item_type).start + item
    scale = float(embeddings.item_scale[item])

    def hops(node: int) -> list[tuple[int, RelationKey, list[float]]]:
        hops = []
        for at in range(adjacency.offsets[node], adjacency.offsets[node + 1]):
            key = adjacency.relations[adjacency.relation[at]]
            if key not in linear.relations:
                continue
            other = int(adjacency.neighbour[at])
            degree = adjacency.degree[adjacency.relation[at]]
            weight = float(linear.weights[linear.relations.index(key)])
            a = weight / (float(degree[node]) * float(degree[other])) ** 0.5
            hops.append((other, key, [a * float(x) for x in linear.tail[other]]))
        return hops

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) * scale

    own_u = [float(linear.alphas[0]) * float(x) for x in linear.base[u]]
    own_i = [float(linear.alphas[0]) * float(x) for x in linear.base[i]]
    left, right = hops(u), hops(i)
    pairs = [[dot(a, b) for _, _, b in right] for _, _, a in left]
    cross = (
        dot(own_u, own_i),
        sum(dot(own_u, b) for _, _, b in right),
        sum(dot(a, own_i) for _, _, a in left),
    )
    z_u = [sum(column) for column in zip(own_u, *(a for _, _, a in left), strict=True)]
    prior = sum(x * x for x in z_u) ** 0.5 * float(embeddings.item_prior[item])
    return {
        "left": [(node, key) for node, key, _ in left],
        "right": [(node, key) for node, key, _ in right],
        "pairs": pairs,
        "cross": cross,
        "prior": prior,
        "score": sum(map(sum, pairs)) + sum(cross) + prior,
        "absolute": sum(abs(x) for row in pairs for x in row) + sum(map(abs, cross)) + abs(prior),
        "history": [sum(row) + dot(a, own_i) for row, (_, _, a) in zip(pairs, left, strict=True)],
        "neighbours": [sum(row[n] for row in pairs) + dot(own_u, b) for n, (_, _, b) in enumerate(right)],
    }


def shares_of(embeddings: Embeddings, adjacency: Adjacency, user: int, item: int) -> Shares:
    (shares,) = split_scores(embeddings, adjacency, [(user, item)])
    assert isinstance(shares, Shares)
    return shares


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    alphas=st.lists(st.floats(0.0, 1.0, width=16), min_size=2, max_size=4).filter(any).map(tuple),
    beta=st.sampled_from([0.0, 0.5, 1.0]),
    prior=st.sampled_from([0.0, 0.1]),
    user=st.integers(0, 29),
    item=st.integers(0, 39),
)
def test_shares_equal_a_plain_double_loop(
    toy_graph: KnowledgeGraph,
    linear_model: Model,
    seed: int,
    alphas: tuple[float, ...],
    beta: float,
    prior: float,
    user: int,
    item: int,
) -> None:
    embeddings = linear_model(toy_graph, seed=seed, alphas=alphas, beta=beta, prior=prior)
    adjacency = Adjacency.of(toy_graph)
    shares = shares_of(embeddings, adjacency, user, item)
    naive = naive_split(embeddings, adjacency, user, item)
    tolerance = 1e-9 * naive["absolute"]
    assert [(s.node, s.relation) for s in shares.history] == naive["left"]
    assert [(s.node, s.relation) for s in shares.neighbours] == naive["right"]
    np.testing.assert_allclose(shares.pairs.ravel(), np.ravel(naive["pairs"]), rtol=0, atol=tolerance)
    np.testing.assert_allclose(shares.cross, naive["cross"], rtol=0, atol=tolerance)
    np.testing.assert_allclose([s.value for s in shares.history], naive["history"], rtol=0, atol=tolerance)
    np.testing.assert_allclose([s.value for s in shares.neighbours], naive["neighbours"], rtol=0, atol=tolerance)
    sums = (
        shares.score,
        shares.own + sum(s.value for s in shares.history) + shares.prior,
        shares.item_own + sum(s.value for s in shares.neighbours) + shares.prior,
        shares.pairs.sum() + sum(shares.cross) + shares.prior,
    )
    np.testing.assert_allclose(sums, naive["score"], rtol=0, atol=tolerance)
    assert shares.prior == pytest.approx(naive["prior"], abs=tolerance)
    served = float(embeddings.query_vectors(embeddings.users)[user] @ embeddings.index_vectors[item])
    assert abs(served - shares.score) <= 1e-4 * naive["absolute"]


def test_relations_beyond_the_model_have_no_share(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    keys = tuple(toy_graph.edges)[:2]
    embeddings = linear_model(toy_graph, relations=keys)
    adjacency = Adjacency.of(toy_graph)
    shares = shares_of(embeddings, adjacency, 3, 4)
    assert {s.relation for s in (*shares.history, *shares.neighbours)} <= set(keys)
    naive = naive_split(embeddings, adjacency, 3, 4)
    assert abs(shares.score - naive["score"]) <= 1e-9 * naive["absolute"]


def test_a_neighbour_under_two_relations_has_two_shares(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings, adjacency = linear_model(toy_graph), Adjacency.of(toy_graph)
    hops = [(s.node, s.relation) for user in range(30) for s in shares_of(embeddings, adjacency, user, 0).history]
    nodes = [[node for node, _ in hops if node == at] for at in {node for node, _ in hops}]
    assert max(map(len, nodes)) > 1  # somebody tagged what they liked
    (shares,) = [
        s
        for s in (shares_of(embeddings, adjacency, user, 0) for user in range(30))
        if len({h.node for h in s.history}) < len(s.history)
    ][:1]
    assert len({(h.node, h.relation) for h in shares.history}) == len(shares.history)


def test_nodes_without_edges_have_only_their_own_share(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    bare = toy_graph.keep_edges(
        {
            key: np.asarray(table["src"]) != 5
            for key, table in toy_graph.edges.items()
            if key.source in ("user", "movie")
        }
    )
    embeddings, adjacency = linear_model(bare), Adjacency.of(bare)
    shares = shares_of(embeddings, adjacency, 5, 7)
    assert shares.history == ()
    assert shares.pairs.shape == (0, len(shares.neighbours))
    assert shares.own == pytest.approx(shares.score)
    assert shares.cross[2] == 0


def test_a_batch_gives_what_single_pairs_give(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings, adjacency = linear_model(toy_graph), Adjacency.of(toy_graph)
    pairs = [(1, 2), (1, 3), (0, 2)]
    batch = split_scores(embeddings, adjacency, pairs)
    assert [s.score for s in batch] == [shares_of(embeddings, adjacency, *pair).score for pair in pairs]
    assert split_scores(embeddings, adjacency, []) == []


def test_only_placed_nodes_receive_along_relations_that_place(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    trained, adjacency = linear_model(toy_graph), Adjacency.of(toy_graph)
    assert trained.linear is not None
    items = trained.numbering.span(trained.item_type)
    key = next(key for key in trained.linear.relations if key.name == "genre")
    placed = np.zeros(len(trained.numbering), dtype=bool)
    placed[items.start + 4] = True
    placing = replace(trained, linear=replace(trained.linear, placing=(key,), placed=placed))
    before, after = (shares_of(of, adjacency, 3, 4) for of in (trained, placing))
    assert after.neighbours == before.neighbours
    assert key in {share.relation for share in after.neighbours}
    before, after = (shares_of(of, adjacency, 3, 5) for of in (trained, placing))
    assert key in {share.relation for share in before.neighbours}
    kept = [share for share in before.neighbours if share.relation != key]
    assert [(s.node, s.relation, s.value) for s in after.neighbours] == [(s.node, s.relation, s.value) for s in kept]
    assert after.score == pytest.approx(after.item_own + sum(share.value for share in kept))


def test_the_arithmetic_is_in_the_asked_type(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings, adjacency = linear_model(toy_graph), Adjacency.of(toy_graph)
    (exact,), (coarse,) = (split_scores(embeddings, adjacency, [(1, 2)], dtype=t) for t in (np.float64, np.float32))
    assert exact.score != coarse.score
    assert exact.score == pytest.approx(coarse.score, rel=1e-4)
    for dtype in (np.float64, np.float32):
        half = Halves(embeddings, adjacency, dtype=dtype).of_item(2)
        assert (half.own.dtype, half.hops.dtype) == (dtype, dtype)


def test_a_model_that_is_not_linear_says_so(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings = replace(linear_model(toy_graph, prior=0.1), linear=None)
    (answer,) = split_scores(embeddings, Adjacency.of(toy_graph), [(2, 3)])
    assert isinstance(answer, NoShares)
    assert "not linear" in answer.reason
    served = embeddings.query_vectors(embeddings.users)[2] @ embeddings.index_vectors[3]
    assert answer.score == pytest.approx(float(served), rel=1e-5)


def test_vectors_of_another_graph_are_refused(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    embeddings = linear_model(toy_graph)
    with pytest.raises(ArtifactError, match=re.escape(", ".join(map(str, list(toy_graph.edges)[2:])) + ", which")):
        split_scores(embeddings, Adjacency.of(toy_graph, list(toy_graph.edges)[:2]), [(0, 0)])
    smaller = replace(embeddings, numbering=replace(embeddings.numbering, starts=embeddings.numbering.starts - 1))
    with pytest.raises(ArtifactError, match="the graph that the model was trained on"):
        split_scores(smaller, Adjacency.of(toy_graph), [(0, 0)])
    with pytest.raises(UnknownIdError, match=r"\(0, 40\)"):
        split_scores(embeddings, Adjacency.of(toy_graph), [(0, 40)])
