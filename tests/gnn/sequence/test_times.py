"""Gaps and ages: what is read of the times, and models that have no use for them or find none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gnn.sequence.histories import Histories
from gnn.sequence.model import SequenceModel
from gnn.sequence.padding import padded
from gnn.sequence.settings import SASRecConfig
from gnn.sequence.times import CLASSES, TimeVectors
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from kg.interactions import NO_TIME
from tests.gnn.sequence.making import BOUGHT, CONFIGS, TRAINING, history_graph, rounds, train

DAY = 86_400
LEARNING = TRAINING.changed(max_steps=250, eval_every=250, learning_rate=0.02)


def timed(lists: list[list[int]], times: list[list[int]]) -> Histories:
    rows = RaggedArray.from_lists(lists)
    return Histories(rows.offsets, rows.values, np.concatenate([np.array(row, dtype=np.int64) for row in times]))


def vectors_of(config: SASRecConfig, times: list[int]) -> torch.Tensor:
    """What is added at each place of one history."""
    (block,) = padded(timed([[1] * len(times)], [times]), torch.device("cpu"))
    torch.manual_seed(0)
    module = TimeVectors(config)
    with torch.no_grad():
        module.classes.copy_(torch.arange(module.classes.numel()).view(module.classes.shape).float())
        result: torch.Tensor = module(block)[0, :, 0] / config.dim
    return result


def test_a_gap_is_to_the_item_before_and_an_age_to_the_first_one() -> None:
    times = [1_000, 1_000, 1_001, 1_004, NO_TIME, 2_000]
    gaps = vectors_of(SASRecConfig(dim=4, time_parts=("gap",)), times)
    # The class is the whole logarithm to base 2 of 1 + seconds: 0, 0, 1, 3; nothing is known of the last two.
    assert gaps.tolist() == [0, 0, 1, 2, 0, 0]
    ages = vectors_of(SASRecConfig(dim=4, time_parts=("age",)), times)
    assert ages.tolist() == [0, 0, 1, 2, 0, 9]
    both = vectors_of(SASRecConfig(dim=4, time_parts=("gap", "age")), times)
    assert both.tolist() == (gaps + ages + torch.tensor([1, 1, 1, 1, 0, 1]) * CLASSES).tolist()


def test_centuries_and_times_in_disorder_have_a_class() -> None:
    gaps = vectors_of(SASRecConfig(dim=4, time_parts=("gap",)), [-(1 << 40), 1 << 40, 0])
    assert gaps.tolist() == [0, CLASSES - 1, 0]


def with_times(graph: KnowledgeGraph, times: list[list[int]]) -> KnowledgeGraph:
    column = pa.array([time for row in times for time in row], type=pa.int64())
    table = graph.edges[BOUGHT].append_column("timestamp", column)
    return KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, BOUGHT: table})


def told_by_gaps() -> tuple[list[list[int]], list[list[int]]]:
    """The same items everywhere; after a short gap comes one item, after a long one another."""
    lists, times = [], []
    for user in range(24):
        short = user % 2 == 0
        lists.append([0, 1, 2 if short else 3])
        gap = 60 if short else 90 * DAY
        times.append([1_000, 1_000 + gap, 1_000 + gap + DAY])
    return lists, times


def learned(name: str, *parts: str) -> SequenceModel:
    lists, times = told_by_gaps()
    config = CONFIGS[name].changed(time_parts=parts)
    return train(with_times(history_graph(lists), times), config, LEARNING)


def answers(model: SequenceModel, histories: RaggedArray) -> list[int]:
    """The better one of the two items."""
    return (2 + (model.encode(histories) @ model.vectors[2:4].T).argmax(axis=1)).tolist()


ASKED = timed([[0, 1], [0, 1]], [[5_000, 5_060], [5_000, 5_000 + 90 * DAY]])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("part", ["gap", "age"])
def test_a_model_learns_from_times(name: str, part: str) -> None:
    assert answers(learned(name, part), ASKED) == [2, 3]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_without_times_does_not_look_at_them(name: str) -> None:
    model = train(history_graph(rounds()), CONFIGS[name])
    assert not any("times" in tensor for tensor in model.weights.tensors)
    np.testing.assert_array_equal(model.encode(ASKED), model.encode(replace(ASKED, times=ASKED.times * 0)))


def test_a_model_with_times_answers_histories_without(tmp_path) -> None:
    lists, times = told_by_gaps()
    graph = with_times(history_graph(lists), times)
    model = train(graph, CONFIGS["sasrec"].changed(time_parts=("gap", "age")), TRAINING)
    plain = model.encode(RaggedArray.from_lists([[0, 1]]))
    assert np.isfinite(plain).all()
    assert plain.any()
    assert not np.allclose(plain, model.encode(ASKED)[:1])
    model.save(tmp_path)
    np.testing.assert_array_equal(SequenceModel.load(tmp_path, graph).encode(ASKED), model.encode(ASKED))


def test_times_that_nobody_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"time_parts = \['gap'\] needs times, and no interaction has one"):
        train(history_graph(rounds()), CONFIGS["sasrec"].changed(time_parts=("gap",)))


def test_a_start_without_times_is_refused() -> None:
    lists, times = told_by_gaps()
    graph = with_times(history_graph(lists), times)
    base = train(graph, CONFIGS["sasrec"], TRAINING.changed(max_steps=1))
    with pytest.raises(ConfigError, match="it had other hyper-parameters"):
        train(graph, CONFIGS["sasrec"].changed(time_parts=("gap",)), start=base.weights)
