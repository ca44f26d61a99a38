"""The typed walk on five data sets: beside baselines, with parts of the graph taken away, fused, and with its defaults.

Powers, decays and weights are chosen on the validation part of each data set; test is read once.

- beauty, toys: leave-one-out. Everything is fitted on the training part alone; the request of the test has the
  validation item in its history. Ranks count equal scores at their mean.
- movies: the split by time within each user; fitted on training and validation part for the test.
- book-crossing: the split of CKAN, fitted on the first part alone, as in `book_crossing`.
- gowalla: the published split, validation as in `gowalla_data`; fitted on all of its training part for the test.

An ablation keeps the settings of the walk; its weights are found anew on validation. "shuffled knowledge" permutes the
targets of each relation, so that all degrees stay. "defaults" has no validation part; "defaults of the other data
sets" takes the medians of what the walk chose on the others: of each setting, and of what each kind of step counts.

    python -m benchmarks walk --data DIR [--only DATA ...] [--trials 40] [--ease] [--fused] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import book_crossing_data, gowalla_data, movies, movies_data, sequences_data
from benchmarks.ablations import shuffled
from benchmarks.fusing import chosen_weights, slug, told
from benchmarks.pair_metrics import user_means
from benchmarks.recipes import MAIN
from benchmarks.results import FOLDER, record
from gnn.evaluation.held_out import Group, user_groups
from gnn.evaluation.metrics import Values, bootstrap_interval
from gnn.evaluation.validation import Validation
from gnn.text.cache import TextCache
from gnn.text.encoder import TextConfig, TextEncoder
from gnn.text.features import TextFeatures, encode_graph
from kg import KnowledgeGraph, RaggedArray, RelationKey, Split, SplitConfig, split_interactions
from kg.history import InteractionHistory
from kg.io.files import read_json
from recall.channels import EASE, EASEConfig, ItemKNN, ItemKNNConfig, Popularity, RP3Beta, RP3BetaConfig
from recall.channels.walk import Walk, WalkConfig
from recall.contracts import Channel, FitData, LoadData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel
from recall.quality.measure import measure

NAME = "walk"
BEAUTY, TOYS, MOVIES, BOOKS, GOWALLA = "beauty", "toys", "movies", "book-crossing", "gowalla"
WALK, DEFAULTS, OTHERS, FUSED = "walk", "walk, defaults", "walk, defaults of the other data sets", "fused"
_BLOCK = 256  # users whose scores of all items are held at a time
CACHE = Path(".cache") / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One data set and what is asked.

    Attributes:
        name: of the data set.
        k: cut-off.
        first: what may be learned from while choosing.
        chosen_on: what validation users went on to like.
        tuning: the same users, as baselines are asked.
        final: what may be learned from for the test.
        test: who is asked, and what there is to be found.
        later: items that come with the requests of the test, (n,) lists; None: nothing.
        features: text vectors of the nodes, if there are texts.
        data: file name -> sha256.
    """

    name: str
    k: int
    first: KnowledgeGraph
    chosen_on: Validation
    tuning: Group
    final: KnowledgeGraph
    test: Group
    later: RaggedArray | None = None
    features: TextFeatures | None = None
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        graph: KnowledgeGraph,
        split: Split,
        *,
        k: int = 20,
        refit: bool,
        features: TextFeatures | None,
        data: Mapping[str, str],
    ) -> Problem:
        """From a split; `refit` learns from training and validation part for the test."""
        chosen_on = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
        (tuning, *_) = user_groups(graph, split, part="valid", seen_parts=("train",))
        (test, *_) = user_groups(graph, split)
        first = split.view(graph, "train")
        final = split.view(graph, "train", "valid") if refit else first
        return cls(
            name=name, k=k, first=first, chosen_on=chosen_on, tuning=tuning, final=final, test=test,
            features=features, data=data,
        )  # fmt: skip

    @property
    def metrics(self) -> tuple[str, str]:
        return f"recall@{self.k}", f"ndcg@{self.k}"

    def values(self, channels: Mapping[str, Channel], weights: Mapping[str, float] | None = None) -> dict[str, Values]:
        """The metrics of fitted channels on the test part, a value for each user."""
        history = InteractionHistory.of(self.final)
        pipeline = Pipeline(channels, history, fusion=FusionConfig(weights=dict(weights or {})))
        if self.later is not None:
            return _last_item(pipeline, self.test, self.later, self.final, self.k)
        evaluation = measure(pipeline, [self.test], trained_on=self.final, ks=(self.k,))[0]
        return {metric: evaluation.values[metric] for metric in self.metrics}


