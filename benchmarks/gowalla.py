"""Recall and NDCG on gowalla, on the published split of the LightGCN paper, beside the published figures.

Every setting is chosen on the validation part (see `gowalla_data.split`), the steps of a training too; then the model
is fitted again on all of the published training part and measured once on test, all items ranked for all users.
Fitted channels are kept in `.cache/benchmarks/gowalla`, so that a run that was cut off goes on.

    python -m benchmarks gowalla --data DIR [--only MODEL ...] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from benchmarks import gowalla_data
from benchmarks.fusing import chosen_weights, slug, told, weighed_walk
from benchmarks.recipes import GOWALLA
from benchmarks.results import FOLDER, commit, record
from gnn.evaluation.held_out import Evaluation, Group, user_groups
from gnn.evaluation.metrics import bootstrap_interval
from gnn.evaluation.validation import Validation
from gnn.graph.fit import fit
from gnn.training.context import RunContext
from kg import KnowledgeGraph, Split
from kg.io.files import digest, read_json, write_json
from recall.channels import (
    EASE,
    ChebyCF,
    ChebyCFConfig,
    EASEConfig,
    ItemKNN,
    ItemKNNConfig,
    LightGCNChannel,
    Popularity,
    RP3Beta,
    RP3BetaConfig,
    Spectral,
    SpectralConfig,
)
from recall.channels.walk import Walk
from recall.contracts import Channel, FitData, LoadData
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel
from recall.quality.measure import measure

K = 20
RECALL, NDCG = f"recall@{K}", f"ndcg@{K}"
CACHE = Path(".cache") / "benchmarks" / "gowalla"
TUNING_USERS = 3_000
# How much each channel should weigh depends on how dense the data is: weights are chosen on a part so small that what
# is left to learn from is nearly that of the test.
WEIGHTS_SHARE = 0.06
WEIGHTS_USERS = 6_000
# Recall and NDCG as published on this split, all chosen on its test part (the papers had no validation part).
PUBLISHED = {
    "LightGCN (paper)": (0.1830, 0.1554),
    "UltraGCN": (0.1862, 0.1580),
    "SimpleX": (0.1872, 0.1557),
    "BSPM": (0.1920, 0.1597),
    "NESCL": (0.1917, 0.1617),
    "ChebyCF (paper)": (0.1941, 0.1616),
    "GF-CF (paper)": (0.1849, 0.1518),
    "EASE (BARS)": (0.1765, 0.1467),
    "item-kNN (BARS)": (0.1570, 0.1214),
}
POPULARITY, KNN, RP3, EASE_, GFCF, CHEBY = "popularity", "item-kNN", "RP3beta", "EASE", "GF-CF", "ChebyCF"
LIGHTGCN, FUSED, WITH_WALK = "LightGCN, sampled softmax", "fused", "fused with the typed walk"
AS_PUBLISHED = "EASE, lambda as published"
PARTS = (CHEBY, RP3, KNN)
Make = Callable[[], Channel]
C = TypeVar("C", bound=Channel)


@dataclass(frozen=True)
class Task:
    """One fit and what it is measured on.

    Attributes:
        name: "tuning", "weights" or "test".
        graph: what may be learned from.
        group: who is asked, and what there is to be found.
    """

    name: str
    graph: KnowledgeGraph
    group: Group

    @classmethod
    def valid(cls, name: str, graph: KnowledgeGraph, split: Split, users: int) -> Self:
        """Fit on train, find a seeded sample of the users' validation parts."""
        (group, *_) = user_groups(graph, split, part="valid", seen_parts=("train",))
        chosen = np.sort(np.random.default_rng(0).permutation(len(group))[:users])
        sample = {name: getattr(group, name).take(chosen) for name in ("history", "seen", "truth")}
        return cls(name, split.view(graph, "train"), replace(group, user=group.user[chosen], **sample))

    @classmethod
    def test(cls, graph: KnowledgeGraph, split: Split) -> Self:
        """Fit on all of the published training part, find the published test part of all users."""
        (group, *_) = user_groups(graph, split)
        return cls("test", split.view(graph, "train", "valid"), group)

    @cached_property
    def data(self) -> LoadData:
        """What the channels of the task share."""
        return LoadData.of(self.graph)

    def fit(self, channel: C) -> C:
        """The channel, fitted on the task's graph."""
        return channel.fit(FitData(graph=self.graph, history=self.data.history))

    def measure(self, channels: Mapping[str, Channel], weights: Mapping[str, float] | None = None) -> Evaluation:
        """Rank all items."""
        fusion = FusionConfig(weights=weights or {})
        return measure(
            Pipeline(channels, self.data.history, fusion=fusion), [self.group], trained_on=self.graph, ks=(K,)
        )[0]


