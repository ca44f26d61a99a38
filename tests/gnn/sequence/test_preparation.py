"""Histories into examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from gnn.sequence.histories import Histories
from gnn.sequence.padding import PAD
from gnn.sequence.preparation import NextItem, training_windows
from kg import KnowledgeGraph, RaggedArray
from kg.errors import InvalidDataError
from kg.history import InteractionHistory
from tests.gnn.sequence.making import history_graph
from tests.movie_relations import RATED

CPU = torch.device("cpu")


def lists(rows: RaggedArray) -> list[list[int]]:
    return [rows[row].tolist() for row in range(len(rows))]


def histories(rows: list[list[int]]) -> Histories:
    return Histories.of(RaggedArray.from_lists(rows))


def test_order_and_repeats_of_the_source_stay() -> None:
    histories = [[3, 1, 3, 2], [0], [5, 4]]
    history = InteractionHistory.of(history_graph(histories))
    assert lists(Histories.liked(history, np.array([2, 0, -1, 1]))) == [[5, 4], [3, 1, 3, 2], [], [0]]


def test_only_what_is_liked_and_only_interactions(toy_graph: KnowledgeGraph) -> None:
    history = InteractionHistory.of(toy_graph)
    sequences = Histories.liked(history, np.arange(history.num_users))
    assert [sorted(set(row)) for row in lists(sequences)] == lists(history.liked)
    assert len(toy_graph.edges) > 1  # tags are events, too, and none of them is in a sequence


def test_equal_times_have_an_order_that_does_not_depend_on_the_table(toy_graph: KnowledgeGraph) -> None:
    table = toy_graph.edges[RATED]
    same = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array([7] * table.num_rows))

    def sequences(rows: np.ndarray) -> list[list[int]]:
        edges = {**toy_graph.edges, RATED: same.take(pa.array(rows))}
        history = InteractionHistory.of(KnowledgeGraph(toy_graph.schema, toy_graph.nodes, edges))
        return lists(Histories.liked(history, np.arange(history.num_users)))

    rows = np.arange(table.num_rows)
    assert sequences(rows) == sequences(np.random.default_rng(0).permutation(rows))


def test_windows_are_the_latest_inputs_and_their_targets() -> None:
    sequences = histories([[1, 2, 3, 4, 5], [6], [], [7, 8]])
    assert lists(training_windows(sequences, 3)) == [[2, 3, 4, 5], [7, 8]]


def test_a_history_of_ten_thousand_items_is_cut() -> None:
    sequences = histories([list(range(10_000))])
    assert lists(training_windows(sequences, 50)) == [list(range(9_949, 10_000))]


def test_nobody_with_two_items_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="no user likes two items"):
        training_windows(histories([[1], [], [2]]), 5)


def test_each_place_answers_with_the_item_after_it() -> None:
    windows = histories([[1, 2, 3, 4], [7, 8]])
    examples = NextItem().examples(windows, seed=0, step=0, device=CPU)
    pairs = []
    for block, answered in zip(examples.blocks, examples.answered, strict=True):
        assert ((block.items == PAD) <= ~answered).all()
        pairs += block.items[answered].tolist()
    assert sorted(zip(pairs, examples.targets.tolist(), strict=True)) == [(1, 2), (2, 3), (3, 4), (7, 8)]