def _last_item(
    pipeline: Pipeline, group: Group, later: RaggedArray, graph: KnowledgeGraph, k: int
) -> dict[str, Values]:
    """Recall and NDCG of one item each, equal scores at their mean rank."""
    queries = replace(Query.of_users(group.user, graph.users, seen=group.seen), history=later)
    target, rank = group.truth.values, np.zeros(len(group))
    for rows, block in queries.blocks(_BLOCK):
        everything = np.tile(np.arange(len(graph.items)), (len(block), 1))
        scores = pipeline.score(block).at(everything)
        seen = group.seen.take(np.arange(len(group))[rows])
        scores[seen.rows(), seen.values] = -np.inf
        own = scores[np.arange(len(block)), target[rows]][:, None]
        better, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1) - 1
        rank[rows] = better + equal / 2
    hit = rank < k
    return {f"recall@{k}": hit.astype(np.float64), f"ndcg@{k}": np.where(hit, 1 / np.log2(rank + 2), 0.0)}


# ------------------------------------------------------------------------------------------------------ the data sets


def sequences(name: str, data: Path, features: Callable[[KnowledgeGraph], TextFeatures | None]) -> Problem:
    """Beauty or Toys."""
    folder = data / sequences_data.FOLDER
    graph = sequences_data.load(folder, name)
    split = sequences_data.leave_one_out(graph)
    problem = Problem.of(
        name, graph, split, k=10, refit=False, features=features(graph), data=sequences_data.checksums(folder, name)
    )
    return replace(problem, later=split.positives(graph, "valid").take(problem.test.user))


def movies_(data: Path, features: Callable[[KnowledgeGraph], TextFeatures]) -> Problem:
    """The bundled movies; nothing is read from `data`."""
    graph, _ = movies_data.bundled()
    split = split_interactions(graph, SplitConfig(kind="per_user_time"))
    return Problem.of(MOVIES, graph, split, refit=True, features=features(graph), data=movies_data.checksums())


def books(data: Path, features: Callable[[KnowledgeGraph], TextFeatures], *, seed: int = 0) -> Problem:
    """Users of Book-Crossing with something in the first part."""
    folder = data / book_crossing_data.FOLDER
    source = book_crossing_data.book_crossing(folder)
    graph = book_crossing_data.around_items(source.graph)
    split, _ = replace(source, graph=graph).split(seed=seed)
    sums = book_crossing_data.checksums(folder)
    return Problem.of(BOOKS, graph, split, refit=False, features=None, data=sums)


def gowalla(data: Path, features: Callable[[KnowledgeGraph], TextFeatures]) -> Problem:
    """The published split; all users are asked."""
    graph = gowalla_data.load(data / "gowalla")
    sums = gowalla_data.checksums(data / "gowalla")
    return Problem.of(GOWALLA, graph, gowalla_data.split(graph), refit=True, features=None, data=sums)


PROBLEMS: Mapping[str, Callable[..., Problem]] = {
    BEAUTY: partial(sequences, BEAUTY),
    TOYS: partial(sequences, TOYS),
    MOVIES: movies_,
    BOOKS: books,
    GOWALLA: gowalla,
}


# ------------------------------------------------------------------------------------------------------- the models


def baselines() -> dict[str, list[tuple[str, Callable[[], Channel]]]]:
    """The settings that validation chooses from; a long history wants other neighbours than a short one."""
    return {
        "popularity": [("", Popularity)],
        "item-kNN": [
            (f"{n} neighbours, shrinkage {s:g}", partial(ItemKNN, ItemKNNConfig(neighbours=n, shrinkage=s)))
            for n, s in ((100, 0.0), (100, 10.0))
        ],
        "RP3beta": [(f"alpha 0.5, beta {b:g}", partial(RP3Beta, RP3BetaConfig(alpha=0.5, beta=b))) for b in (0.2, 0.5)],
    }


