"""A training from end to end: it learns an order, resumes, goes on, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnn.evaluation.ranking import top_items
from gnn.sequence import padding
from gnn.sequence.model import SequenceModel
from gnn.sequence.settings import SequenceTraining
from kg import RaggedArray
from kg.errors import ConfigError, InvalidDataError, TrainingError
from kg.history import InteractionHistory
from tests.gnn.sequence.making import CONFIGS, CPU, TRAINING, history_graph, rounds, text_features, train, validation_of

EVERY = pytest.mark.parametrize("name", CONFIGS)
LEARNING = TRAINING.changed(max_steps=150, learning_rate=0.02)
STEPS = {"bert4rec": 400}  # it answers with a few items of a window, the others with all of them


def answers(model: SequenceModel, histories: list[list[int]]) -> list[int]:
    states = model.encode(RaggedArray.from_lists(histories))
    ranked: list[int] = top_items(states, model.vectors, 1)[:, 0].tolist()
    return ranked


def same(left: SequenceModel, right: SequenceModel) -> bool:
    """Whether two models are equal to the last bit."""
    names = left.weights.tensors.keys() | right.weights.tensors.keys()
    return all(np.array_equal(left.weights.tensors[name], right.weights.tensors[name]) for name in names)


@pytest.mark.parametrize(
    ("name", "loss"),
    [*((name, "softmax") for name in CONFIGS), *(("gru4rec", loss) for loss in ("gbce", "bpr", "bpr_max"))],
)
def test_it_learns_what_comes_next(name: str, loss: str) -> None:
    # A set of the same items, without their order, would leave two neighbours to choose from.
    training = LEARNING.changed(loss=loss, bpr_max_penalty=0.1, max_steps=STEPS.get(name, 150))
    model = train(history_graph(rounds()), CONFIGS[name], training)
    histories = [[(start + place) % 12 for place in range(6)] for start in range(12)]
    right = [
        found == (history[-1] + 1) % 12 for found, history in zip(answers(model, histories), histories, strict=True)
    ]
    assert sum(right) >= 11


@pytest.mark.parametrize("sampling", ["uniform", "popularity", "in_batch"])
def test_it_learns_from_drawn_negatives(sampling: str) -> None:
    training = LEARNING.changed(negatives=6, sampling=sampling)
    model = train(history_graph(rounds()), CONFIGS["gru4rec"], training)
    found = answers(model, [[start, (start + 1) % 12] for start in range(12)])
    assert sum(answer == (start + 2) % 12 for start, answer in enumerate(found)) >= 10


def test_knowledge_and_text_alone_are_enough_and_serve_new_items() -> None:
    graph = history_graph(rounds(items=10), items=12)  # 10 and 11 are in no history
    config = CONFIGS["sasrec"].changed(item_parts=("text", "knowledge"))
    model = train(graph, config, LEARNING, features=text_features(graph))
    assert model.described.all()
    assert model.vectors[10:].any(axis=1).all()
    assert "items.ids" not in model.weights.tensors


@EVERY
def test_the_best_step_on_validation_is_kept(name: str) -> None:
    graph = history_graph(rounds())
    wanted = validation_of(graph, [[(row[-1] + 1) % 12] for row in rounds()])
    model = train(
        graph, CONFIGS[name], LEARNING.changed(max_steps=2 * STEPS.get(name, 100), patience=200), validation=wanted
    )
    history = model.facts["history"]
    best = max(history, key=lambda entry: entry["ndcg@20"])
    assert model.facts["steps"] == best["step"]
    assert model.facts["validation"]["ndcg@20"] == pytest.approx(best["ndcg@20"], abs=1e-6)
    assert best["ndcg@20"] > 0.9 > history[0]["ndcg@20"]


@EVERY
def test_what_is_killed_resumes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(history: Sequence[Mapping[str, Any]]) -> None:
        if history[-1]["step"] == 10:
            raise KilledError

    graph = history_graph(rounds())
    config = CONFIGS[name].changed(dropout=0.3)  # dropout is drawn anew in every step, and must be the same again
    context = replace(CPU, checkpoints=tmp_path, log=tmp_path / "log.jsonl")
    with pytest.raises(KilledError):
        train(graph, config, context=replace(context, on_validation=kill))
    lengths: list[int] = []
    resumed = train(graph, config, context=replace(context, on_validation=lambda entries: lengths.append(len(entries))))
    assert lengths[0] == 3, "the checkpoint was not used"
    assert same(resumed, train(graph, config))
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 15, 20]


def test_a_checkpoint_of_other_histories_is_not_resumed(tmp_path: Path) -> None:
    context = replace(CPU, checkpoints=tmp_path)
    train(history_graph(rounds()), CONFIGS["gru4rec"], TRAINING.changed(max_steps=5), context=context)
    lengths: list[int] = []
    context = replace(context, on_validation=lambda entries: lengths.append(len(entries)))
    train(history_graph([row[::-1] for row in rounds()]), CONFIGS["gru4rec"], context=context)
    assert lengths[0] == 1


@EVERY
def test_blocks_change_nothing_but_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    graph = history_graph([random.integers(0, 12, size=size).tolist() for size in random.integers(2, 12, size=30)])
    context = replace(CPU, precision="float64")
    models = []
    for places in (1, 40, 1 << 11):
        monkeypatch.setattr(padding, "CPU_PLACES", places)
        models.append(train(graph, CONFIGS[name], context=context))
    for other in models[1:]:
        np.testing.assert_allclose(other.vectors, models[0].vectors, atol=1e-6)


def test_a_training_goes_on_with_items_by_their_ids() -> None:
    config = CONFIGS["sasrec"].changed(item_parts=("id", "knowledge"))
    base = train(history_graph(rounds()), config, LEARNING)
    grown = history_graph([*rounds(), [0, 1]], before=("a", "b"))  # every position moves by two
    barely = TRAINING.changed(max_steps=1, learning_rate=1e-9)
    model = train(grown, config, barely, start=base.weights)
    np.testing.assert_allclose(model.vectors[2:], base.vectors, atol=1e-6)
    assert not model.described[:2].any()
    again = train(grown, config, barely)
    assert not np.allclose(again.vectors[2:], base.vectors, atol=1e-3)


def test_what_is_new_starts_as_in_a_new_training() -> None:
    config = CONFIGS["gru4rec"]
    base = train(history_graph([row for row in rounds() if 11 not in row]), config, LEARNING)
    assert not base.described[11]
    barely = TRAINING.changed(max_steps=1, learning_rate=1e-9)
    model, fresh = (train(history_graph(rounds()), config, barely, start=start) for start in (base.weights, None))
    np.testing.assert_allclose(model.vectors[11], fresh.vectors[11], atol=1e-6)
    np.testing.assert_allclose(model.vectors[:11], base.vectors[:11], atol=1e-6)


def test_a_start_of_other_hyper_parameters_is_refused() -> None:
    graph = history_graph(rounds())
    base = train(graph, CONFIGS["sasrec"], TRAINING.changed(max_steps=1))
    with pytest.raises(ConfigError, match="it had other hyper-parameters"):
        train(graph, CONFIGS["sasrec"].changed(dim=4), start=base.weights)
    with pytest.raises(ConfigError, match="it had other hyper-parameters"):
        train(graph, CONFIGS["gru4rec"], start=base.weights)


def test_a_training_that_diverges_says_what_to_do() -> None:
    with pytest.raises(
        TrainingError, match=r"diverged at step .* lower training.learning_rate .* training.temperature"
    ):
        train(history_graph(rounds()), CONFIGS["gru4rec"], TRAINING.changed(learning_rate=1e38))


def test_users_with_one_interaction_are_served_and_not_trained_on() -> None:
    graph = history_graph([*rounds(), [3], [4]])
    with_them, without = (train(each, CONFIGS["sasrec"]) for each in (graph, history_graph(rounds())))
    assert same(with_them, without)
    assert with_them.encode(RaggedArray.from_lists([[3]])).any()


def test_repeats_and_long_histories_train() -> None:
    random = np.random.default_rng(0)
    graph = history_graph([[2] * 9, random.integers(0, 12, size=10_000).tolist(), [1, 2, 1, 2]])
    model = train(graph, CONFIGS["sasrec"], TRAINING.changed(max_steps=3))
    assert np.isfinite(model.vectors).all()
    long = random.choice(np.flatnonzero(model.described), size=10_000)
    np.testing.assert_array_equal(
        model.encode(RaggedArray.from_lists([long])), model.encode(RaggedArray.from_lists([long[-6:]]))
    )


def test_contradicting_arguments_are_refused() -> None:
    graph = history_graph(rounds())
    wanted = validation_of(graph, [[1]] * len(graph.users))
    for more, message in (
        ({"steps": 3, "validation": wanted}, "not both"),
        ({"steps": 0}, "must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(graph, CONFIGS["sasrec"], **more)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="truth has 3 rows"):
        train(graph, CONFIGS["sasrec"], validation=replace(wanted, truth=RaggedArray.empty(3)))


def test_a_history_without_times_is_in_the_order_of_the_source() -> None:
    graph = history_graph([[5, 1, 3]])
    history = InteractionHistory.of(graph)
    assert "timestamp" not in graph.edges[history.interaction].column_names
    assert history.sequence(np.array([0])).values.tolist() == [5, 1, 3]


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="heads"):
        CONFIGS["sasrec"].changed(heads=3)
    with pytest.raises(ConfigError, match="sampling"):
        SequenceTraining(sampling="all")  # type: ignore[arg-type]
