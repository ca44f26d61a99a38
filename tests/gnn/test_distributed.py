"""Training in several real processes over gloo: the same model, one clear error when a rank dies, and a resume."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from gnn.distributed import ALONE, Ranks, process_group
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.gcn import GCNConfig
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import ModelConfig, TrainingConfig
from gnn.text.features import TextFeatures
from gnn.training.checkpoint import CHECKPOINT
from gnn.training.context import RunContext
from gnn.workers import run_worker
from kg import (
    Event,
    KnowledgeGraph,
    NodeType,
    PositiveRule,
    Relation,
    RelationKey,
    Schema,
    SplitConfig,
    split_interactions,
)
from kg.errors import ConfigError
from kg.topology.adjacency import Numbering
from tests.gnn.ranks import finish, start

LIKED, TAGGED = RelationKey("user", "liked", "item"), RelationKey("user", "tagged", "item")
KIND = RelationKey("item", "kind", "kind")
MODEL = LightGCNConfig(dim=8, layers=2, learn_layer_weights=True, knowledge_degree=4)
TRAINING = TrainingConfig(
    batch_size=101,
    negatives=33,
    negative_power=0.5,
    learn_temperature=True,
    learning_rate=0.02,
    cold_weight=0.5,
    l2=1e-3,
    node_dropout=0.1,
    drop_batch_edges=True,
    max_steps=20,
    eval_every=10,
)
TRAININGS: dict[str, tuple[ModelConfig, TrainingConfig]] = {
    "softmax": (MODEL, TRAINING),
    "bpr": (MODEL, TRAINING.changed(loss="bpr")),
    # A batch of a single pair leaves a rank without any.
    "all items": (MODEL, TRAINING.changed(negatives=0, touched_only=True, batch_size=1)),
}


def graph_of() -> KnowledgeGraph:
    """Users, items and kinds under three relations, one of them an event beside the interaction."""
    random = np.random.default_rng(3)
    users, items, kinds = 41, 30, 5
    names = {"user": users, "item": items, "kind": kinds}
    pairs = np.unique(random.integers(0, [users, items - 3], size=(300, 2)), axis=0)
    tagged = np.unique(random.integers(0, [users, items], size=(60, 2)), axis=0)

    def table(source: str, target: str, rows: np.ndarray) -> pa.Table:
        return pa.table(
            {"src": [f"{source}{n:02}" for n in rows[:, 0]], "dst": [f"{target}{n:02}" for n in rows[:, 1]]}
        )

    schema = Schema(
        node_types={name: NodeType(name=name) for name in names},
        relations={
            LIKED: Relation(key=LIKED, event=Event()),
            TAGGED: Relation(key=TAGGED, event=Event()),
            KIND: Relation(key=KIND),
        },
        item_type="item",
        interaction=LIKED,
        positive=PositiveRule(),
    )
    kind = np.stack([np.arange(items), np.arange(items) % kinds], axis=1)
    return KnowledgeGraph.build(
        schema,
        {name: pa.table({"id": [f"{name}{n:02}" for n in range(count)]}) for name, count in names.items()},
        {LIKED: table("user", "item", pairs), TAGGED: table("user", "item", tagged), KIND: table("item", "kind", kind)},
    )


def texts_of(graph: KnowledgeGraph) -> TextFeatures:
    nodes = np.arange(len(Numbering.of(graph)))[::3]
    vectors = np.random.default_rng(4).normal(size=(len(nodes), 6)).astype(np.float32)
    return TextFeatures(nodes=nodes, vectors=vectors, model="test")


def train(name: str, ranks: Ranks, folder: Path | None = None, *, validate: bool = False) -> Embeddings:
    """One of the trainings, in float64."""
    graph = graph_of()
    model, training = TRAININGS[name]
    arguments: dict[str, Any] = {
        "features": texts_of(graph),
        "context": RunContext(device="cpu", precision="float64", ranks=ranks, checkpoints=folder),
    }
    if validate:
        split = split_interactions(graph, SplitConfig(kind="random", test=0.1, valid=0.2))
        arguments["validation"] = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
        graph = split.view(graph, "train")
    return fit(graph, model, training, **arguments)


def train_on(ranks: Ranks) -> Embeddings:
    """A training that starts from another one, some users and items of which are new to it."""
    graph = graph_of()
    arguments: dict[str, Any] = {"features": texts_of(graph)}
    arguments["context"] = RunContext(device="cpu", precision="float64", ranks=ranks)
    before = fit(graph, MODEL, TRAINING, **arguments).parameters
    assert before is not None
    kept = np.arange(len(before.trained)) % 7 > 0
    return fit(graph, MODEL, TRAINING, start=replace(before, trained=before.trained & kept), **arguments)


def tables(embeddings: Embeddings) -> dict[str, np.ndarray]:
    assert embeddings.linear is not None
    assert embeddings.linear.text_projection is not None
    linear = {name: getattr(embeddings.linear, name) for name in ("base", "tail", "tail2", "alphas", "weights")}
    return {
        "final": embeddings.final,
        "item_scale": embeddings.item_scale,
        "item_prior": embeddings.item_prior,
        "projection": embeddings.linear.text_projection,
        "temperature": np.array([embeddings.facts["temperature"], embeddings.cold_scale]),
        "popularity": np.array([embeddings.beta, embeddings.prior]),
        **linear,
    }


def whole_trainings(folder: Path) -> None:
    """All trainings with two ranks, and one that a single process began."""
    with process_group() as ranks:
        if not ranks.first:
            run_worker(ranks)
            return
        with pytest.raises(ConfigError, match="a GCN's layers mix columns"):
            fit(graph_of(), GCNConfig(dim=8), TRAINING, context=RunContext(device="cpu", ranks=ranks))
        for name in TRAININGS:
            train(name, ranks, folder / "two" / name).save(folder / name)
        train("softmax", ranks, folder / "begun", validate=True).save(folder / "validated")
        train_on(ranks).save(folder / "went on")
        (folder / "sent").write_text(str(ranks.sent))


def killed_training(folder: Path) -> None:
    """A training whose second rank is killed after the first checkpoint."""
    with process_group() as ranks:
        if ranks.first:
            train("softmax", ranks, folder)
            return
        all_reduce, calls = ranks.all_reduce, [0]

        def deadly(*tensors: torch.Tensor) -> None:
            calls[0] += 1
            if calls[0] == 16:
                os.kill(os.getpid(), signal.SIGKILL)
            all_reduce(*tensors)

        ranks.all_reduce = deadly  # type: ignore[method-assign]
        run_worker(ranks)


TASKS = {"whole": whole_trainings, "killed": killed_training}


def begin(folder: Path) -> None:
    """A checkpoint of step 10, as one process leaves it."""

    class Stop(Exception):  # noqa: N818
        pass

    def stop(_: object) -> None:
        raise Stop

    model, training = TRAININGS["softmax"]
    graph = graph_of()
    split = split_interactions(graph, SplitConfig(kind="random", test=0.1, valid=0.2))
    context = RunContext(device="cpu", precision="float64", checkpoints=folder, on_validation=stop)
    with pytest.raises(Stop):
        fit(
            split.view(graph, "train"),
            model,
            training,
            features=texts_of(graph),
            validation=Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train")),
            context=context,
        )


@pytest.mark.slow
def test_one_and_two_ranks_train_the_same_model(tmp_path: Path) -> None:
    """Every loss, both passes, texts, three relations, a training that one process began, and a warm one."""
    begin(tmp_path / "begun")
    errors = finish(start(__file__, "whole", tmp_path))
    assert not any("Error" in error for error in errors), errors
    for name in TRAININGS:
        alone = train(name, ALONE, tmp_path / "one" / name)
        assert_same_state(tmp_path / "one" / name, tmp_path / "two" / name)
        assert_same(Embeddings.load(tmp_path / name), alone)
    validated = train("softmax", ALONE, validate=True)
    shared = Embeddings.load(tmp_path / "validated")
    assert_same(shared, validated)
    columns = ("step", "ndcg@20", "recall@20", "beta")
    for first, second in zip(validated.facts["history"], shared.facts["history"], strict=True):
        assert [first[name] for name in columns] == [second[name] for name in columns]
    assert_same(Embeddings.load(tmp_path / "went on"), train_on(ALONE))
    assert int((tmp_path / "sent").read_text()) > 0


def assert_same_state(alone: Path, shared: Path) -> None:
    """The checkpoints of the last step, float64: parameters and what the optimiser keeps of them."""
    first, second = load_file(alone / CHECKPOINT), load_file(shared / CHECKPOINT)
    assert first.keys() == second.keys()
    assert {"parameter.layer0.free", "adam.exp_avg_sq.layer0._weights", "parameter.relation_logits"} <= first.keys()
    for name, value in first.items():
        assert value.dtype == np.float64 or ".step." in name
        np.testing.assert_allclose(second[name], value, rtol=1e-9, atol=1e-9, err_msg=f"{alone.name}: {name}")


def assert_same(embeddings: Embeddings, expected: Embeddings) -> None:
    """The results, which are stored in float32."""
    for part, value in tables(expected).items():
        np.testing.assert_allclose(tables(embeddings)[part], value, rtol=1e-6, atol=1e-7, err_msg=part)


@pytest.mark.slow
def test_a_killed_rank_ends_the_others_with_one_error_and_any_number_goes_on(tmp_path: Path) -> None:
    first, second = start(__file__, "killed", tmp_path)
    errors = finish([first, second])
    assert second.returncode == -signal.SIGKILL
    assert first.returncode == 1
    assert "TrainingError: rank 0 of 2 lost another one" in errors[0]
    assert "it goes on from its last checkpoint" in errors[0]
    with safe_open(tmp_path / CHECKPOINT, framework="np") as stored:
        assert json.loads(stored.metadata()["state"])["step"] == 10
    train("softmax", ALONE, tmp_path)
    train("softmax", ALONE, tmp_path / "whole")
    assert_same_state(tmp_path / "whole", tmp_path)


def test_what_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dim = 8 columns cannot be divided evenly among 3 ranks"):
        train("softmax", Ranks(0, 3))
    with pytest.raises(ConfigError, match="only the first rank calls fit"):
        train("softmax", Ranks(1, 2))
    with pytest.raises(ConfigError, match=r"device 'cuda:0' is one device for 3 ranks"):
        Ranks(1, 3).device("cuda:0")


def test_shares_are_every_row_once() -> None:
    ranks = Ranks(0, 4)
    for length in (0, 1, 3, 4, 10):
        rows = [row for rank in range(4) for row in range(length)[ranks.share(length, rank)]]
        assert rows == list(range(length))


def test_without_torchrun_there_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    with process_group() as ranks:
        assert ranks is ALONE