def baselines() -> dict[str, dict[str, Make]]:
    """The settings that validation chooses from, by model."""
    return {
        POPULARITY: {"": Popularity},
        KNN: {
            f"{n} neighbours, shrinkage {s:g}, {'mean' if m else 'sum'}": partial(
                ItemKNN, ItemKNNConfig(neighbours=n, shrinkage=s, mean=m)
            )
            for n in (100, 200, 1000)
            for s in (0.0, 2.0)
            for m in (False, True)
        },
        RP3: {
            f"alpha {a:g}, beta {b:g}": partial(RP3Beta, RP3BetaConfig(alpha=a, beta=b))
            for a in (0.5, 0.6)
            for b in (0.2, 0.3, 0.4)
        },
        GFCF: {f"alpha {a:g}": partial(Spectral, SpectralConfig(alpha=a)) for a in (0.2, 0.3)},
        # A fit takes the inversion of a dense matrix; lambda was chosen on the 9,000 items with most training visits
        # (50: .127 NDCG, 100: .129, 200: .131, 400: .129, 800: .124).
        EASE_: {"lambda 200": partial(EASE, EASEConfig(regularisation=200.0))},
        # As BARS chose it on test: the published figure should come out again.
        AS_PUBLISHED: {"lambda 80": partial(EASE, EASEConfig(regularisation=80.0, weights=1000))},
    }


def cached(task: Task, name: str, settings: Any, kind: type[C], make: Callable[[], C]) -> tuple[C, float]:
    """A fitted channel and the seconds that its fit took, from the cache if it is there."""
    folder = CACHE / task.name / f"{name.replace(' ', '_')}-{digest(settings)[:12]}"
    facts = folder / "fit.json"
    if facts.exists():
        return kind.load(folder, task.data), read_json(facts)["seconds"]
    start = time.perf_counter()
    channel = make()
    seconds = time.perf_counter() - start
    folder.mkdir(parents=True, exist_ok=True)
    channel.save(folder)
    write_json(facts, {"seconds": seconds, "commit": commit(), "settings": settings})
    return channel, seconds


def fitted(task: Task, name: str, make: Make) -> tuple[Channel, float]:
    """A channel without steps, fitted on the task's graph."""
    channel = make()
    return cached(task, name, channel.config.model_dump(), type(channel), lambda: task.fit(channel))


@dataclass(frozen=True)
class Chosen:
    """What validation chose for one model."""

    note: str
    make: Make
    reached: dict[str, float]


def choose(name: str, options: dict[str, Make], task: Task) -> Chosen:
    """The option with the best NDCG on validation; all are printed. A single one has nothing to be measured for."""
    if len(options) == 1:
        ((note, make),) = options.items()
        return Chosen(note, make, {})
    measured = {note: reached(task, fitted(task, name, make)[0]) for note, make in options.items()}
    for note, values in measured.items():
        tell(name, note, values)
    best = max(measured, key=lambda note: measured[note][NDCG])
    return Chosen(best, options[best], measured[best])


def reached(task: Task, *channels: Channel) -> dict[str, float]:
    return means(task.measure({channel.name: channel for channel in channels}))


def means(evaluation: Evaluation) -> dict[str, float]:
    return {metric: evaluation.mean(metric) for metric in (RECALL, NDCG)}


def tell(name: str, note: str, values: dict[str, float]) -> None:
    print(f"validation  {name}  {note}  {values[RECALL]:.4f} {values[NDCG]:.4f}", flush=True)


def cheby_options() -> dict[str, ChebyCFConfig]:
    """The settings of ChebyCF that validation chooses from, all over one decomposition."""
    options = {}
    for beta, flatness, alpha in product((0.3, 0.4, 0.5), (1.0, 1.5, 2.0), (0.2, 0.3)):
        config = ChebyCFConfig(beta=beta, flatness=flatness, alpha=alpha)
        options[f"{config.factors} factors, beta {beta:g}, phi {flatness:g}, alpha {alpha:g}"] = config
    return options


def choose_cheby(task: Task) -> Chosen:
    """The option with the best NDCG on validation; the decomposition is made once."""
    start = ChebyCF()
    base, _ = cached(task, CHEBY, start.config.model_dump(), ChebyCF, lambda: task.fit(start))
    options = cheby_options()
    measured = {note: reached(task, base.with_config(config)) for note, config in options.items()}
    best = max(measured, key=lambda note: measured[note][NDCG])
    for note, values in measured.items():
        tell(CHEBY, note, values)
    return Chosen(best, partial(ChebyCF, options[best]), measured[best])


