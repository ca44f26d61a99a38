"""Sequence models trained by two real processes over gloo: the same model as by one, but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gnn.distributed import ALONE, Ranks, process_group
from gnn.sequence.histories import Histories
from gnn.sequence.model import SequenceModel
from gnn.sequence.padding import PAD
from gnn.sequence.preparation import NextItem
from gnn.training.context import RunContext
from gnn.workers import run_worker
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from tests.gnn.ranks import finish, start
from tests.gnn.sequence.making import CONFIGS, TRAINING, history_graph, rounds, text_features, train, validation_of

LEARNING = TRAINING.changed(max_steps=12, eval_every=4, learning_rate=0.02, batch_size=7)
EVERYTHING = ("id", "text", "knowledge")
TRAININGS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    **{name: (name, {}, {}) for name in CONFIGS},
    "all parts": ("sasrec", {"item_parts": EVERYTHING}, {"negatives": 5, "loss": "gbce"}),
    "in the batch": ("gru4rec", {}, {"sampling": "in_batch", "loss": "bpr_max"}),
    # A batch of a single user leaves a rank without any.
    "one user": ("sasrec", {"item_parts": EVERYTHING}, {"batch_size": 1}),
}


def graph_of() -> KnowledgeGraph:
    return history_graph([*rounds(), [3], [5, 5, 5, 5, 5, 5, 5, 5, 5]])


def trained(name: str, ranks: Ranks, folder: Path | None = None, **more: Any) -> SequenceModel:
    """One of the trainings, in float64, with validation."""
    model, changes, training = TRAININGS[name]
    graph = graph_of()
    wanted = [[(row[-1] + 1) % 12] for row in rounds()]
    return train(
        graph,
        CONFIGS[model].changed(**changes),
        LEARNING.changed(**training),
        features=text_features(graph, without=(2,)),
        validation=validation_of(graph, [*wanted, [4], []]),
        context=RunContext(device="cpu", precision="float64", ranks=ranks, checkpoints=folder),
        **more,
    )


def warm(ranks: Ranks) -> SequenceModel:
    """A training that goes on from another one."""
    return trained("sasrec", ranks, start=trained("sasrec", ALONE).weights)


def by_two(folder: Path) -> None:
    with process_group() as ranks:
        if not ranks.first:
            run_worker(ranks)
            return
        for name in TRAININGS:
            (folder / name).mkdir()
            trained(name, ranks, folder / "checkpoints" / name).save(folder / name)
        (folder / "warm").mkdir()
        warm(ranks).save(folder / "warm")


TASKS = {"by two": by_two}


def assert_same(shared: SequenceModel, alone: SequenceModel) -> None:
    np.testing.assert_allclose(shared.vectors, alone.vectors, rtol=1e-6, atol=1e-7)
    for name, value in alone.weights.tensors.items():
        np.testing.assert_allclose(shared.weights.tensors[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
    assert shared.facts["steps"] == alone.facts["steps"]
    for first, second in zip(alone.facts["history"], shared.facts["history"], strict=True):
        assert [first[name] for name in ("step", "ndcg@20", "recall@20")] == [
            second[name] for name in ("step", "ndcg@20", "recall@20")
        ]


@pytest.mark.slow
def test_one_and_two_ranks_train_the_same_model(tmp_path: Path) -> None:
    errors = finish(start(__file__, "by two", tmp_path))
    assert not any("Error" in error for error in errors), errors
    graph = graph_of()
    for name in TRAININGS:
        assert_same(SequenceModel.load(tmp_path / name, graph), trained(name, ALONE))
    assert_same(SequenceModel.load(tmp_path / "warm", graph), warm(ALONE))
    # One process goes on from what two have left, here the end.
    again = trained("sasrec", ALONE, tmp_path / "checkpoints" / "sasrec")
    np.testing.assert_array_equal(again.vectors, SequenceModel.load(tmp_path / "sasrec", graph).vectors)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_the_shares_of_a_batch_are_all_of_its_rows_once(count: int) -> None:
    lists = [list(range(10 * row, 10 * row + 2 + row % 5)) for row in range(20)]
    windows = Histories.of(RaggedArray.from_lists(lists))
    whole = NextItem().examples(windows, seed=0, step=0, device=torch.device("cpu"))
    pairs = []
    for rank in range(count):
        part = whole.share(Ranks(rank, count))
        inputs = [block.items[at] for block, at in zip(part.blocks, part.answered, strict=True)]
        assert all((block.items[at] != PAD).all() for block, at in zip(part.blocks, part.answered, strict=True))
        read = torch.cat([*inputs, torch.zeros(0, dtype=torch.int64)])
        pairs += list(zip(read.tolist(), part.targets.tolist(), strict=True))
    assert sorted(pairs) == [(item, item + 1) for row in lists for item in row[:-1]]


def test_only_the_first_rank_calls_fit() -> None:
    context = RunContext(device="cpu", ranks=Ranks(1, 2))
    with pytest.raises(ConfigError, match="only the first rank calls fit"):
        train(graph_of(), CONFIGS["sasrec"], context=context)
