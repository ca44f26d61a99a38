"""Sequence models on Beauty, Toys and the movies: all items ranked, steps chosen on validation, test read once.

- beauty, toys: leave-one-out, as in `walk`: fitted on the training part alone; the request of the test has the
  validation item in its history. "known targets" leaves out the users whose item of the test is in no history of the
  training, as published numbers do.
- movies, movies by global time: fitted on training part, and for the test on training and validation part for as many
  steps; the users who like something in training are asked.

"order shuffled" trains and asks with the items of each history in a random order. `--fused` adds up what this run has
trained and the walk under the settings of `walk`, which reads texts where a model does, with weights by validation. A
training that was finished or interrupted before is taken up from `.cache`.

    python -m benchmarks sequences --data DIR [--only beauty ...] [--model sasrec ...] [--parts id id,text ...]
        [--shuffled] [--fused] [--seeds 3] [--steps N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks import movies_data, walk
from benchmarks.fusing import chosen_weights, slug, told, weighed_walk
from benchmarks.results import FOLDER, record
from gnn.evaluation.metrics import Values, bootstrap_interval, per_user_metrics
from gnn.sequence.settings import ItemPart, SequenceTraining
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RaggedArray, SplitConfig, split_interactions
from kg.arrays import IntArray
from kg.io.files import read_json
from recall.channels import (
    BERT4RecChannel,
    BERT4RecChannelConfig,
    GRU4RecChannel,
    GRU4RecChannelConfig,
    NARMChannel,
    NARMChannelConfig,
    SASRecChannel,
    SASRecChannelConfig,
)
from recall.channels.base import item_likes
from recall.channels.sequence import SequenceChannel
from recall.contracts import Channel, FitData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline

NAME = "sequences"
_BLOCK = 4096  # users who are asked at a time
# Of four settings tried on the validation part of Beauty: what a short training on one core comes furthest with. Twice
# the steps reach NDCG@20 .0779 there, these .0795.
TRAINING = SequenceTraining(
    learning_rate=0.004,
    last_rate=0.0,
    negatives=512,
    max_steps=3_500,
    eval_every=500,
    patience=4,
    validation_users=5_000,
)
MODELS: Mapping[str, tuple[type[SequenceChannel], Any]] = {
    "sasrec": (SASRecChannel, SASRecChannelConfig(blocks=1, dropout=0.4, training=TRAINING)),
    # It learns from the hidden items of a step alone: with a fifth of them hidden, dropout 0.4 and as many steps as the
    # others NDCG@20 is .0380 on the validation part of Beauty; with these, and 3,500 steps, .0498.
    "bert4rec": (
        BERT4RecChannel,
        BERT4RecChannelConfig(
            blocks=1,
            feed_forward=1,
            dropout=0.2,
            hidden_share=0.5,
            training=TRAINING.changed(max_steps=10_000, eval_every=1_000),
        ),
    ),
    "narm": (NARMChannel, NARMChannelConfig(dropout=0.4, training=TRAINING)),
    "gru4rec": (GRU4RecChannel, GRU4RecChannelConfig(dropout=0.4, training=TRAINING)),
}
# Recall@10 and NDCG@10 on the same files and split; SASRec's leave out the targets that nobody has touched.
_GRAM, _ESASREC = "zhaodong-liu/GRAM", "blondered/transformer_benchmark"
PUBLISHED: Sequence[tuple[str, str, float, float, str]] = (
    (walk.BEAUTY, "GRU4Rec", 0.0643, 0.0357, _GRAM),
    (walk.BEAUTY, "BERT4Rec", 0.0450, 0.0224, _GRAM),
    (walk.BEAUTY, "SASRec, sampled softmax", 0.0921, 0.0531, _ESASREC),
    (walk.BEAUTY, "EnsRec", 0.0980, 0.0565, "arXiv 2512.17820"),
    (walk.TOYS, "GRU4Rec", 0.0549, 0.0311, _GRAM),
    (walk.TOYS, "BERT4Rec", 0.0355, 0.0178, _GRAM),
    (walk.TOYS, "SASRec, sampled softmax", 0.0970, 0.0580, _ESASREC),
    (walk.TOYS, "EnsRec", 0.1061, 0.0625, "arXiv 2512.17820"),
)
SHUFFLED = ", order shuffled"
GLOBAL = "movies by global time"
CHECKPOINTS = Path(".cache") / "benchmarks" / NAME


def movies_by_global_time(_data: Path, features: Callable[[KnowledgeGraph], TextFeatures | None]) -> walk.Problem:
    """The bundled movies, split at two moments for all users."""
    graph, _ = movies_data.bundled()
    split = split_interactions(graph, SplitConfig(kind="global_time"))
    sums = movies_data.checksums()
    return walk.Problem.of(GLOBAL, graph, split, refit=True, features=features(graph), data=sums)


SETS: Mapping[str, Callable[..., walk.Problem]] = {
    walk.BEAUTY: partial(walk.sequences, walk.BEAUTY),
    walk.TOYS: partial(walk.sequences, walk.TOYS),
    walk.MOVIES: walk.movies_,
    GLOBAL: movies_by_global_time,
}

# ------------------------------------------------------------------------------------------------------- the trainings


def fitted(
    problem: walk.Problem, model: str, parts: Sequence[ItemPart], *, seed: int, steps: int | None = None
) -> SequenceChannel:
    """A channel for the test, its steps chosen on validation; at most `steps`, or those of the model."""
    kind, config = MODELS[model]
    most = steps or config.training.max_steps
    training = config.training.changed(max_steps=most, eval_every=min(config.training.eval_every, most))
    channel = kind(config.changed(item_parts=tuple(parts), training=training))
    folder = CHECKPOINTS / slug("-".join([problem.name, model, *parts, str(seed)]))
    context = RunContext(device="cpu", seed=seed, checkpoints=folder, on_validation=partial(_tell, model))
    data = FitData.of(problem.first, features=problem.features, validation=problem.chosen_on, context=context)
    channel.fit(data)
    if problem.final is problem.first:
        return channel
    again = RunContext(device="cpu", seed=seed, on_validation=partial(_tell, model))
    data = FitData.of(problem.final, features=problem.features, recipe=channel.recipe, context=again)
    return kind(channel.config).fit(data)


def _tell(model: str, log: Sequence[Mapping[str, Any]]) -> None:
    print(model, log[-1], flush=True)


def with_order_shuffled(problem: walk.Problem, seed: int) -> walk.Problem:
    """The same with the items of each history of the training, and of each request, in a random order."""
    random = np.random.default_rng(seed)
    key = problem.first.schema.interaction_key

    def mixed(graph: KnowledgeGraph) -> KnowledgeGraph:
        table = graph.edges[key]
        place = table.column_names.index("order")
        order = [random.permutation(table.num_rows)]
        return KnowledgeGraph(graph.schema, graph.nodes, {**graph.edges, key: table.set_column(place, "order", order)})

    if problem.final is not problem.first:
        raise ValueError(f"{problem.name} has times, which the order follows")
    first = mixed(problem.first)
    return replace(problem, name=problem.name + SHUFFLED, first=first, final=first)


# ---------------------------------------------------------------------------------------------------------- the metrics


def requests(problem: walk.Problem, *, seed: int) -> Query:
    """Who is asked in the test part, and what comes with the requests."""
    users, group = problem.final.users, problem.test
    queries = Query.of_users(group.user, users, seen=group.seen)
    if problem.later is None:
        return queries
    if not problem.name.endswith(SHUFFLED):
        return replace(queries, history=problem.later)
    own = FitData.of(problem.final).history.sequence(group.user)
    rows = np.concatenate([own.rows(), problem.later.rows()])
    items = np.concatenate([own.values, problem.later.values])
    mixed = np.random.default_rng(seed).permutation(len(rows))
    history = RaggedArray.from_grouped(rows[mixed], items[mixed], num_rows=len(group))
    return Query.of_histories(queries.key, history, seen=group.seen)


def best_items(ranker: Channel | Pipeline, queries: Query, *, k: int, block: int) -> IntArray:
    """The best items of each request but those it has seen, a block of requests at a time, int64 (n, k)."""
    found = [ranker.score(part).top(k, exclude=part.seen).items for _, part in queries.blocks(block)]
    return np.concatenate(found)


def measured(problem: walk.Problem, ranker: SequenceChannel | Pipeline, *, seed: int) -> dict[str, Values]:
    """The metrics of the test part, a value for each user; what would serve ranks all items."""
    ranked = best_items(ranker, requests(problem, seed=seed), k=problem.k, block=_BLOCK)
    values = per_user_metrics(ranked, problem.test.truth, problem.k)
    return {metric: values[metric.partition("@")[0]] for metric in problem.metrics}


def row_of(problem: walk.Problem, values: Sequence[Mapping[str, Values]]) -> dict[str, Any]:
    """Means over seeds of each user's values, with intervals over users; of one item each also for known targets."""
    row: dict[str, Any] = {"data": problem.name.removesuffix(SHUFFLED), "k": problem.k, "users": len(problem.test)}
    row["seeds"] = len(values)
    known = item_likes(FitData.of(problem.first).history)[problem.test.truth.values] > 0
    for metric in problem.metrics:
        mean = np.mean([of_seed[metric] for of_seed in values], axis=0)
        row[metric] = float(mean.mean())
        row[f"{metric} interval"] = list(bootstrap_interval(mean))
        if len(values) > 1:
            row[f"{metric} spread"] = float(np.std([of_seed[metric].mean() for of_seed in values], ddof=1))
        if problem.later is not None:
            row[f"{metric} known targets"] = float(mean[known].mean())
    return {**row, "known targets": int(known.sum())} if problem.later is not None else row