def trained(task: Task, seed: int, *, steps: int, beta: float, prior: float) -> tuple[LightGCNChannel, float]:
    """The model of a recipe whose steps, beta and prior are known."""

    def train() -> LightGCNChannel:
        chosen = {"steps": steps, "beta": beta, "prior": prior}
        embeddings = fit(task.graph, GOWALLA.model, GOWALLA.training, **chosen, context=RunContext(seed=seed))
        return exact_channel(embeddings, task.data)

    settings = {**recipe(), "seed": seed, "steps": steps, "beta": beta, "prior": prior}
    return cached(task, "LightGCN", settings, LightGCNChannel, train)


def trained_on_validation(task: Task, split: Split, graph: KnowledgeGraph) -> tuple[LightGCNChannel, float]:
    """The model of the first seed, its steps, beta and prior found by early stopping, and the seconds that took."""
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))

    def train() -> LightGCNChannel:
        embeddings = fit(task.graph, GOWALLA.model, GOWALLA.training, validation=validation, context=RunContext(seed=0))
        return exact_channel(embeddings, task.data)

    channel, seconds = cached(task, "LightGCN", {**recipe(), "seed": 0}, LightGCNChannel, train)
    return channel, seconds


def recipe() -> dict[str, Any]:
    """The settings of the trained model as plain data."""
    data: dict[str, Any] = json.loads(
        json.dumps({"model": GOWALLA.model.model_dump(), "training": GOWALLA.training.model_dump()})
    )
    return data


class Results:
    """Rows by model, with those of earlier runs for the models that this one leaves out."""

    def __init__(self, data: Path, seeds: int) -> None:
        self.data, self.seeds = gowalla_data.checksums(data), list(range(seeds))
        self.rows = self._kept()

    def _kept(self) -> dict[str, dict[str, Any]]:
        file = FOLDER / "gowalla.json"
        kept = read_json(file) if file.exists() else {}
        return {row["model"]: row for row in kept["rows"]} if kept.get("data") == self.data else {}

    def chosen(self, model: str, options: dict[str, Make]) -> Chosen:
        """What was chosen for a model that is measured already."""
        if model not in self.rows:
            raise SystemExit(f"the fusion needs {model}: run --only {model!r} first")
        row = self.rows[model]
        return Chosen(row["chosen"], options[row["chosen"]], row["validation"])

    def add(self, model: str, evaluations: Sequence[Evaluation], **facts: Any) -> None:
        """Keep the row of one model: means over its seeds, and the interval over users of each user's mean."""
        row: dict[str, Any] = {"model": model, "users": len(evaluations[0].user)}
        for metric in (RECALL, NDCG):
            of_seeds = [evaluation.mean(metric) for evaluation in evaluations]
            row[metric] = float(np.mean(of_seeds))
            if len(of_seeds) > 1:
                row[f"{metric} spread"] = float(np.std(of_seeds, ddof=1))
            row[f"{metric} interval"] = list(
                bootstrap_interval(np.mean([e.values[metric] for e in evaluations], axis=0))
            )
        self.rows = self._kept()  # another run may have measured other models meanwhile
        self.rows[model] = {**row, "seeds": len(evaluations), **facts, "commit": commit()}
        published = [{"model": name, RECALL: r, NDCG: n} for name, (r, n) in PUBLISHED.items()]
        order = [POPULARITY, KNN, EASE_, AS_PUBLISHED, RP3, GFCF, CHEBY, LIGHTGCN, FUSED, WITH_WALK]
        rows = sorted(self.rows.values(), key=lambda row: order.index(row["model"]))
        record("gowalla", rows, data=self.data, seeds=self.seeds, published=published)


def timed(
    task: Task, channels: Mapping[str, Channel], weights: Mapping[str, float] | None = None
) -> tuple[Evaluation, float]:
    """Measure, and say how long the ranking of all users took."""
    start = time.perf_counter()
    evaluation = task.measure(channels, weights)
    return evaluation, round(time.perf_counter() - start, 1)


