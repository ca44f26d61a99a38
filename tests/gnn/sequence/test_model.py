"""The trained model on disk, and what it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from gnn.sequence.model import FILE, SequenceModel
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ArtifactError
from tests.gnn.sequence.making import CONFIGS, history_graph, rounds, text_features, train

HISTORIES = RaggedArray.from_lists([[1, 2, 3], [], [4], [5] * 9, list(range(12))])


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    return history_graph(rounds())


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest, graph: KnowledgeGraph) -> SequenceModel:
    config = CONFIGS[request.param].changed(item_parts=("id", "text", "knowledge"), dropout=0.2)
    return train(graph, config, features=text_features(graph))


def test_loaded_it_is_the_same(model: SequenceModel, graph: KnowledgeGraph, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = SequenceModel.load(tmp_path, graph)
    assert (loaded.config, loaded.facts) == (model.config, model.facts)
    assert loaded.weights.fingerprint == model.weights.fingerprint
    np.testing.assert_array_equal(loaded.encode(HISTORIES), model.encode(HISTORIES))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_another_vocabulary_is_refused(model: SequenceModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    with pytest.raises(ArtifactError, match="trained on other nodes"):
        SequenceModel.load(tmp_path, history_graph(rounds(), before=("a",)))


def test_damage_is_named(model: SequenceModel, graph: KnowledgeGraph, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        SequenceModel.load(tmp_path, graph)
    model.save(tmp_path)
    path = tmp_path / FILE
    with safe_open(path, framework="numpy") as stored:
        metadata, tensors = stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    lacking = next(name for name in tensors if name.startswith("backbone."))
    save_file({name: value for name, value in tensors.items() if name != lacking}, path, metadata=metadata)
    with pytest.raises(ArtifactError, match="does not hold the weights"):
        SequenceModel.load(tmp_path, graph)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="cannot be read"):
        SequenceModel.load(tmp_path, graph)


def test_a_batch_answers_as_each_alone(model: SequenceModel) -> None:
    together = model.encode(HISTORIES)
    for row in range(len(HISTORIES)):
        alone = model.encode(HISTORIES.take(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-6)
    assert not together[1].any()


def test_older_items_than_the_model_reads_change_nothing(model: SequenceModel) -> None:
    longer = RaggedArray.from_lists([[9, 9, *range(6)]])
    np.testing.assert_array_equal(model.encode(longer), model.encode(RaggedArray.from_lists([list(range(6))])))


def test_no_histories_at_all(model: SequenceModel) -> None:
    assert model.encode(RaggedArray.empty(0)).shape == (0, 8)
    assert not model.encode(RaggedArray.empty(2)).any()