def keep(row: Mapping[str, Any], sums: Mapping[str, str]) -> None:
    """Add a row to the file, in place of an earlier one of the same data, model and parts."""
    file = FOLDER / f"{NAME}.json"
    kept = read_json(file) if file.exists() else {"rows": [], "data": {}}
    same = ("data", "model", "parts")
    rows = [old for old in kept["rows"] if [old[key] for key in same] != [row[key] for key in same]]
    rows = sorted([*rows, row], key=lambda each: [str(each[key]) for key in same])
    names = ("data", "model", "recall@10", "ndcg@10", "source")
    published = [dict(zip(names, figures, strict=True)) for figures in PUBLISHED]
    record(NAME, rows, data={**kept["data"], **sums}, published=published, notes=(__doc__ or "").strip())


def of_training(channels: Sequence[SequenceChannel]) -> dict[str, Any]:
    """What the rows say of the trainings; the seconds are those of a whole training."""
    trainings = [channel.facts["training"] for channel in channels]
    return {
        "steps": [training["steps"] for training in trainings],
        "seconds a training": round(float(np.mean([training["seconds"] for training in trainings])), 1),
        "settings": channels[0].config.model_dump(mode="json"),
    }


# --------------------------------------------------------------------------------------------------------------- fused


def fused(problem: walk.Problem, trained: Mapping[str, Sequence[SequenceChannel]]) -> dict[str, Any]:
    """The row of a fusion of the walk and, for each seed, the channels of that seed, with weights by validation.

    Args:
        problem: learned from before and for the test alike.
        trained: name -> a channel for each seed.
    """
    walked = weighed_walk(problem.name, problem.first, problem.chosen_on, problem.features)
    values, weights = [], []
    for seed, channels in enumerate(zip(*trained.values(), strict=True)):
        named: dict[str, Channel] = {**dict(zip(trained, channels, strict=True)), "walk": walked}
        weights.append(chosen_weights(named, problem.first, problem.tuning, k=problem.k))
        pipeline = Pipeline(named, FitData.of(problem.final).history, fusion=FusionConfig(weights=weights[-1]))
        values.append(measured(problem, pipeline, seed=seed))
    return row_of(problem, values) | {
        "model": "fused",
        "parts": " + ".join([*trained, "walk" if problem.features is not None else "walk without texts"]),
        "weights": [told(of_seed) for of_seed in weights],
    }


