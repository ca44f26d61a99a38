"""Checkpoints: read back as they were written, and never when a byte of them has changed."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.training.checkpoint import CHECKPOINT, Checkpoint
from gnn.training.context import RunContext
from kg import KnowledgeGraph

FINGERPRINT = "ab" * 32
CPU = RunContext(device="cpu")
SHORT = TrainingConfig(max_steps=8, eval_every=2, batch_size=64, negatives=16)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = {
        "parameter.free": torch.arange(24, dtype=torch.float32).reshape(4, 6).T,  # not contiguous
        "best.free": torch.full((3, 5), torch.pi, dtype=torch.float64),
        "adam.step.free": torch.tensor(3.0),
        "nothing": torch.zeros(0, 4),
    }
    state = {"step": 3, "best": {"ndcg": 1e-05}, "history": [{"step": 3, "loss": 0.25}]}
    Checkpoint(tensors, state).save(tmp_path, FINGERPRINT)
    return tmp_path / CHECKPOINT


def test_it_comes_back_as_it_was(checkpoint: Path) -> None:
    loaded = Checkpoint.load(checkpoint.parent, FINGERPRINT)
    assert loaded is not None
    assert loaded.state == {"step": 3, "best": {"ndcg": 1e-05}, "history": [{"step": 3, "loss": 0.25}]}
    assert torch.equal(loaded.tensors["parameter.free"], torch.arange(24, dtype=torch.float32).reshape(4, 6).T)
    assert loaded.tensors["best.free"].dtype == torch.float64
    assert loaded.tensors["nothing"].shape == (0, 4)
    assert Checkpoint.load(checkpoint.parent, "cd" * 32) is None
    assert Checkpoint.load(checkpoint.parent / "nowhere", FINGERPRINT) is None
    assert [path.name for path in checkpoint.parent.iterdir()] == [CHECKPOINT]


def test_a_flipped_byte_anywhere_in_it_is_noticed(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = checkpoint.read_bytes()
    random = np.random.default_rng(0)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= int(random.integers(1, 256))
        checkpoint.write_bytes(flipped)
        assert Checkpoint.load(checkpoint.parent, FINGERPRINT) is None, place
    assert len(caplog.records) == len(content)
    assert "is damaged, so that the training begins anew" in caplog.text
    for cut in (0, 7, 8, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:cut])
        assert Checkpoint.load(checkpoint.parent, FINGERPRINT) is None, cut
    checkpoint.write_bytes(content + b"\0")
    assert Checkpoint.load(checkpoint.parent, FINGERPRINT) is None
    checkpoint.write_bytes(content)
    assert Checkpoint.load(checkpoint.parent, FINGERPRINT) is not None


def test_one_of_another_training_is_no_damage(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Checkpoint.load(checkpoint.parent, "cd" * 32) is None
    assert not caplog.records


def test_a_training_begins_anew_after_any_flipped_byte_and_says_so(
    toy_graph: KnowledgeGraph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class KilledError(Exception):
        pass

    def stop(history: list[dict[str, float]]) -> None:
        if history[-1]["step"] >= 4:
            raise KilledError

    context = replace(CPU, checkpoints=tmp_path)
    model = LightGCNConfig(dim=4)
    with pytest.raises(KilledError):
        fit(toy_graph, model, SHORT, steps=8, context=replace(context, on_validation=stop))
    content = (tmp_path / CHECKPOINT).read_bytes()
    whole = fit(toy_graph, model, SHORT, steps=8, context=CPU).final
    resumed: list[int] = []
    listening = replace(context, on_validation=lambda history: resumed.append(len(history)))
    np.testing.assert_array_equal(fit(toy_graph, model, SHORT, steps=8, context=listening).final, whole)
    assert resumed[0] == 3, "the checkpoint was not used at all"
    assert not caplog.records
    random = np.random.default_rng(1)
    for place in (20, *random.integers(0, len(content), 4)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(random.integers(8))
        (tmp_path / CHECKPOINT).write_bytes(flipped)
        caplog.clear()
        resumed.clear()
        with caplog.at_level(logging.WARNING, logger="gnn"):
            vectors = fit(toy_graph, model, SHORT, steps=8, context=listening).final
        assert resumed[0] == 1, place
        assert "begins anew" in caplog.text
        np.testing.assert_array_equal(vectors, whole)
