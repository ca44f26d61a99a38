"""Training of LightGCN and GCN: both learn, stop early, resume after a kill and report divergence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import top_items
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.gcn import GCNConfig
from gnn.graph.lightgcn import LightGCNConfig
from gnn.graph.warm_start import Parameters
from gnn.settings import ModelConfig, TrainingConfig
from gnn.training.checkpoint import CHECKPOINT
from gnn.training.context import RunContext
from kg import (
    Event,
    KnowledgeGraph,
    NodeType,
    PositiveRule,
    Relation,
    RelationKey,
    Schema,
    SplitConfig,
    hide_items,
    split_interactions,
)
from kg.errors import ConfigError, InvalidDataError, TrainingError
from kg.splits import Split
from kg.topology.adjacency import Numbering

LIKED = RelationKey("user", "liked", "item")
KIND = RelationKey("item", "kind", "kind")
CPU = RunContext(device="cpu")
QUICK = TrainingConfig(batch_size=256, negatives=64, max_steps=60, eval_every=10, learning_rate=0.02)


def planted(*, users: int = 80, items: int = 60, likes: int = 10, seed: int = 0) -> KnowledgeGraph:
    """Two communities of users, each of which likes the items of its own kind; every item tells its kind."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own = np.arange(user % 2, items, 2)
        rows += [(f"u{user:02}", f"i{item:02}") for item in random.choice(own, size=likes, replace=False)]
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", "item", "kind")},
        relations={LIKED: Relation(key=LIKED, event=Event()), KIND: Relation(key=KIND)},
        item_type="item",
        interaction=LIKED,
        positive=PositiveRule(),
    )
    nodes = {
        "user": pa.table({"id": [f"u{n:02}" for n in range(users)]}),
        "item": pa.table({"id": [f"i{n:02}" for n in range(items)]}),
        "kind": pa.table({"id": [f"k{n:02}" for n in range(6)]}),
    }
    kinds = pa.table({"src": [f"i{n:02}" for n in range(items)], "dst": [f"k{n % 6:02}" for n in range(items)]})
    liked = pa.table({"src": [user for user, _ in rows], "dst": [item for _, item in rows]})
    return KnowledgeGraph.build(schema, nodes, {LIKED: liked, KIND: kinds})


def split_of(graph: KnowledgeGraph) -> Split:
    return split_interactions(graph, SplitConfig(kind="random", test=0.2, valid=0.1))


def validation_of(graph: KnowledgeGraph, split: Split) -> Validation:
    return Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))


def recall(graph: KnowledgeGraph, split: Split, users: np.ndarray, items: np.ndarray, k: int = 20) -> float:
    truth, seen = split.positives(graph, "test"), split.seen(graph, "train", "valid")
    who = np.flatnonzero(truth.counts)
    ranked = top_items(users[who], items, k, seen=seen.take(who))
    return float(per_user_metrics(ranked, truth.take(who), k)["recall"].mean())


MODELS: list[tuple[ModelConfig, TrainingConfig]] = [
    (LightGCNConfig(dim=16), QUICK),
    (LightGCNConfig(dim=16, relations=()), QUICK.changed(loss="bpr", l2=1e-4)),
    (LightGCNConfig(dim=16, learn_layer_weights=True), QUICK.changed(negatives=0, learn_temperature=True)),
    (LightGCNConfig(dim=16, user_embedding=False), QUICK.changed(negative_power=0.5, touched_only=True)),
    (LightGCNConfig(dim=16, relations=()), QUICK.changed(whole_users=True, batch_size=100)),
    (LightGCNConfig(dim=16), QUICK.changed(similarity="dot", temperature=1.0, node_dropout=0.1)),
    (GCNConfig(dim=16), QUICK.changed(cold_weight=0.5)),
]