def choose(options: Sequence[tuple[str, Callable[[], Channel]]], problem: Problem) -> tuple[str, Callable[[], Channel]]:
    """The option with the best NDCG on validation."""
    if len(options) == 1:
        return options[0]
    data = FitData.of(problem.first)
    reached = []
    for _, make in options:
        pipeline = Pipeline([make().fit(data)], data.history)
        evaluation = measure(pipeline, [problem.tuning], trained_on=problem.first, ks=(problem.k,))[0]
        reached.append(evaluation.mean(problem.metrics[1]))
    return options[int(np.argmax(reached))]


def walked(problem: Problem, config: WalkConfig) -> Walk:
    """A walk whose weights, and settings as far as `config.trials` goes, are found on validation, for the test."""
    found = Walk(config).fit(FitData.of(problem.first, features=problem.features, validation=problem.chosen_on))
    if problem.final is problem.first:
        return found
    return Walk(config).fit(FitData.of(problem.final, features=problem.features, recipe=found.recipe))


def ablations(
    config: WalkConfig, weights: Mapping[str, float], problem: Problem
) -> Iterator[tuple[str, Callable[[Problem], Problem], WalkConfig]]:
    """Name, what becomes of the data, and settings of what is taken away, as far as the data set has it."""
    if _knowledge(problem.first):
        yield "no knowledge", lambda part: _with_graphs(part, lambda g: g.without_relations(_knowledge(g))), config
        yield "shuffled knowledge", lambda part: _with_graphs(part, lambda g: shuffled(g, 0)), config
    if problem.features is not None:
        yield "no text", lambda part: replace(part, features=None), config
    if "what_followed" in weights:
        yield "no next", lambda part: part, config.changed(next_window=0)
    if config.decay < 1:
        yield "no age", lambda part: part, config.changed(age_decay=1.0)


def _with_graphs(problem: Problem, change: Callable[[KnowledgeGraph], KnowledgeGraph]) -> Problem:
    first = change(problem.first)
    final = first if problem.final is problem.first else change(problem.final)
    return replace(problem, first=first, final=final)


def _knowledge(graph: KnowledgeGraph) -> set[RelationKey]:
    return {key for key in graph.edges if graph.schema.user_type not in (key.source, key.target)}


def defaults(problem: Problem) -> Walk:
    """Nothing chosen."""
    return Walk().fit(FitData.of(problem.final, features=problem.features))


def kind_of(step: str) -> str:
    """What the strengths of several data sets are compared by: all relations are one kind."""
    return step if step in ("through_users", "what_followed", "similar_text", "popularity", "disliked") else "relation"


def medians_of_others(
    problem: Problem, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, float]] | None:
    """What the walk chose on the other data sets: settings, and strengths by kind of step; None without two of them."""
    others = [row for row in rows if row["model"] == WALK and row["data"] != problem.name]
    if len(others) < 2:
        return None
    settings = {
        key: _median([row["settings"][key] for row in others])
        for key in others[0]["settings"]
        if key.split("_")[0] in ("age", "user", "next", "relation", "text")
    }
    strengths: dict[str, list[float]] = {}
    for row in others:
        kinds: dict[str, list[float]] = {}
        for step, strength in row["strengths"].items():
            kinds.setdefault(kind_of(step), []).append(strength)
        for kind, values in kinds.items():
            strengths.setdefault(kind, []).append(float(np.median(values)))
    return settings, {kind: _median(values) for kind, values in strengths.items()}


def of_others(problem: Problem, settings: Mapping[str, Any], strengths: Mapping[str, float]) -> Walk:
    """The walk under settings and strengths of other data sets."""
    data = FitData.of(problem.final, features=problem.features)
    base = Walk(WalkConfig(**settings)).fit(data)
    weights = {
        name: weight / base.strengths[name] * strengths[kind_of(name)]
        for name, weight in base.weights.items()
        if base.strengths[name] > 0 and kind_of(name) in strengths
    }
    return Walk(base.config.changed(weights=weights)).fit(data)