def main(argv: Sequence[str]) -> None:
    """Train, measure and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sequences", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--only", nargs="*", choices=list(SETS), default=[walk.BEAUTY, walk.TOYS])
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--parts", nargs="*", type=_parts, default=[("id",)], help='such as "id" or "id,text"')
    parser.add_argument("--shuffled", action="store_true", help="with the items of each history in a random order")
    parser.add_argument("--fused", action="store_true", help="also the sum of all of these and the walk")
    parser.add_argument("--steps", type=int, help="of a training, at most; default: those of the model")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args(argv)
    seeds = range(arguments.seeds)
    with_texts = any("text" in parts for parts in arguments.parts)
    for name in arguments.only:
        problem = SETS[name](arguments.data, walk.encoded if with_texts else _without)
        if arguments.shuffled:
            problem = with_order_shuffled(problem, seed=0)
        trained: dict[str, list[SequenceChannel]] = {}
        for model in arguments.model:
            for parts in arguments.parts:
                channels = [fitted(problem, model, parts, steps=arguments.steps, seed=seed) for seed in seeds]
                trained[slug("-".join([model, *parts]))] = channels
                values = [measured(problem, channel, seed=seed) for channel, seed in zip(channels, seeds, strict=True)]
                row = row_of(problem, values) | of_training(channels)
                row |= {"model": model + SHUFFLED * arguments.shuffled, "parts": " + ".join(parts)}
                keep(row, problem.data)
        if arguments.fused:
            keep(fused(problem, trained), problem.data)


def _parts(text: str) -> tuple[ItemPart, ...]:
    parts = tuple(text.split(","))
    if unknown := [part for part in parts if part not in get_args(ItemPart)]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(get_args(ItemPart))}")
    return parts  # type: ignore[return-value]


def _without(_graph: KnowledgeGraph) -> None:
    return None
