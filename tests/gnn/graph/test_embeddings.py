"""The scale of the items, and vectors on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gnn.graph.embeddings import Embeddings, item_prior, item_scale
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph
from kg.errors import ArtifactError

ITEMS = np.array([[3, 4], [0, 0], [0.5, 0], [0, 2]], dtype=np.float32)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_scales_are_powers_of_the_length(beta: float) -> None:
    scale = item_scale(ITEMS, beta)
    assert scale.tolist() == pytest.approx([5 ** (beta - 1), 0, 0.5 ** (beta - 1), 2 ** (beta - 1)])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_cold_item_is_as_long_as_is_usual_among_the_others(beta: float) -> None:
    cold = np.array([False, True, True, False])
    scale = item_scale(ITEMS, beta, cold=cold, cold_scale=1.5)
    scaled = np.linalg.norm(ITEMS * scale[:, None], axis=1)
    usual = (5**beta + 2**beta) / 2  # the median of two
    assert scaled.tolist() == pytest.approx([5**beta, 0, 1.5 * usual, 2**beta])


def test_the_prior_is_the_logarithm_of_the_likes() -> None:
    prior = item_prior(np.array([0, 1, 9]), 0.5)
    assert prior.tolist() == pytest.approx([0, 0.5 * np.log(2), 0.5 * np.log(10)])


def test_the_score_with_a_prior_is_an_inner_product(
    linear_model: Callable[..., Embeddings], toy_graph: KnowledgeGraph, tmp_path: Path
) -> None:
    embeddings = linear_model(toy_graph, beta=0.0, prior=0.3)
    embeddings.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    expected = embeddings.users @ embeddings.scaled_items.T + np.outer(
        np.linalg.norm(embeddings.users, axis=1), embeddings.item_prior
    )
    np.testing.assert_allclose(loaded.query_vectors(loaded.users) @ loaded.index_vectors.T, expected, rtol=1e-5)
    assert loaded.index_vectors.shape[1] == loaded.index_dim == embeddings.dim + 1
    bare = linear_model(toy_graph)
    assert bare.index_vectors.shape[1] == bare.index_dim == bare.dim


def test_another_beta_keeps_what_cold_items_need(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    training = TrainingConfig(batch_size=64, negatives=0, cold_weight=0.5)
    embeddings = fit(toy_graph, LightGCNConfig(dim=4), training, steps=5, beta=0.0, context=RunContext(device="cpu"))
    assert embeddings.cold is not None
    embeddings = replace(embeddings, cold=np.arange(len(embeddings.cold)) % 2 == 0)
    embeddings.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    np.testing.assert_array_equal(loaded.with_beta(0.5).item_scale, embeddings.with_beta(0.5).item_scale)
    assert embeddings.cold_scale != 1  # training moved it
    norms = np.linalg.norm(embeddings.with_beta(0.5).scaled_items, axis=1)
    assert norms[::2] == pytest.approx(np.full(len(norms[::2]), norms[0]), rel=1e-5)


def test_a_damaged_file_is_refused(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    training = TrainingConfig(batch_size=64, negatives=0)
    fit(toy_graph, LightGCNConfig(dim=4), training, steps=1, context=RunContext(device="cpu")).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["item_scale"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="lacks 'item_scale': another version of graphrecall wrote it"):
        Embeddings.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"model\.safetensors cannot be read"):
        Embeddings.load(tmp_path)
