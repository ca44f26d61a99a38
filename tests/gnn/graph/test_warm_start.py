"""Going on from an earlier training: matched by external id, whatever the positions are new_numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.graph.warm_start import FILE, FREE, RIDGE, Parameters, predict_free
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.errors import ArtifactError
from kg.topology.adjacency import Numbering

LIKED = RelationKey("user", "liked", "item")
KIND = RelationKey("item", "kind", "kind")
MODEL = LightGCNConfig(dim=8, knowledge_degree=2)
TRAINING = TrainingConfig(batch_size=64, negatives=16, max_steps=4, eval_every=2)
CPU = RunContext(device="cpu")


def graph_of(pairs: list[tuple[str, str]], items: list[str], *, kinds: int = 3) -> KnowledgeGraph:
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "item", "kind")},
        relations={LIKED: Relation(key=LIKED, event=Event()), KIND: Relation(key=KIND)},
        item_type="item",
        interaction=LIKED,
        positive=PositiveRule(),
    )
    nodes = {
        "user": pa.table({"id": sorted({user for user, _ in pairs})}),
        "item": pa.table({"id": items}),
        "kind": pa.table({"id": [f"k{number}" for number in range(kinds)]}),
    }
    joined = pa.table({"src": items, "dst": [f"k{number % kinds}" for number in range(len(items))]})
    liked = pa.table({"src": [user for user, _ in pairs], "dst": [item for _, item in pairs]})
    return KnowledgeGraph.build(schema, nodes, {LIKED: liked, KIND: joined})


def before() -> KnowledgeGraph:
    random = np.random.default_rng(3)
    pairs = [(f"u{u:02}", f"i{i:02}") for u in range(12) for i in random.permutation(20)[:5]]
    return graph_of(pairs, [f"i{n:02}" for n in range(24)])  # i20 to i23 are touched by nobody


def after() -> KnowledgeGraph:
    """Ids that sort before all others, so that every position moves; users and items gone; i20 touched at last."""
    random = np.random.default_rng(4)
    items = ["a-new", *(f"i{n:02}" for n in range(2, 24)), "z-new"]
    pairs = [(f"u{u:02}", items[i]) for u in range(3, 12) for i in random.permutation(20)[:5]]
    return graph_of([*pairs, ("a-new", "a-new"), ("u05", "i20")], items)


@pytest.fixture(scope="module")
def base() -> Embeddings:
    return fit(before(), MODEL, TRAINING, context=CPU)


def parameters_of(embeddings: Embeddings) -> Parameters:
    assert embeddings.parameters is not None
    return embeddings.parameters


def test_values_are_matched_by_id_and_untrained_ones_start_at_zero(base: Embeddings) -> None:
    old, new = before(), after()
    parameters = parameters_of(base)
    starts = parameters.starts(new, parameters.relations)
    old_numbers, new_numbers = Numbering.of(old), Numbering.of(new)
    trained_rows = {}
    for name in old_numbers.names:
        for at, node_id in enumerate(old.vocabulary(name).ids.to_pylist()):
            trained_rows[name, node_id] = parameters.tensors[FREE][old_numbers.span(name).start + at]
    untouched = {("item", f"i{n}") for n in (20, 21, 22, 23)}
    matched = 0
    for name in new_numbers.names:
        for at, node_id in enumerate(new.vocabulary(name).ids.to_pylist()):
            expected = trained_rows.get((name, node_id)) if (name, node_id) not in untouched else None
            row = starts[FREE][new_numbers.span(name).start + at]
            assert np.array_equal(row, np.zeros(8) if expected is None else expected), (name, node_id)
            matched += expected is not None and bool(expected.any())
    assert matched >= 9 + 18
    assert np.array_equal(starts["relation_logits"], parameters.tensors["relation_logits"])
    assert set(starts) == set(parameters.tensors)


def test_new_nodes_begin_where_a_ridge_regression_over_trained_ones_puts_them() -> None:
    random = np.random.default_rng(0)
    received = random.normal(size=(200, 6)).astype(np.float32)
    truth = random.normal(size=(6, 6)).astype(np.float32)
    free = received @ truth
    trained, new = np.arange(200) < 150, np.arange(200) >= 190
    free[~trained] = 1e9  # of these nothing is learned
    predicted = predict_free(received, free, trained=trained, new=new)
    x, y = received[trained].astype(np.float64), free[trained].astype(np.float64)
    penalty = RIDGE * np.mean(np.sum(x * x, axis=0))
    # The naive way: a penalty is as many more rows to fit.
    rows, wanted = np.vstack([x, np.sqrt(penalty) * np.eye(6)]), np.vstack([y, np.zeros((6, 6))])
    weights = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    assert np.allclose(predicted, received[new] @ weights, atol=1e-5)
    assert np.allclose(predicted, received[new] @ truth, rtol=0.1, atol=0.1)
    nothing = np.zeros(200, dtype=bool)
    assert not predict_free(received, free, trained=nothing, new=new).any()
    assert predict_free(received, free, trained=trained, new=nothing).shape == (0, 6)


def test_a_new_item_with_likes_begins_as_long_as_the_others_and_an_untouched_one_at_nothing(base: Embeddings) -> None:
    graph = after()
    still = TRAINING.changed(learning_rate=1e-12)
    parameters = parameters_of(fit(graph, MODEL, still, steps=1, start=base.parameters, context=CPU))
    rows = parameters.tensors[FREE][Numbering.of(graph).span("item")]
    lengths = dict(zip(graph.items.ids.to_pylist(), np.linalg.norm(rows, axis=1).tolist(), strict=True))
    usual = np.median([lengths[f"i{n:02}"] for n in range(2, 20)])
    assert 0.1 * usual < lengths["a-new"] < 3 * usual
    assert 0.1 * usual < lengths["i20"] < 3 * usual
    assert lengths["z-new"] == lengths["i21"] == 0


def test_relations_of_another_graph_begin_anew(base: Embeddings) -> None:
    starts = parameters_of(base).starts(after(), (LIKED,))
    assert "relation_logits" not in starts


def test_a_step_of_no_length_gives_the_vectors_it_began_with(base: Embeddings) -> None:
    still = TRAINING.changed(learning_rate=1e-12, max_steps=1)
    again = fit(before(), MODEL, still, steps=1, beta=base.beta, start=base.parameters, context=CPU)
    # Items that nobody touched and users without a trace have no free embedding: the same from any start.
    assert np.allclose(again.final, base.final, atol=1e-6)
    cold = fit(before(), MODEL, still, steps=1, beta=base.beta, context=CPU)
    assert not np.allclose(cold.final, base.final, atol=1e-2)


def test_training_goes_on_to_the_same_numbers_on_nodes_in_another_order(base: Embeddings, tmp_path: Path) -> None:
    graph = after()
    trained = fit(graph, MODEL, TRAINING, start=base.parameters, context=CPU)
    parameters_of(base).save(tmp_path)
    assert (tmp_path / FILE).is_file()
    from_disk = Parameters.load(tmp_path, before())
    assert from_disk.fingerprint == parameters_of(base).fingerprint
    again = fit(graph, MODEL, TRAINING, start=from_disk, context=CPU)
    assert np.array_equal(trained.final, again.final)
    assert parameters_of(trained).fingerprint != parameters_of(base).fingerprint


def test_a_checkpoint_of_another_start_is_not_gone_on_from(base: Embeddings, tmp_path: Path) -> None:
    context = replace(CPU, checkpoints=tmp_path)
    cold = fit(after(), MODEL, TRAINING, context=context)
    warm = fit(after(), MODEL, TRAINING, start=base.parameters, context=context)
    assert not np.allclose(cold.final, warm.final, atol=1e-3)
    assert np.array_equal(warm.final, fit(after(), MODEL, TRAINING, start=base.parameters, context=CPU).final)


def test_the_file_holds_no_id_and_damage_or_other_nodes_are_noticed(base: Embeddings, tmp_path: Path) -> None:
    parameters_of(base).save(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    assert b"u05" not in content
    assert b"i05" not in content
    with pytest.raises(ArtifactError, match="other nodes"):
        Parameters.load(tmp_path, after())
    (tmp_path / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        Parameters.load(tmp_path, before())
    (tmp_path / FILE).unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        Parameters.load(tmp_path, before())