def main(argv: Sequence[str]) -> None:
    """Run the models and keep their rows."""
    models = (*baselines(), CHEBY, LIGHTGCN, FUSED, WITH_WALK)
    parser = argparse.ArgumentParser(prog="python -m benchmarks gowalla", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gowalla/")
    parser.add_argument("--only", nargs="+", choices=models, default=list(models))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args(argv)
    folder = arguments.data / "gowalla"
    graph = gowalla_data.load(folder)
    near = ", ".join(f"{value:.4f}" for value in gowalla_data.nearness(graph))
    print(
        f"nearness of the test part to each tenth of the training lines, and to their random ninth: {near}", flush=True
    )
    split = gowalla_data.split(graph)
    tuning, test = Task.valid("tuning", graph, split, TUNING_USERS), Task.test(graph, split)
    results = Results(folder, arguments.seeds)
    for name, options in baselines().items():
        if name in arguments.only:
            keep_fitted(results, name, choose(name, options, tuning), test)
    if CHEBY in arguments.only:
        keep_fitted(results, CHEBY, choose_cheby(tuning), test)
    if not {LIGHTGCN, FUSED, WITH_WALK} & set(arguments.only):
        return
    model, seconds = trained_on_validation(tuning, split, graph)
    steps, beta, prior = (model.embeddings.facts[name] for name in ("steps", "beta", "prior"))
    fits = [trained(test, seed, steps=steps, beta=beta, prior=prior) for seed in range(arguments.seeds)]
    trainings = [channel for channel, _ in fits]
    if LIGHTGCN in arguments.only:
        measured = [timed(test, {channel.name: channel}) for channel in trainings]
        results.add(
            LIGHTGCN,
            [evaluation for evaluation, _ in measured],
            seconds=round(float(np.mean([took for _, took in fits])), 1),
            tuning_seconds=round(seconds, 1),
            rank_seconds=measured[0][1],
            validation=reached(tuning, model),
            chosen=f"{steps} steps, beta {beta:g}, prior {prior:g}",
        )
    for name in (FUSED, WITH_WALK):
        if name not in arguments.only:
            continue
        walk = None
        if name == WITH_WALK:
            validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
            walk = weighed_walk("gowalla", split.view(graph, "train"), validation)
        cheby = {note: partial(ChebyCF, config) for note, config in cheby_options().items()}
        others: dict[str, dict[str, Make]] = {**baselines(), CHEBY: dict(cheby)}
        parts = {part: results.chosen(part, others[part]) for part in PARTS}
        small = gowalla_data.split(graph, WEIGHTS_SHARE)
        weighing = Task.valid("weights", graph, small, WEIGHTS_USERS)
        model, _ = trained(weighing, 0, steps=steps, beta=beta, prior=prior)
        run_fused(results, name, weighing, test, model, trainings, walk, parts)


def run_fused(
    results: Results,
    name: str,
    weighing: Task,
    test: Task,
    model: Channel,
    models: Sequence[Channel],
    walk: Walk | None,
    parts: dict[str, Chosen],
) -> None:
    """Fuse the trained model with other channels, under weights that validation chose.

    Args:
        results: gets the row.
        name: of the row.
        weighing: what the weights are chosen on.
        test: what is measured.
        model: trained on the graph of `weighing`.
        models: trained on the test graph, one a seed.
        walk: with the weights that it found on validation; None: it takes no part.
        parts: the other channels, by name.
    """

    def channels(task: Task, trained: Channel) -> dict[str, Channel]:
        others = {slug(name): fitted(task, name, chosen.make)[0] for name, chosen in parts.items()}
        return {"lightgcn": trained, **others, **walks[task.name]}

    walks: dict[str, dict[str, Channel]] = {weighing.name: {}, test.name: {}}
    if walk is not None:
        for task in (weighing, test):
            data = FitData(graph=task.graph, history=task.data.history, recipe=walk.recipe)
            walks[task.name]["walk"] = Walk(walk.config).fit(data)
    weights = chosen_weights(channels(weighing, model), weighing.graph, weighing.group, k=K)
    on_validation = means(weighing.measure(channels(weighing, model), weights))
    note = told(weights)
    tell(name, note, on_validation)
    evaluations, rankings = [], []
    for trained_model in models:
        evaluation, ranking = timed(test, channels(test, trained_model), weights)
        evaluations.append(evaluation)
        rankings.append(ranking)
    results.add(name, evaluations, rank_seconds=float(np.mean(rankings)), validation=on_validation, chosen=note)


def keep_fitted(results: Results, name: str, chosen: Chosen, test: Task) -> None:
    """Fit the chosen setting on everything but test, and measure it once."""
    channel, seconds = fitted(test, name, chosen.make)
    evaluation, ranking = timed(test, {channel.name: channel})
    results.add(
        name, [evaluation], seconds=round(seconds, 1), rank_seconds=ranking, validation=chosen.reached,
        chosen=chosen.note,
    )  # fmt: skip