@pytest.mark.parametrize(("model", "training"), MODELS)
def test_training_learns_the_planted_structure(model: ModelConfig, training: TrainingConfig) -> None:
    graph = planted()
    split = split_of(graph)
    view = split.view(graph, "train")
    embeddings = fit(view, model, training, validation=validation_of(graph, split), context=CPU)
    trained = recall(graph, split, embeddings.query_vectors(embeddings.users), embeddings.index_vectors)
    popularity = np.bincount(view.interactions.item, minlength=len(graph.items)).astype(np.float32)
    popular = recall(graph, split, np.ones((len(graph.users), 1), dtype=np.float32), popularity[:, None])
    # 30 items of the own kind, some 8 of them seen: a perfect community model finds nearly nine tenths within 20.
    assert trained > 0.7
    assert popular < 0.5
    assert (embeddings.linear is None) == isinstance(model, GCNConfig)
    assert embeddings.facts["steps"] <= training.max_steps


def test_simulated_cold_start_places_items_nobody_touched() -> None:
    graph = planted(likes=14)
    split = hide_items(graph, fraction=0.2)
    view = split.view(graph, "train")
    hidden = np.flatnonzero(split.hidden_items)
    truth = split.positives(graph, "test")
    who = np.flatnonzero(truth.counts)
    margins = []
    for weight in (0.0, 1.0):
        training = QUICK.changed(cold_weight=weight)
        embeddings = fit(view, LightGCNConfig(dim=16, interaction_weight=0.7), training, steps=80, context=CPU)
        scores = embeddings.users[who] @ embeddings.scaled_items[hidden].T
        own = hidden[None, :] % 2 == who[:, None] % 2
        margins.append(float(scores[own].mean() - scores[~own].mean()))
    assert margins[1] > 0.2
    assert margins[1] > margins[0]


BOTH: dict[str, ModelConfig] = {"LightGCN": LightGCNConfig(dim=16), "GCN": GCNConfig(dim=16)}
WAYS: list[dict[str, Any]] = [{}, {"betas": (), "priors": (0.02, 0.1)}, {"priors": ()}]