def _median(values: Sequence[Any]) -> Any:
    """The median, of an even count the lower of the two in the middle: a value that was chosen somewhere."""
    return sorted(values)[(len(values) - 1) // 2]


def fused(problem: Problem, config: WalkConfig, *, seed: int) -> tuple[dict[str, Channel], dict[str, float]]:
    """LightGCN, EASE and the walk for the test, and the weights that validation finds for them."""

    def channels(graph: KnowledgeGraph, walk: Walk) -> dict[str, Channel]:
        model = movies.bare(movies.train(graph, MAIN, _features(problem), seed=seed))
        ease = EASE(EASEConfig(regularisation=200.0)).fit(FitData.of(graph))
        return {slug("LightGCN"): exact_channel(model, LoadData.of(graph)), "ease": ease, "walk": walk}

    first = Walk(config).fit(FitData.of(problem.first, features=problem.features, validation=problem.chosen_on))
    weights = chosen_weights(channels(problem.first, first), problem.first, problem.tuning, k=problem.k)
    final = Walk(config).fit(FitData.of(problem.final, features=problem.features, recipe=first.recipe))
    return channels(problem.final, final), weights


def _features(problem: Problem) -> TextFeatures:
    if problem.features is None:
        raise ValueError(f"{problem.name} has no texts")
    return problem.features


# ------------------------------------------------------------------------------------------------------- the results


class Results:
    """Rows by data set and model, with those of earlier runs for what this one leaves out."""

    def __init__(self, seeds: Sequence[int]) -> None:
        file = FOLDER / f"{NAME}.json"
        kept = read_json(file) if file.exists() else {"rows": [], "data": {}}
        self.rows: list[dict[str, Any]] = kept["rows"]
        self.data: dict[str, str] = kept["data"]
        self.seeds = list(seeds)
        self.per_user: dict[tuple[str, str], dict[str, Values]] = {}

    def add(self, problems: Sequence[Problem], model: str, values: Sequence[dict[str, Values]], **facts: Any) -> None:
        """Keep the row of one model: means over its seeds, and intervals over users of each user's mean."""
        users, problem = [each.test.user for each in problems], problems[0]
        mean = {metric: user_means(users, [of_seed[metric] for of_seed in values]) for metric in problem.metrics}
        count = len(np.unique(np.concatenate(users)))
        row: dict[str, Any] = {"data": problem.name, "model": model, "k": problem.k, "users": count}
        for metric, per_user in mean.items():
            row[metric] = float(per_user.mean())
            row[f"{metric} interval"] = list(bootstrap_interval(per_user))
            if len(values) > 1:
                row[f"{metric} spread"] = float(np.std([of_seed[metric].mean() for of_seed in values], ddof=1))
        self.per_user[problem.name, model] = mean
        self._keep(problem, {**row, "seeds": len(values), **facts})
        print(problem.name, model, *(f"{row[metric]:.4f}" for metric in problem.metrics), flush=True)

    def against(self, problem: Problem, model: str, others: Sequence[str]) -> None:
        """Keep the paired differences of one model to others of this run, with intervals over users."""
        for other in others:
            pair = [self.per_user.get((problem.name, name)) for name in (model, other)]
            if pair[0] is None or pair[1] is None or model == other:
                continue
            row: dict[str, Any] = {"data": problem.name, "model": f"{model} minus {other}", "k": problem.k}
            for metric in problem.metrics:
                difference = pair[0][metric] - pair[1][metric]
                row[metric] = float(difference.mean())
                row[f"{metric} interval"] = list(bootstrap_interval(difference))
            self._keep(problem, row)

    def of(self, problem: Problem) -> list[str]:
        """The models of this run."""
        return [model for name, model in self.per_user if name == problem.name]

    def _keep(self, problem: Problem, row: dict[str, Any]) -> None:
        self.rows = [old for old in self.rows if (old["data"], old["model"]) != (row["data"], row["model"])]
        self.rows.append(row)
        order = list(PROBLEMS)
        self.rows.sort(key=lambda kept: order.index(kept["data"]))
        self.data |= problem.data

    def write(self) -> None:
        """Print the table and write the file."""
        record(NAME, self.rows, data=self.data, seeds=self.seeds, notes=(__doc__ or "").strip())


def run(problems: Sequence[Problem], results: Results, *, trials: int, with_ease: bool, fuse: int) -> None:
    """All rows of one data set.

    Args:
        problems: its splits; settings are chosen on the first, the weights of the walk on each.
        results: where the rows go.
        trials: of the walk.
        with_ease: EASE, too.
        fuse: trainings of what the walk is fused with, on data with texts; 0: no fusion.
    """
    problem = problems[0]
    start = time.perf_counter()
    walk = walked(problem, WalkConfig(trials=trials))
    settings = walk.config.model_dump(mode="json", exclude={"weights", "trials"})
    facts = {"seconds": round(time.perf_counter() - start, 1), "settings": settings, "strengths": walk.strengths}
    config = walk.config.changed(trials=0, weights=None)

    def each(make: Callable[[Problem], Channel]) -> list[dict[str, Values]]:
        channels = [make(part) for part in problems]
        return [part.values({channel.name: channel}) for part, channel in zip(problems, channels, strict=True)]

    results.add(problems, WALK, each(lambda part: walk if part is problem else walked(part, config)), **facts)
    results.write()
    options = baselines()
    if with_ease:
        options["EASE"] = [("lambda 200", partial(EASE, EASEConfig(regularisation=200.0)))]
    for name, choices in options.items():
        note, make = choose(choices, problem)
        results.add(problems, name, each(lambda part, make=make: make().fit(FitData.of(part.final))), chosen=note)
    results.add(problems, DEFAULTS, each(defaults))
    results.write()
    if (weights := medians_of_others(problem, results.rows)) is not None:
        results.add(problems, OTHERS, each(lambda part, medians=weights: of_others(part, *medians)))
    for name, less, changed in ablations(config, walk.weights, problem):
        results.add(
            problems, f"walk, {name}", each(lambda part, less=less, changed=changed: walked(less(part), changed))
        )
    results.against(problem, WALK, results.of(problem))
    results.write()
    if fuse and problem.features is not None:
        fusions = [fused(problem, config, seed=seed) for seed in range(fuse)]
        values = [problem.values(channels, weights) for channels, weights in fusions]
        results.add([problem] * fuse, FUSED, values, chosen=told(fusions[0][1]))
        results.against(problem, FUSED, results.of(problem))
        results.write()


def main(argv: Sequence[str]) -> None:
    """Measure what is asked for and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks walk", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/, book-crossing/ and gowalla/")
    parser.add_argument("--only", nargs="*", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--trials", type=int, default=40, help="changes of settings that the walk tries on validation")
    parser.add_argument("--ease", action="store_true", help="EASE, too: minutes of a dense inverse")
    parser.add_argument("--fused", action="store_true", help="on the movies: LightGCN, EASE and the walk fused")
    parser.add_argument("--seeds", type=int, default=3, help="splits of Book-Crossing, and trainings of what is fused")
    arguments = parser.parse_args(argv)
    results = Results(range(arguments.seeds))
    for name in arguments.only:
        # only the split of Book-Crossing is drawn
        drawn = [{"seed": seed} for seed in range(arguments.seeds)] if name == BOOKS else [{}]
        problems = [PROBLEMS[name](arguments.data, encoded, **seed) for seed in drawn]
        fuse = arguments.seeds if arguments.fused and name == MOVIES else 0
        run(problems, results, trials=arguments.trials, with_ease=arguments.ease, fuse=fuse)


def encoded(graph: KnowledgeGraph) -> TextFeatures:
    """Text vectors of the nodes, from the cache where it has them."""
    return encode_graph(graph, TextEncoder(TextConfig()), cache=TextCache(CACHE))
