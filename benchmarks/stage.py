"""A recall stage as a whole: fused beside its best channel at 100, how many items it reaches, and new users.

Settings are chosen on the validation part of each data set, as in `walk`, and so are the weights, by the NDCG of lists
of 100; test is read once. "Best channel" is the one that is best on test, of each metric, so that a fusion is compared
with the hardest one.

- reach: the share of all items that stand in the list of 100 of some user of the graph, by the dial `long_tail` of
  `pipeline.control` and by a quota of the channel `overlooked`, and what part of recall@100 each costs.
- new users: a tenth of the users who like more than five items keep their last five. The channels are fitted with
  them, and without them; then these users are asked as users of the graph, and as somebody new with the same five. Not
  on Beauty, whose SASRec knows no users, only their items.

- aged: item-kNN whose histories are weighed by age, the half-life in places chosen on validation, minus the same with
  all items alike.
- speed: candidates of one user at a time, each channel alone and fused, and of all users of the test at once.

    python -m benchmarks stage --data DIR [--only DATA ...] [--part PART ...]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import movies, sequences, walk
from benchmarks.fusing import told, weighed_walk
from benchmarks.recipes import MAIN
from benchmarks.results import FOLDER, record
from gnn.evaluation.metrics import Values, bootstrap_interval, per_user_metrics
from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.arrays.pairs import PairIndex
from kg.io.files import read_json
from recall.channels import EASE, EASEConfig, ItemKNN, Overlooked, OverlookedConfig, Spectral
from recall.channels.walk import Walk
from recall.contracts import Channel, FitData, LoadData, Query
from recall.control.control import Control
from recall.control.settings import ControlSettings, Quota
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel

NAME = "stage"
DATA = (walk.MOVIES, walk.BOOKS, walk.BEAUTY, walk.GOWALLA)
K, SHORT = 100, 20
ASKED = 500  # requests whose time is taken
PARTS = ("rows", "reach", "new_users", "speed", "aged")
METRICS = ("recall@100", "ndcg@20")
TUNED_ON = 4_000  # validation users that weights are searched with
DIAL = (0.0, 0.1, 0.2, 0.3)
QUOTAS = (5, 10, 12)
BOTH = 0.2  # the dial beside the last quota
DEPTH = 10_000  # how far down the rankings the items of `overlooked` are looked for
GIVEN = 5  # items of a new user
_BLOCK = 256
Fit = Callable[[KnowledgeGraph], Channel]
best_of = partial(sequences.best_items, k=K, block=_BLOCK)


def fits_of(problem: walk.Problem) -> dict[str, Fit]:
    """The channels of a data set, each with its settings chosen, to be fitted on any part of it."""
    chosen = {name: walk.choose(options, problem)[1] for name, options in walk.baselines().items() if options[1:]}

    def plain(make: Callable[[], Channel]) -> Fit:
        return lambda graph: make().fit(FitData.of(graph))

    weighed = weighed_walk(problem.name, problem.first, problem.chosen_on, problem.features)
    fits: dict[str, Fit] = {
        "walk": lambda graph: Walk(weighed.config).fit(
            FitData.of(graph, features=problem.features, recipe=weighed.recipe)
        ),
        "item_knn": plain(chosen["item-kNN"]),
        "rp3beta": plain(chosen["RP3beta"]),
    }
    if problem.name == walk.GOWALLA:
        fits["spectral"] = plain(Spectral)
    else:
        fits["ease"] = plain(partial(EASE, EASEConfig(regularisation=200.0)))
    if problem.name == walk.BEAUTY:
        fits["sasrec"] = partial(_sasrec, problem)
    if problem.name == walk.MOVIES:
        fits["lightgcn"] = partial(_lightgcn, problem)
    return fits


def _sasrec(problem: walk.Problem, graph: KnowledgeGraph) -> Channel:
    part = replace(problem, first=graph, final=graph)
    return sequences.fitted(part, "sasrec", ("id",), seed=0)


def _lightgcn(problem: walk.Problem, graph: KnowledgeGraph) -> Channel:
    assert problem.features is not None  # noqa: S101 (the movies have texts)
    return exact_channel(movies.bare(movies.train(graph, MAIN, problem.features, seed=0)), LoadData.of(graph))


def weights_of(problem: walk.Problem, channels: Mapping[str, Channel]) -> dict[str, float]:
    """The weights with the best NDCG@100 for a sample of the validation users."""
    group = problem.tuning
    rows = np.sort(np.random.default_rng(0).permutation(len(group))[:TUNED_ON])
    queries = Query.of_users(group.user[rows], problem.first.users, seen=group.seen.take(rows))
    pipeline = Pipeline(channels, FitData.of(problem.first).history)
    return dict(pipeline.fit_fusion(queries, group.truth.take(rows), k=K).weights)


def metrics_of(ranked: IntArray, truth: RaggedArray) -> dict[str, Values]:
    """Recall@100 and NDCG@20 of each request."""
    deep, short = per_user_metrics(ranked, truth, K), per_user_metrics(ranked[:, :SHORT], truth, SHORT)
    return {"recall@100": deep["recall"], "ndcg@20": short["ndcg"]}


def fused_rows(problem: walk.Problem, channels: Mapping[str, Channel], pipeline: Pipeline) -> list[dict[str, Any]]:
    """Each channel, the fusion, and the fusion minus the best channel."""
    queries, truth = sequences.requests(problem, seed=0), problem.test.truth
    values = {name: metrics_of(best_of(channel, queries), truth) for name, channel in channels.items()}
    values["fused"] = metrics_of(best_of(pipeline, queries), truth)
    rows = [{"data": problem.name, "model": name, **_means(own)} for name, own in values.items()]
    best = {metric: max(channels, key=lambda name, m=metric: values[name][m].mean()) for metric in METRICS}
    difference = {metric: values["fused"][metric] - values[best[metric]][metric] for metric in METRICS}
    compared = {"data": problem.name, "model": "fused minus best channel", **_means(difference), "best": best}
    rows += [compared | {"weights": told(pipeline.fusion.weights), "users": len(problem.test)}]
    return rows


def reach_rows(problem: walk.Problem, pipeline: Pipeline) -> list[dict[str, Any]]:
    """The share of items in some list, by the dial and by a quota of what no list shows, and what that costs."""
    queries, truth = sequences.requests(problem, seed=0), problem.test.truth
    everybody = Query.of_users(np.arange(len(problem.final.users)), problem.final.users)
    overlooked = Overlooked(OverlookedConfig(depth=DEPTH)).fit(FitData.of(problem.final, features=problem.features))
    channels = {**pipeline.channels, overlooked.name: overlooked}
    weights = {**pipeline.fusion.weights, overlooked.name: 0.0}
    wider = Pipeline(channels, pipeline.history, fusion=pipeline.fusion.changed(weights=weights))
    quotas = {least: (Quota(name="what nobody sees", channel=overlooked.name, at_least=least),) for least in QUOTAS}
    most = max(QUOTAS)
    rules = {
        **{f"long_tail = {dial:g}": ControlSettings(long_tail=dial) for dial in DIAL},
        **{f"{least} of overlooked": ControlSettings(quotas=quota) for least, quota in quotas.items()},
        f"long_tail = {BOTH:g}, {most} of overlooked": ControlSettings(long_tail=BOTH, quotas=quotas[most]),
    }
    rows: list[dict[str, Any]] = []
    for rule, settings in rules.items():
        control = Control(settings, problem.final, wider)
        reached = len(np.unique(control.recommend(everybody, k=K).item)) / len(problem.final.items)
        batch = control.recommend(queries, k=K)
        ranked = np.full((len(queries), K), -1, dtype=np.int64)
        ranked[batch.row, batch.rank - 1] = batch.item
        values = metrics_of(ranked, truth)
        row = {"data": problem.name, "rule": rule, "reach@100": reached}
        row |= {metric: float(values[metric].mean()) for metric in METRICS}
        rows.append(row | {"recall kept": row["recall@100"] / rows[0]["recall@100"] if rows else 1.0})
        print(row, flush=True)
    return rows


def new_user_rows(problem: walk.Problem, fits: Mapping[str, Fit], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """What new users with five items get, in parts of what they get when the channels were fitted with these."""
    users, latest = _chosen_users(problem)
    with_them = _keeping(problem.final, users, latest)
    without = _keeping(problem.final, users, RaggedArray.empty(len(users)))
    at = {user: row for row, user in enumerate(problem.test.user.tolist())}
    truth = problem.test.truth.take(np.array([at[user] for user in users.tolist()]))
    known = Query.of_users(users, problem.final.users, seen=latest)
    new = Query.of_histories([f"new {user}" for user in users.tolist()], latest, seen=latest)
    values: dict[str, list[dict[str, Values]]] = {name: [] for name in [*fits, "fused"]}
    for graph, queries in ((with_them, known), (without, new)):
        channels = {name: fit(graph) for name, fit in fits.items()}
        history = FitData.of(graph).history
        rankers: dict[str, Channel | Pipeline] = {**channels}
        rankers["fused"] = Pipeline(channels, history, fusion=FusionConfig(weights=dict(weights)))
        for name, ranker in rankers.items():
            values[name].append(metrics_of(best_of(ranker, queries), truth))
    rows = []
    for name, (trained, folded) in values.items():
        row: dict[str, Any] = {"data": problem.name, "model": name, "users": len(users)}
        for metric in METRICS:
            row[f"{metric} trained"], row[f"{metric} new"] = trained[metric].mean(), folded[metric].mean()
            row[f"{metric} kept"] = folded[metric].mean() / max(trained[metric].mean(), 1e-12)
        rows.append({key: float(value) if isinstance(value, np.floating) else value for key, value in row.items()})
    return rows


def _chosen_users(problem: walk.Problem) -> tuple[IntArray, RaggedArray]:
    """A tenth of the users of the test who like more than five items, and the last five of each."""
    liked = FitData.of(problem.final).history.in_order(problem.test.user)
    many = np.flatnonzero(liked.counts > GIVEN)
    rows = np.sort(np.random.default_rng(0).choice(many, max(len(many) // 10, 1), replace=False))
    return problem.test.user[rows], RaggedArray.from_lists([liked[row][-GIVEN:].tolist() for row in rows.tolist()])


def _keeping(graph: KnowledgeGraph, users: IntArray, items: RaggedArray) -> KnowledgeGraph:
    """The graph in which some users did nothing but to some items, (n,) lists."""
    kept = PairIndex.of(users[items.rows()], items.values, len(graph.items))
    masks = {}
    for key in graph.schema.events():
        if (ends := graph.event_columns(key)) is not None:
            masks[key] = ~np.isin(ends[0], users) | kept.contains(*ends)
    return graph.keep_edges(masks)


def _means(values: Mapping[str, Values]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for metric, own in values.items():
        means[metric], means[f"{metric} interval"] = float(own.mean()), list(bootstrap_interval(own))
    return means


def speed_rows(problem: walk.Problem, channels: Mapping[str, Channel], fused: Pipeline) -> list[dict[str, Any]]:
    """Milliseconds of a request by one channel and by the fusion, and users a second of a whole batch."""
    queries = sequences.requests(problem, seed=0)
    asked = np.random.default_rng(0).choice(len(queries), min(ASKED, len(queries)), replace=False)
    pipelines = {name: Pipeline([channel], fused.history) for name, channel in channels.items()}
    rows = []
    for name, pipeline in {**pipelines, f"fused, {len(channels)} channels": fused}.items():
        pipeline.recommend(queries.take(asked[:5]), k=K)  # what is made at the first request
        taken = []
        for row in asked:
            start = time.perf_counter()
            pipeline.recommend(queries.take(np.array([row])), k=K)
            taken.append(time.perf_counter() - start)
        start = time.perf_counter()
        pipeline.recommend(queries, k=K)
        batch = len(queries) / (time.perf_counter() - start)
        p50, p99 = np.percentile(taken, [50, 99]) * 1000
        rows.append({"data": problem.name, "model": name, "p50 ms": p50, "p99 ms": p99, "users a second": batch})
    return [{key: float(v) if isinstance(v, np.floating) else v for key, v in row.items()} for row in rows]


def aged_rows(problem: walk.Problem) -> list[dict[str, Any]]:
    """Item-kNN with histories weighed by age, beside all items alike."""
    plain = walk.choose(walk.baselines()["item-kNN"], problem)[1]().config
    aged = plain.changed(half_life="validation", half_life_in="places")
    chosen = ItemKNN(aged).fit(FitData.of(problem.first, validation=problem.chosen_on)).config
    data, queries = FitData.of(problem.final), sequences.requests(problem, seed=0)
    alike, weighed = (
        metrics_of(best_of(ItemKNN(config).fit(data), queries), problem.test.truth) for config in (plain, chosen)
    )
    row: dict[str, Any] = {"data": problem.name, "half_life": chosen.half_life, "users": len(problem.test)}
    for metric in METRICS:
        row[metric], row[f"{metric} alike"] = float(weighed[metric].mean()), float(alike[metric].mean())
        row[f"{metric} interval of the difference"] = list(bootstrap_interval(weighed[metric] - alike[metric]))
    return [row]


def main(argv: Sequence[str]) -> None:
    """Measure and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks stage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/, book-crossing/ and gowalla/")
    parser.add_argument("--only", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args(argv)
    for name in arguments.only:
        problem = walk.PROBLEMS[name](arguments.data, walk.encoded)
        made: dict[str, list[dict[str, Any]]] = {}
        if "aged" in arguments.part:
            made["aged"] = aged_rows(problem)
        if set(arguments.part) - {"aged"}:
            made |= of_pipeline(problem, arguments.part)
        keep(problem, made)


def of_pipeline(problem: walk.Problem, parts: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows for which the channels are fitted and fused."""
    fits = fits_of(problem)
    first = {channel: fit(problem.first) for channel, fit in fits.items()}
    weights = weights_of(problem, first)
    same = problem.final is problem.first
    channels = first if same else {channel: fit(problem.final) for channel, fit in fits.items()}
    pipeline = Pipeline(channels, FitData.of(problem.final).history, fusion=FusionConfig(weights=weights))
    made = {}
    if "rows" in parts:
        made["rows"] = fused_rows(problem, channels, pipeline)
    if "reach" in parts:
        made["reach"] = reach_rows(problem, pipeline)
    if "speed" in parts:
        made["speed"] = speed_rows(problem, channels, pipeline)
    if "new_users" in parts and problem.name != walk.BEAUTY:
        made["new_users"] = new_user_rows(problem, fits, weights)
    return made


def keep(problem: walk.Problem, made: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Put rows in the place of earlier ones of the same data set."""
    file = FOLDER / f"{NAME}.json"
    kept = read_json(file) if file.exists() else {}
    parts = {
        part: [row for row in kept.get(part, []) if row["data"] != problem.name or part not in made]
        + list(made.get(part, ()))
        for part in PARTS
    }
    sums = {**kept.get("data", {}), **problem.data}
    facts = {"k": K, "tuned_on": TUNED_ON, "given": GIVEN, "load": os.getloadavg()[0]}
    record(NAME, parts.pop("rows"), data=sums, notes=(__doc__ or "").strip(), **facts, **parts)