@pytest.mark.parametrize(("name", "ways"), [*(("LightGCN", ways) for ways in WAYS), ("GCN", {})])
def test_stopping_keeps_the_best_step_and_its_way_to_rank(name: str, ways: dict[str, Any]) -> None:
    graph = planted()
    split = split_of(graph)
    training = QUICK.changed(learning_rate=0.2, max_steps=400, patience=3, eval_every=5, **ways)
    view, validation = split.view(graph, "train"), validation_of(graph, split)
    embeddings = fit(view, BOTH[name], training, validation=validation, context=CPU)
    history = embeddings.facts["history"]
    best = max(history, key=lambda line: (line["ndcg@20"], -line["step"]))
    assert embeddings.facts["steps"] == best["step"]
    assert (embeddings.beta, embeddings.prior) == (best["beta"], best["prior"])
    assert embeddings.prior == 0 or embeddings.beta == 0
    likes = np.bincount(split.view(graph, "train").interactions.item, minlength=len(graph.items))
    assert embeddings.item_prior == pytest.approx(embeddings.prior * np.log(1 + likes), rel=1e-6)
    assert history[-1]["step"] == best["step"] + 15  # three validations without a better one
    truth, seen = split.positives(graph, "valid"), split.seen(graph, "train")
    who = np.flatnonzero(truth.counts)
    ranked = top_items(
        embeddings.query_vectors(embeddings.users[who]), embeddings.index_vectors, 20, seen=seen.take(who)
    )
    again = per_user_metrics(ranked, truth.take(who), 20)["ndcg"].mean()
    assert again == pytest.approx(best["ndcg@20"], abs=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_the_recipe_of_a_validated_training_gives_the_same_vectors(name: str) -> None:
    """`steps`, `beta` and `prior` of a validated run, on the same graph, give the same vectors."""
    graph = planted()
    split = split_of(graph)
    view = split.view(graph, "train")
    first = fit(view, BOTH[name], QUICK, validation=validation_of(graph, split), context=CPU)
    recipe = {name: first.facts[name] for name in ("steps", "beta", "prior")}
    second = fit(view, BOTH[name], QUICK, **recipe, context=CPU)
    np.testing.assert_array_equal(first.final, second.final)
    np.testing.assert_array_equal(first.index_vectors, second.index_vectors)


def test_a_seed_decides_everything() -> None:
    graph = planted()
    training = QUICK.changed(cold_weight=0.5, node_dropout=0.2)
    runs = [
        fit(graph, LightGCNConfig(dim=8), training, steps=6, context=replace(CPU, seed=seed)).final
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_a_callback_gets_every_validation_and_may_end_the_training(tmp_path: Path) -> None:
    graph = planted()
    split = split_of(graph)
    notified: list[list[tuple[int, float]]] = []

    class Enough(Exception):  # noqa: N818 (no error)
        pass

    def listen(history: Sequence[Mapping[str, Any]], *, patience: int) -> None:
        notified.append([(line["step"], line["ndcg@20"]) for line in history])
        if len(history) == patience:
            raise Enough

    def run(patience: int) -> Embeddings:
        context = replace(CPU, checkpoints=tmp_path, on_validation=partial(listen, patience=patience))
        return fit(
            split.view(graph, "train"),
            LightGCNConfig(dim=8),
            QUICK.changed(max_steps=40),
            validation=validation_of(graph, split),
            context=context,
        )

    with pytest.raises(Enough):
        run(2)
    assert [[step for step, _ in lines] for lines in notified] == [[10], [10, 20]]
    embeddings = run(100)  # goes on from the checkpoint, and tells what was notified before
    assert [step for step, _ in notified[2]] == [10, 20, 30]
    assert notified[3][:3] == notified[2]
    assert notified[2][:2] == notified[1]
    assert [(line["step"], line["ndcg@20"]) for line in embeddings.facts["history"]] == notified[3]


PROGRAM = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import importlib.util
    spec = importlib.util.spec_from_file_location("planted_training", sys.argv[3])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.train(Path(sys.argv[1]), sys.argv[4], announce=True)
"""


def train(folder: Path | None, name: str, *, announce: bool = False) -> np.ndarray:
    """A training that is long enough to be killed in the middle; with `announce` it says every validation."""
    graph = planted()
    split = split_of(graph)
    training = QUICK.changed(cold_weight=0.3, max_steps=120, patience=100, learn_temperature=True)
    context = CPU if folder is None else replace(CPU, checkpoints=folder, log=folder / "log.jsonl")
    if announce:
        context = replace(context, progress=Announcing())
    return fit(
        split.view(graph, "train"), BOTH[name], training, validation=validation_of(graph, split), context=context
    ).final


class Announcing:
    """A listener that prints each note: the parent kills when it has read some, which late notes wait for."""

    def __init__(self) -> None:
        self.notes = 0

    def task(self, description: str, *, total: int | None = None) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201
        self.notes += 1
        if self.notes == 9:
            time.sleep(300)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_a_killed_training_resumes_to_the_same_embeddings(name: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path), str(root), __file__, name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    killed_at = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert 30 <= killed_at[-1] < 120
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        resumed, whole = train(tmp_path, name), train(None, name)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(resumed, whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(10, 121, 10))


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    graph = planted()
    context = replace(CPU, checkpoints=tmp_path)
    model = LightGCNConfig(dim=8)
    fit(graph, model, QUICK, steps=20, context=context)
    fresh = fit(graph, model, QUICK.changed(temperature=0.3), steps=20, context=CPU)
    other = fit(graph, model, QUICK.changed(temperature=0.3), steps=20, context=context)
    np.testing.assert_array_equal(other.final, fresh.final)
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    again = fit(graph, model, QUICK.changed(temperature=0.3), steps=20, context=context)
    np.testing.assert_array_equal(again.final, fresh.final)


@pytest.mark.parametrize("name", BOTH)
def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(name: str, tmp_path: Path) -> None:
    graph = planted()
    training = QUICK.changed(similarity="dot", learning_rate=1e30, eval_every=1, max_steps=50)
    with pytest.raises(TrainingError, match=r"diverged at step \d+.*lower training.learning_rate \(now 1e\+30\)"):
        fit(graph, BOTH[name], training, context=replace(CPU, checkpoints=tmp_path))
    good = QUICK.changed(eval_every=10)
    fit(graph, BOTH[name], good, steps=10, context=replace(CPU, checkpoints=tmp_path))
    kept = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match="last good checkpoint"):
        fit(graph, BOTH[name], training.changed(eval_every=40), context=replace(CPU, checkpoints=tmp_path))
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


def test_float64_is_trained_in_float64_and_close_to_float32() -> None:
    graph = planted()
    narrow, wide = (
        fit(graph, LightGCNConfig(dim=8), QUICK, steps=5, context=replace(CPU, precision=precision))
        for precision in ("float32", "float64")
    )
    np.testing.assert_allclose(narrow.final, wide.final, atol=2e-3)
    assert not np.array_equal(narrow.final, wide.final)


@pytest.mark.parametrize("name", BOTH)
def test_every_validation_is_a_line_of_the_log(name: str, tmp_path: Path) -> None:
    graph = planted()
    split = split_of(graph)
    log = tmp_path / "train.jsonl"
    fit(
        split.view(graph, "train"),
        BOTH[name],
        QUICK.changed(max_steps=25),
        validation=validation_of(graph, split),
        context=replace(CPU, log=log),
    )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 25]
    assert all({"step", "loss", "seconds", "ndcg@20", "recall@20", "beta", "prior"} == set(line) for line in lines)


@pytest.mark.parametrize("name", BOTH)
def test_vectors_and_parameters_survive_a_file(name: str, tmp_path: Path) -> None:
    graph = planted()
    trained = fit(graph, BOTH[name], QUICK, steps=3, context=CPU)
    assert trained.parameters is not None
    trained.save(tmp_path)
    trained.parameters.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    assert (loaded.linear is None) == (name == "GCN")
    assert loaded.facts["model"] == name
    np.testing.assert_array_equal(loaded.final, trained.final)
    np.testing.assert_array_equal(loaded.index_vectors, trained.index_vectors)
    start = Parameters.load(tmp_path, graph)
    went_on = [fit(graph, BOTH[name], QUICK, steps=3, start=part, context=CPU) for part in (start, trained.parameters)]
    np.testing.assert_array_equal(went_on[0].final, went_on[1].final)
    assert not np.array_equal(went_on[0].final, trained.final)
    assert loaded.facts["training_config"]["temperature"] == QUICK.temperature
    assert len(Numbering.of(planted())) == len(loaded.final)


def test_arguments_that_contradict_are_refused() -> None:
    graph = planted()
    split = split_of(graph)
    validation = validation_of(graph, split)
    with pytest.raises(ConfigError, match="not both"):
        fit(graph, LightGCNConfig(), QUICK, validation=validation, steps=3, context=CPU)
    with pytest.raises(ConfigError, match="steps = 0"):
        fit(graph, LightGCNConfig(), QUICK, steps=0, context=CPU)
    short = Validation(truth=validation.truth.take(np.arange(3)), seen=validation.seen)
    with pytest.raises(InvalidDataError, match=r"validation.truth has 3 rows, the graph 80 users"):
        fit(graph, LightGCNConfig(), QUICK, validation=short, context=CPU)
    bare = graph.keep_edges({LIKED: np.zeros(len(graph.interactions), dtype=bool)})
    with pytest.raises(InvalidDataError, match="no positive interaction"):
        fit(bare, LightGCNConfig(), QUICK, context=CPU)


def test_a_training_is_the_same_whether_the_last_hop_is_done_for_all_nodes_or_for_those_of_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = planted()
    training = QUICK.changed(batch_size=8, negatives=4, cold_weight=0.5)
    vectors = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("gnn.graph.lightgcn.FEW_EDGES", share)
        context = replace(CPU, precision="float64")
        vectors.append(fit(graph, LightGCNConfig(dim=8), training, steps=12, context=context).final)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_a_training_says_whom_its_validations_ranked_for() -> None:
    graph = planted()
    split = split_of(graph)
    view, validation = split.view(graph, "train"), validation_of(graph, split)
    everybody = int((validation.truth.counts > 0).sum())
    for most, said in ((7, {"users": 7, "drawn_from": everybody}), (everybody, {"users": everybody})):
        training = QUICK.changed(validation_users=most, max_steps=2, eval_every=2)
        trained = fit(view, LightGCNConfig(dim=4), training, validation=validation, context=CPU)
        assert trained.facts["validated"] == said
